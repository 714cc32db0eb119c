"""Where the trials write to: a folder, or a bucket of a server that is started for them."""

import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.core.partition import LEASES, STAGING
from exporter.store.base import ObjectStore
from exporter.store.local import LocalStore
from exporter.store.s3 import S3Store
from tests.support.s3_servers import moto_server, seaweedfs_server

KINDS = ("folder", "moto", "seaweedfs", "auto")


def real_store() -> str | None:
    """The kind of the one store here that is a real one, where it is installed."""
    return "seaweedfs" if (Path(sysconfig.get_path("scripts")) / "weed").exists() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """An empty sink.

    Attributes:
        kind: what it is.
        lines: the end of a configuration whose last table is `[sink]`, below its url.
        url: for that table.
        environ: what a process that writes there needs in its environment.
        store: the same place, to look at it.
    """

    kind: str
    url: str
    store: ObjectStore
    lines: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)

    async def left_over(self) -> list[str]:
        """Keys of what is staged, and of leases that somebody still holds."""
        staged = [info.key for info in await self.store.list(f"{STAGING}/")]
        leases = [info.key for info in await self.store.list(f"{LEASES}/") if not info.key.endswith("salt.json")]
        held = [key for key in leases if b'"expires_at": null' not in (await self.store.get(key))[0]]
        return staged + held


@asynccontextmanager
async def open_sink(kind: str, folder: Path) -> AsyncIterator[Sink]:
    """A sink of *kind*; *folder* takes all that it stores. `auto`: SeaweedFS where there is one, else a folder."""
    if kind == "auto":
        kind = real_store() or "folder"
    folder.mkdir(parents=True)  # noqa: ASYNC240 - before anything runs
    if kind == "folder":
        path = folder / "lake"
        yield Sink(kind=kind, url=str(path), store=LocalStore(path))
        return
    with ExitStack() as stack:
        server = stack.enter_context({"moto": moto_server, "seaweedfs": seaweedfs_server}[kind](folder))
        client = stack.enter_context(server.client())
        store = S3Store(server.bucket, "lake", client=client)
        yield Sink(
            kind=kind,
            url=f"s3://{server.bucket}/lake",
            store=store,
            lines=f'endpoint_url = "{server.endpoint_url}"\n',
            environ=server.environment,
        )
        await store.close()

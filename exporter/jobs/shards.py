"""Keeps the shards of a plan in one file, in a folder or on S3."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from exporter.core.shards import Shard, read_shard, write_shards
from exporter.errors import ConfigError, NotFoundError, StoreError, UsageError
from exporter.jobs.put import put_surely
from exporter.store.base import ObjectStore


async def write(open_folder: Callable[[str], ObjectStore], url: str, shards: Sequence[Shard]) -> None:
    """Write *shards* to the file *url*, in place of what is there.

    Raises:
        UsageError: that cannot be done.
    """
    async with _beside(open_folder, url) as (store, name):
        await put_surely(store, name, write_shards(shards))


async def read(open_folder: Callable[[str], ObjectStore], url: str, index: int, *, plan: str = "") -> Shard:
    """The shard *index* of the file *url*; *plan* is the id of its plan, empty for any.

    Raises:
        UsageError: there is none.
    """
    async with _beside(open_folder, url) as (store, name):
        data, _ = await store.get(name)
    return read_shard(data, url, index, plan=plan)


@asynccontextmanager
async def _beside(open_folder: Callable[[str], ObjectStore], url: str) -> AsyncIterator[tuple[ObjectStore, str]]:
    """The folder that a file lies in, and its name there."""
    folder, slash, name = url.rpartition("/")
    if not name or folder in {"s3:/", "file:", "file:/"}:
        raise UsageError(f"{url}: names no file; write a path, file:///folder/name or s3://bucket/prefix/name")
    try:
        store = open_folder(folder or slash or ".")
    except ConfigError as error:
        raise UsageError(f"{url}: is no place for a file of shards ({error})") from error
    try:
        yield store, name
    except NotFoundError as error:
        raise UsageError(
            f'{url}: there is no such file; make one with "exporter plan --shards N --out {url}"'
        ) from error
    except StoreError as error:
        raise UsageError(f"{url}: cannot be used for shards: {error}") from error
    finally:
        await store.close()

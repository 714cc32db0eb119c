"""The program itself on S3: killed between any two of its steps there, with a token that runs out, behind bad TLS."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exporter.core.manifest import RunState
from exporter.sandbox.options import SandboxOptions
from exporter.store.s3 import S3Store
from tests.support.command import Exporter, ended
from tests.support.exports import Bench, bench, config_for, expected, months, small_world, tokens_of
from tests.support.lives import assert_sound, least_pages, safe_pages
from tests.support.s3_servers import Fault, S3Server, faulty_proxy, moto_server, seaweedfs_server
from tests.support.tls import self_signed, tls_before

DAYS = {"start": date(2025, 1, 1), "end": date(2025, 3, 1)}
ROWS_OF = months(**DAYS)

#: What a run of any size writes and deletes, by a part of the key.
KINDS = {
    "PUT run.json",
    "PUT salt.json",
    "PUT lease",
    "PUT segment",
    "PUT intent",
    "PUT part",
    "PUT manifest",
    "PUT latest.json",
    "DELETE segment",
    "DELETE intent",
    "DELETE run.json",
}


def kind(method, path):
    """Which step of a run this exchange is; nothing where it changes nothing."""
    if method not in ("PUT", "DELETE"):
        return None
    folder, _, name = urlsplit(path).path.rpartition("/")
    if name.endswith(".arrow"):
        return f"{method} segment"
    if name.startswith("put-"):
        return f"{method} intent"
    if name.startswith("part-"):
        return f"{method} part"
    if folder.endswith("_leases"):
        return f"{method} {'salt.json' if name == 'salt.json' else 'lease'}"
    if folder.endswith("_manifests"):
        return f"{method} {'latest.json' if name == 'latest.json' else 'manifest'}"
    return f"{method} {name}"


@dataclass(slots=True)
class Killer:
    """Kills a process when so many of its steps are done and before it hears of the last."""

    at: int = 0
    pid: int = 0
    steps: list[str] = field(default_factory=list)

    def __call__(self, method, path):
        if step := kind(method, path):
            self.steps.append(step)
            if len(self.steps) == self.at:
                os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Place:
    """The program, the sandbox that it asks, and what lies in the bucket below its prefix."""

    program: Exporter
    running: Bench
    store: S3Store

    @property
    def rows(self):
        return expected(self.running.world, ROWS_OF)

    async def completes(self, *, here=False):
        """A run that comes to its end asks only for what is not safe, and all is as it should be.

        With *here* it runs in this process, which takes half the time.
        """
        safe, asked = await safe_pages(self.store), self.running.asked()
        if here:
            (manifest,) = await self.running.run(**DAYS)
            assert manifest.state is RunState.OK
        else:
            end = await self.program("run")
            assert end.code == 0, end.stderr
        assert self.running.asked() - asked <= least_pages(self.rows) - safe
        await assert_sound(self.running, self.store, self.rows, **DAYS)


@asynccontextmanager
async def place(folder: Path, server: S3Server, client, *, endpoint_url: str, prefix: str):
    world = small_world(1, end=DAYS["end"], per_month=60)
    store = S3Store(server.bucket, prefix, client=client)
    async with bench(world, SandboxOptions(rate=None), store) as running:
        text = config_for(running.sandbox.base_url, world, sink=f"s3://{server.bucket}/{prefix}", **DAYS)
        (folder / "exporter.toml").write_text(text)
        settings = {"EXPORTER__SINK__ENDPOINT_URL": endpoint_url}
        yield Place(Exporter(folder, {**server.environment, **tokens_of(world), **settings}), running, store)
    await store.close()


def make_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory):
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.mark.timeout(900)  # some forty starts of the program, on a machine that may be busy
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("moto", marks=pytest.mark.xdist_group("crash on moto")),
        pytest.param("seaweedfs", marks=pytest.mark.xdist_group("crash on SeaweedFS")),
    ],
)
async def test_whoever_is_killed_between_two_steps_on_s3_is_followed_by_one_who_completes(request, tmp_path, name):
    server = request.getfixturevalue(name)
    at_once = asyncio.Semaphore(2)
    died_after = Counter()

    async def kill(step, client):
        """Whether the run was killed when so many steps were done; the next one completes in any case."""
        killer = Killer(at=step)
        prefix = f"{tmp_path.name}-{step}"
        folder = make_folder(tmp_path, f"{step}")
        async with at_once:
            with faulty_proxy(server, killer) as proxy:
                async with place(folder, server, client, endpoint_url=proxy.endpoint_url, prefix=prefix) as here:
                    process = await here.program.start("run")
                    killer.pid = process.pid
                    end = await ended(process)
                    if step not in range(1, len(killer.steps) + 1):
                        assert end.code == 0, end.stderr
                        return killer.steps
                    assert end.code == -signal.SIGKILL, end.stderr
                    died_after[killer.steps[step - 1]] += 1
                    killer.at = 0
                    await here.completes(here=True)
        return []

    with server.client() as client:
        steps = await kill(0, client)
        assert set(steps) >= KINDS
        await asyncio.gather(*(kill(step, client) for step in range(1, len(steps) + 1)))
    assert set(died_after) >= KINDS


@pytest.mark.xdist_group("crash on moto")
@pytest.mark.parametrize(("exchanges", "code"), [(0, 2), (14, 1), (25, 1)])
async def test_s3_credentials_that_expire_end_a_run_with_what_to_do_and_once_renewed_the_next_completes(
    moto, tmp_path, exchanges, code
):
    with moto.client() as client, faulty_proxy(moto) as proxy:
        async with place(
            tmp_path, moto, client, endpoint_url=proxy.endpoint_url, prefix=f"{tmp_path.name}-expired"
        ) as here:
            proxy.faults.extend([*[None] * exchanges, *[Fault.EXPIRED_TOKEN] * 1000])
            end = await here.program("run", "--log-format", "text")
            assert end.code == code, end.stderr
            last = end.stderr.splitlines()[-1]
            assert "ExpiredToken (400); renew the session's credentials" in last
            assert (here.running.asked() > 0) == (code == 1)
            assert moto.secret_key not in end.stderr + end.stdout
            proxy.faults.clear()
            await here.completes()


@pytest.mark.xdist_group("crash on moto")
async def test_a_bucket_behind_an_untrusted_certificate_is_refused_and_once_it_is_trusted_the_run_completes(
    moto, tmp_path
):
    pem = tmp_path / "authority.pem"
    port = urlsplit(moto.endpoint_url).port
    assert port is not None
    async with tls_before(port, self_signed(pem)) as tls_port:
        with moto.client() as client:
            async with place(
                tmp_path, moto, client, endpoint_url=f"https://127.0.0.1:{tls_port}", prefix=f"{tmp_path.name}-tls"
            ) as here:
                end = await here.program("run")
                assert (end.code, here.running.asked()) == (2, 0), end.stderr
                assert "name its authority in AWS_CA_BUNDLE" in end.stderr
                here.program.environ["AWS_CA_BUNDLE"] = str(pem)
                await here.completes()


async def test_a_bucket_whose_host_has_no_address_ends_the_program_with_2_and_the_setting_to_check(tmp_path):
    nowhere = S3Server(endpoint_url="https://s3.nowhere.invalid", access_key="made-up", secret_key="made-up-too")
    async with bench(small_world(1)) as running:
        text = config_for(running.sandbox.base_url, running.world, sink="s3://lake/lake")
        (tmp_path / "exporter.toml").write_text(f'{text}endpoint_url = "{nowhere.endpoint_url}"\n')
        end = await Exporter(tmp_path, {**nowhere.environment, **tokens_of(running.world)})("run")
        assert (end.code, running.asked()) == (2, 0)
        assert "check the network and sink.endpoint_url" in end.stderr

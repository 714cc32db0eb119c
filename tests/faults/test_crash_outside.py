"""The program itself in surroundings that fail: disk, rights, names, certificates, tokens.

Each ends with the promised exit code and a line that says what to do; nothing is lost, and once it is mended the next
run asks only for what is missing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exporter.sandbox.options import SandboxOptions
from exporter.store.local import LocalStore
from tests.support.command import Ended, Exporter
from tests.support.exports import Bench, bench, config_for, expected, groups, months, published, small_world, tokens_of
from tests.support.lives import assert_sound, least_pages, safe_pages
from tests.support.tls import self_signed, tls_before

#: Starts a program that the rights of files bind even where it is root's. Source: capabilities(7), CAP_DAC_OVERRIDE.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()


@dataclass(frozen=True, slots=True)
class Place:
    """The program in a folder, the sandbox that it asks, and its lake."""

    program: Exporter
    running: Bench
    lake: Path

    @property
    def rows(self):
        return expected(self.running.world, months())

    async def run(self) -> tuple[Ended, int]:
        """How a run ended, and how much it asked."""
        asked = self.running.asked()
        end = await self.program("run", "--log-format", "text")
        return end, self.running.asked() - asked

    async def holds_no_wrong_row(self) -> None:
        assert set(groups(await published(self.running.store))) <= set(self.rows)

    async def completes(self) -> None:
        store = self.running.store
        safe = await safe_pages(store)
        end, asked = await self.run()
        assert end.code == 0, end.stderr
        assert asked <= least_pages(self.rows) - safe
        await assert_sound(self.running, store, self.rows)


@asynccontextmanager
async def place(folder: Path, *, lake: Path | None = None, faults=None, under=(), **environ: str):
    world = small_world(2)
    lake = lake or folder / "lake"
    options = SandboxOptions(rate=None, faults=faults) if faults else SandboxOptions(rate=None)
    async with bench(world, options, LocalStore(lake)) as running:
        text = config_for(running.sandbox.base_url, world, sink=str(lake), api="max_attempts = 2")
        (folder / "exporter.toml").write_text(text)
        yield Place(Exporter(folder, {**tokens_of(world), **environ}, under), running, lake)


@pytest.fixture
def bound(tmp_path) -> tuple[str, ...]:
    """What starts a program that may not write where rights forbid it."""
    if BOUND and not shutil.which(BOUND[0]):
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    tmp_path.chmod(0o500)
    tried = subprocess.run(
        [*BOUND, sys.executable, "-c", "open('tried', 'x')"], cwd=tmp_path, check=False, capture_output=True
    )
    tmp_path.chmod(0o700)
    if not tried.returncode:
        pytest.skip("rights of folders bind nobody here")
    return BOUND


def forbid(folder: Path) -> None:
    """Nothing may be made or removed in *folder* and below."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o500)


def permit(folder: Path) -> None:
    folder.chmod(0o700)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)


async def test_a_folder_that_cannot_be_written_ends_the_program_with_2_before_anything_is_requested(tmp_path, bound):
    lake = tmp_path / "theirs" / "lake"
    lake.parent.mkdir()
    async with place(tmp_path, lake=lake, under=bound) as here:
        forbid(lake.parent)
        end, asked = await here.run()
        assert (end.code, asked) == (2, 0)
        (line,) = end.stderr.splitlines()
        assert "Permission denied (EACCES); let this user read and write there, or choose another sink.url" in line
        permit(lake.parent)
        await here.completes()


async def test_a_folder_that_becomes_read_only_under_way_stops_the_run_and_once_it_is_not_the_next_completes(
    tmp_path, bound
):
    def forbid_at(number, _asked):
        if number == 5:
            forbid(tmp_path / "lake")

    async with place(tmp_path, faults=forbid_at, under=bound) as here:
        end, asked = await here.run()
        assert (end.code, asked >= 5) == (1, True)
        assert "let this user read and write there" in end.stderr.splitlines()[-1]
        permit(here.lake)
        await here.holds_no_wrong_row()
        await here.completes()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of its own, of a few pages."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k,mode=700", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


async def test_a_disk_that_fills_up_stops_the_run_with_what_to_do_and_with_more_room_the_next_completes(
    tmp_path, small_disk
):
    async with place(tmp_path, lake=small_disk / "lake") as here:
        end, asked = await here.run()
        assert (end.code, asked > 0) == (1, True), end.stderr
        assert "No space left on device (ENOSPC); free some space and run again" in end.stderr.splitlines()[-1]
        await here.holds_no_wrong_row()
        enlarge(small_disk)
        await here.completes()


async def test_a_host_without_an_address_fails_every_task_with_the_setting_to_check(tmp_path):
    async with place(tmp_path, EXPORTER__API__BASE_URL="https://api.nowhere.invalid/api/v2") as here:
        end, _ = await here.run()
        assert end.code == 1
        assert "no address for the host api.nowhere.invalid (DNS)" in end.stdout
        assert "check api.base_url and the network, then run again" in end.stdout
        del here.program.environ["EXPORTER__API__BASE_URL"]
        await here.completes()


async def test_an_untrusted_certificate_fails_every_task_and_once_it_is_trusted_the_next_run_completes(tmp_path):
    pem = tmp_path / "authority.pem"
    async with place(tmp_path) as here:
        port = urlsplit(here.running.sandbox.base_url).port
        assert port is not None
        async with tls_before(port, self_signed(pem)) as tls_port:
            here.program.environ["EXPORTER__API__BASE_URL"] = f"https://127.0.0.1:{tls_port}/api/v2"
            end, asked = await here.run()
            assert (end.code, asked) == (1, 0)
            assert "the TLS certificate of 127.0.0.1 was refused (self-signed certificate)" in end.stdout
            assert "check api.base_url and the certificate authorities that this machine trusts" in end.stdout
            here.program.environ["SSL_CERT_FILE"] = str(pem)
            await here.completes()


async def test_a_token_that_expires_under_way_ends_the_run_with_1_and_with_a_new_one_the_next_completes(tmp_path):
    def expire_at(number, _asked):
        if number == 7:
            here.running.sandbox.revoke(here.running.world.tokens[0])

    async with place(tmp_path, faults=expire_at) as here:
        end, asked = await here.run()
        assert (end.code, asked >= 7) == (1, True)
        assert "401" in end.stdout
        assert "check the token" in end.stdout
        assert not any(token in end.stdout + end.stderr for token in tokens_of(here.running.world).values())
        await here.holds_no_wrong_row()
        async with bench(here.running.world, store=here.running.store) as renewed:
            here.program.environ["EXPORTER__API__BASE_URL"] = renewed.sandbox.base_url
            await Place(here.program, renewed, here.lake).completes()

"""Sinks that cannot be written: before the first request, or from the middle of a run on."""

import resource
from contextlib import contextmanager

import pytest

from exporter.app_choice import Choice
from exporter.errors import ConfigError, StoreError
from exporter.store.local import LocalStore
from tests.support.command import Exporter
from tests.support.exports import bench, config_for, expected, groups, months, published, small_world, tokens_of
from tests.support.lives import assert_sound


@contextmanager
def largest_file(size_bytes):
    """No file of this process may grow beyond this size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_sink_below_a_file_ends_the_program_with_2_before_anything_is_requested(tmp_path):
    (tmp_path / "lake").write_text("in the way")
    world = small_world(per_month=60)
    async with bench(world) as running:
        (tmp_path / "exporter.toml").write_text(config_for(running.sandbox.base_url, world, sink="lake/below"))
        end = await Exporter(tmp_path, tokens_of(world))("run")
        assert end.code == 2
        (line,) = end.stderr.splitlines()
        assert "lake/below" in line
        assert "ENOTDIR" in line
        assert running.asked() == 0
    assert (tmp_path / "lake").read_text() == "in the way"


async def test_a_sink_behind_a_link_that_leads_nowhere_ends_a_run_before_anything_is_requested(tmp_path):
    (tmp_path / "lake").symlink_to(tmp_path / "not mounted" / "lake")
    async with bench(small_world(per_month=60), store=LocalStore(tmp_path / "lake")) as running:
        with pytest.raises(
            ConfigError, match=r"ENOENT\); a link on the way leads nowhere; see that its disk is mounted"
        ):
            await running.run()
        assert running.asked() == 0


async def test_a_full_disk_stops_a_run_before_anything_is_requested(tmp_path):
    async with bench(small_world(per_month=60), store=LocalStore(tmp_path / "lake")) as running:
        with largest_file(0), pytest.raises(ConfigError, match="EFBIG"):
            await running.run()
        assert running.asked() == 0
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_disk_that_fills_up_under_way_stops_the_run_and_leaves_what_is_published(tmp_path):
    store = LocalStore(tmp_path / "lake")
    async with bench(small_world(per_month=60), store=store) as running:
        await running.run()
        old = expected(running.world, months())
        for studio in running.world.studios:
            for infraction in studio.infractions[::10]:
                studio.remove(infraction.id)
        before = running.asked()
        with largest_file(2_000), pytest.raises(StoreError, match="EFBIG"):
            await running.run(Choice(full=True))
        assert running.asked() > before
        assert groups(await published(store)) == old
        await running.run(Choice(full=True))
        await assert_sound(running, store, expected(running.world, months()))
        assert [path.name for path in tmp_path.rglob(".*")] == []

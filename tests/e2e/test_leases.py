"""Whole runs that share credentials: at once, and after one that was killed."""

import asyncio
import hashlib
import signal
from collections import Counter
from datetime import date

from exporter.cli.sandbox import config_text, tokens
from exporter.core.lease import parse_lease
from exporter.core.manifest import RunState
from exporter.core.partition import LEASES
from exporter.jobs.events import Waiting
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.command import Exporter, ended
from tests.support.exports import bench, expected, groups, months, published


async def test_two_runs_at_once_both_complete_and_the_second_waits():
    async with bench(options=SandboxOptions(rate=None, latency_ms=20)) as b:
        both = await asyncio.gather(b.run(), b.run())
        rows = groups(await published(b.store))
        assert rows == expected(b.world, months())
    assert [manifest.state for manifests in both for manifest in manifests] == [RunState.OK] * 2
    assert any(isinstance(event, Waiting) for event in b.events)


async def test_a_run_that_skips_fails_its_tasks_as_busy_and_the_next_retries_them():
    async with bench(options=SandboxOptions(rate=None, latency_ms=20)) as b:
        waiting = asyncio.create_task(b.run())
        while len(await b.store.list(f"{LEASES}/")) < 1 + len(b.world.tokens):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        (skipped,) = await b.run(run='when_busy = "skip"')
        await waiting
        (retried,) = await b.run()
        assert groups(await published(b.store)) == expected(b.world, months())
    assert skipped.state is RunState.FAILED
    assert {task.error.split("; ")[0].split(": ")[1] for task in skipped.tasks} == {"busy"}
    assert retried.state is RunState.OK


async def test_a_run_over_settled_windows_takes_no_lease():
    async with bench() as b:
        await b.run()
        before = await b.store.list(f"{LEASES}/")
        await b.run()
        assert await b.store.list(f"{LEASES}/") == before
    assert len(before) == 1 + len(b.world.tokens)


async def test_a_killed_run_leaves_a_record_of_no_less_than_it_sent_and_the_next_goes_on(tmp_path):
    world = make_world(1, start=date(2025, 1, 1), end=date(2026, 1, 1), per_month=600)
    async with serve(world, SandboxOptions(rate=None, latency_ms=30)) as sandbox:
        (tmp_path / "exporter.toml").write_text(config_text(world, sandbox.base_url, sink="./lake"))
        program = Exporter(tmp_path, tokens(world))
        process = await program.start("run")
        while len(sandbox.requests) < 40:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await ended(process)
        sent = len(sandbox.requests)
        (path,) = (p for p in (tmp_path / "lake" / LEASES).iterdir() if p.name != "salt.json")
        left = parse_lease(path.read_bytes())
        again = await program("run", "--json")
        assert again.code == 0, again.stderr
        handed_on = parse_lease(path.read_bytes())
        seen = len(sandbox.requests)
    assert left.expires_at is not None
    assert sum(left.ended.values()) + left.pending >= sent
    assert (handed_on.expires_at, handed_on.pending) == (None, 0)
    assert sum(handed_on.ended.values()) >= seen


async def test_names_of_leases_differ_from_sink_to_sink_and_say_nothing_of_tokens():
    async with bench() as b:
        names = []
        for store in (type(b.store)(), type(b.store)()):
            await b.run(store=store)
            names += [info.key for info in await store.list(f"{LEASES}/") if "salt" not in info.key]
        hashes = [hashlib.sha256(token.encode()).hexdigest()[:32] for token in b.world.tokens]
    assert set(Counter(names).values()) == {1}
    assert not any(digest in name for name in names for digest in hashes)

"""The Lambda handler as Lambda calls it, in this process: the time that is left is this clock's."""

import asyncio
import json
import math
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import pytest

from exporter import __version__
from exporter.core.lease import parse_lease
from exporter.core.partition import LEASES
from exporter.errors import ConfigError, UsageError
from exporter.jobs.resume import parse_owner
from exporter.lambda_handler import handler
from exporter.sandbox.faults import Fault, parse_faults
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.store.local import LocalStore
from tests.support.exports import DATASET, config_for, expected, groups, months, published, small_world, tokens_of
from tests.support.exports import DEFAULT_COLUMNS as COLUMNS
from tests.support.sources import expected_requests

PLENTY_S = 300.0

#: One request at a time, and none is given up before the function's time is up.
ONE_BY_ONE = "max_connections = 1\ntimeout = 3600"


@dataclass
class Context:
    """What Lambda hands over."""

    time_s: float = PLENTY_S
    began: float = 0.0

    def __post_init__(self):
        self.began = time.monotonic()

    def get_remaining_time_in_millis(self):
        return max(0, round((self.began + self.time_s - time.monotonic()) * 1000))


@dataclass
class Function:
    """A deployed function: its configuration is a file that the environment names."""

    sandbox: object
    folder: object

    @property
    def store(self):
        return LocalStore(self.folder / "lake")

    async def __call__(self, event=None, time_s=PLENTY_S):
        answer = await asyncio.to_thread(handler, event or {}, Context(time_s))
        assert json.loads(json.dumps(answer)) == answer
        return answer

    @property
    def asked(self):
        return len(self.sandbox.requests)

    async def all_of(self, event=None):
        """The answers to one event, sent again for as long as they say that there is more.

        An invocation has a second; on a machine that is too slow to get further in it, the next one has more.
        """
        answers, time_s = [], 1.0
        while not answers or answers[-1]["state"] == "more":
            before = self.asked
            answers.append(await self(event, time_s))
            time_s = time_s if self.asked > before + 1 else 2 * time_s
        return answers


class Stall:
    """An API that from some request on answers no more, so that an invocation has to hand over however fast it is."""

    def __init__(self):
        self.options = SandboxOptions(rate=None, faults=self, slow_s=3600)
        self._last_answered = math.inf

    def __call__(self, number, _asked):
        return Fault.SLOW if number > self._last_answered else None

    async def after(self, requests, call, event=None):
        """The answers to one event, sent again until so many requests have been answered and one waits in vain.

        A second is enough for that; on a machine that is too slow, the next invocation has more.
        """
        answers, time_s = [], 1.0
        self._last_answered = call.asked + requests
        while call.asked <= self._last_answered:
            answers.append(await call(event, time_s))
            time_s *= 2
        self._last_answered = math.inf
        return answers


@pytest.fixture
def function(tmp_path, monkeypatch):
    @asynccontextmanager
    async def deploy(world, options=None, **changes):
        for name, token in tokens_of(world).items():
            monkeypatch.setenv(name, token)
        monkeypatch.setenv("EXPORTER_CONFIG", str(tmp_path / "exporter.toml"))
        monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "2025/01/01/[$LATEST]made-up")
        async with serve(world, options or SandboxOptions(rate=None)) as sandbox:
            config = config_for(sandbox.base_url, world, sink=str(tmp_path / "lake"), **changes)
            (tmp_path / "exporter.toml").write_text(config)
            yield Function(sandbox, tmp_path)

    return deploy


def test_the_import_brings_nothing_that_an_event_may_not_need():
    code = (
        "import sys, exporter.lambda_handler; print({'boto3', 'rich', 'aiofiles', 'exporter.cli'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


async def test_everything_is_exported_and_the_answer_is_the_summary(function):
    world = small_world()
    async with function(world) as call:
        answer = await call()
        assert groups(await published(call.store)) == expected(world, months())
    assert (answer["state"], answer["totals"]["tasks"], answer["totals"]["failed"]) == ("ok", 6, 0)
    assert answer["datasets"][0]["dataset"] == DATASET


async def test_a_second_invocation_has_nothing_to_ask(function):
    async with function(small_world()) as call:
        await call()
        before = call.asked
        assert (await call())["state"] == "ok"
        assert call.asked == before


async def test_the_event_narrows_the_run(function):
    world = small_world()
    async with function(world) as call:
        await call({"studios": ["studio-2"], "start": "2025-02-01", "end": "2025-03-01"})
        february = [(date(2025, 2, 1), date(2025, 3, 1))]
        assert groups(await published(call.store)) == expected(world, february, studios=[1])


async def test_a_month_that_needs_several_invocations_goes_on_page_by_page(function):
    world = small_world(1, per_month=3000)
    january = [(date(2025, 1, 1), date(2025, 2, 1))]
    stall = Stall()
    async with function(world, stall.options, end=date(2025, 2, 1), api=ONE_BY_ONE) as call:
        before = await stall.after(5, call) + await stall.after(10, call)
        answers = before + await call.all_of()
        assert groups(await published(call.store)) == expected(world, january)
        least = expected_requests(world, january, COLUMNS)
        assert await call.store.list("_staging/") == []
    assert {answer["state"] for answer in before} == {"more"}
    assert answers[-1]["state"] == "ok"
    assert call.asked <= least + len(answers) - 1, "a hand-over loses what was in flight, and nothing else"


async def test_a_hand_over_gives_back_the_credentials_and_lets_go_of_what_is_staged(function):
    world = small_world(1, per_month=3000)
    stall = Stall()
    async with function(world, stall.options, end=date(2025, 2, 1), api=ONE_BY_ONE) as call:
        assert {answer["state"] for answer in await stall.after(5, call)} == {"more"}
        leases = [i.key for i in await call.store.list(f"{LEASES}/") if not i.key.endswith("salt.json")]
        owners = [i.key for i in await call.store.list("_staging/") if i.key.endswith("run.json")]
        assert [parse_lease((await call.store.get(key))[0]).expires_at for key in leases] == [None]
        assert {parse_owner((await call.store.get(key))[0]).ended for key in owners} == {True}


async def test_failed_studios_are_part_of_the_answer(function):
    world = small_world()
    faults = parse_faults("401@1", 1)
    async with function(world, SandboxOptions(rate=None, faults=faults)) as call:
        answer = await call()
    (failures,) = [dataset["failures"] for dataset in answer["datasets"]]
    assert answer["state"] == "partial"
    assert len(failures) == answer["totals"]["failed"] > 0


async def test_where_all_that_was_asked_for_failed_the_state_says_so(function, monkeypatch):
    world = small_world(1)
    async with function(world) as call:
        monkeypatch.setenv("TOKEN_0", "made-up-and-not-known")
        answer = await call()
        assert answer["state"] == "failed"
        monkeypatch.setenv("TOKEN_0", world.tokens[0])
        assert (await call())["state"] == "ok", "a warm start knows nothing of the last one's secrets"


@pytest.mark.parametrize(
    "event", [{"what": 1}, 3, {"studios": ["nobody"]}, {"start": "2030-01-01", "end": "2020-01-01"}]
)
async def test_what_stops_everything_is_raised_and_nothing_is_asked(function, event):
    async with function(small_world(1)) as call:
        with pytest.raises(UsageError):
            await call(event)
        assert call.asked == 0


async def test_a_configuration_that_is_not_there_is_raised(function):
    async with function(small_world(1)) as call:
        with pytest.raises(ConfigError, match="there is no such file"):
            await call({"config": "/made-up/exporter.toml"})


async def test_the_log_holds_an_object_a_line_and_metrics_where_they_are_wanted(function, monkeypatch, capsys):
    async with function(small_world()) as call:
        monkeypatch.setenv("EXPORTER_METRICS_NAMESPACE", "made-up")
        answer = await call()
        *lines, last, whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        monkeypatch.delenv("EXPORTER_METRICS_NAMESPACE")
        await call()
        assert "_aws" not in capsys.readouterr().out
    assert {"planned", "fetched", "published", "ended"} <= {line["event"] for line in lines}
    assert {line["run_id"] for line in lines} == {answer["run_id"]}
    assert (last["dataset"], last["Rows"], last["HandOvers"]) == (DATASET, answer["totals"]["rows"], 0)
    assert (whole["Rows"], whole["SuccessfulRuns"]) == (last["Rows"], 1)
    assert 0 < last["RateUsed"] <= 100
    assert 10 < last["PeakMemory"] < 10_000


async def test_duplicate_events_at_once_publish_every_row_once(function):
    world = small_world()
    async with function(world, SandboxOptions(rate=None, latency_ms=10)) as call:
        answers = await asyncio.gather(call(), call())
        assert groups(await published(call.store)) == expected(world, months())
    assert {answer["state"] for answer in answers} == {"ok"}


async def test_shards_are_planned_run_and_verified(function):
    world = small_world(3)
    async with function(world) as call:
        url = str(call.folder / "plans" / "tonight.json")
        planned = await call({"command": "plan", "shards": 2, "out": url})
        items = json.loads((call.folder / "plans" / "tonight.json").read_text())["shards"]
        assert (planned["state"], planned["shards"], len(items)) == ("ok", 2, 2)
        first = await call({"shard": {"url": url, "index": 0}})
        assert {studio for studio, *_ in groups(await published(call.store))} == {*items[0]["studios"]}
        second = await call({"shard": f"{url}#1", "end": "2025-04-01"})
        assert [first["state"], second["state"]] == ["ok", "ok"]
        assert groups(await published(call.store)) == expected(world, months())
        verified = await call({"command": "verify"})
    assert (verified["state"], verified["differences"]) == ("ok", 0)


async def test_shards_that_hand_over_do_not_take_over_each_others_pages(function):
    world = small_world(2, per_month=3000)
    january = [(date(2025, 1, 1), date(2025, 2, 1))]
    stall = Stall()
    async with function(world, stall.options, end=date(2025, 2, 1), api=ONE_BY_ONE) as call:
        url = str(call.folder / "plan.json")
        await call({"command": "plan", "shards": 2, "out": url})
        first, second = ({"shard": {"url": url, "index": index}} for index in (0, 1))
        before = await stall.after(5, call, first) + await stall.after(5, call, second)
        after = await call.all_of(first) + await call.all_of(second)
        assert groups(await published(call.store)) == expected(world, january)
    assert {answer["state"] for answer in before} == {"more"}
    assert call.asked <= expected_requests(world, january, COLUMNS) + len(before + after) - 2


async def test_a_shard_of_another_configuration_is_refused_before_anything_is_asked(function, monkeypatch):
    async with function(small_world()) as call:
        url = str(call.folder / "plan.json")
        await call({"command": "plan", "shards": 2, "out": url})
        monkeypatch.setenv("EXPORTER__WINDOWS__EVERY", "week")
        with pytest.raises(UsageError, match="another configuration"):
            await call({"shard": {"url": url, "index": 0}})
        assert call.asked == 0


async def _plan_of(call, shards):
    url = str(call.folder / "plans" / "tonight.json")
    await call({"command": "plan", "shards": shards, "out": url})
    return url


def marker_of(call):
    return json.loads((call.folder / "lake" / DATASET / "_SUCCESS").read_text())


async def test_shards_are_added_up_to_what_one_run_would_have_told(function):
    world = small_world(3)
    async with function(world) as call:
        url = await _plan_of(call, 2)
        answers = [await call({"shard": f"{url}#{index}"}) for index in (0, 1)]
        assert not (call.folder / "lake" / DATASET / "_SUCCESS").exists(), "a shard is no whole run"
        merged = await call({"command": "merge", "plan": url, "verified": {"state": "ok"}})
        again = await call({"command": "merge", "plan": url, "verified": {"state": "ok"}})
        rows = len(groups(await published(call.store)))
    assert (merged["state"], merged["says"]) == ("ok", "ok: 2 of 2 shards ended well")
    for name in ("tasks", "rows", "requests", "published"):
        assert merged["run"]["totals"][name] == sum(answer["totals"][name] for answer in answers)
    assert again == merged
    assert json.loads((call.folder / "lake" / "_plans" / f"{merged['plan']}.json").read_text())["state"] == "ok"
    assert marker_of(call) | {"finished_at": ""} == {
        "dataset": DATASET,
        "run_id": merged["plan"],
        "finished_at": "",
        "complete_until": "2025-04-01",
        "rows": rows,
    }


async def test_a_shard_that_was_never_started_or_stopped_is_named_and_nobody_is_told_that_all_is_there(function):
    async with function(small_world(3)) as call:
        url = await _plan_of(call, 3)
        await call({"shard": f"{url}#1"})
        told = [{"shard": f"{url}#2", "state": "failed", "error": "Runtime.ExitError", "hand_overs": 0}]
        merged = await call({"command": "merge", "plan": url, "told": told, "verified": {"state": "ok"}})
        assert [(e["shard"], e["state"], e["error"]) for e in merged["not_ok"]] == [
            (0, "missing", ""),
            (2, "missing", "Runtime.ExitError"),
        ]
        assert (merged["state"], len(merged["failed_studios"])) == ("partial", 2)
        assert not (call.folder / "lake" / DATASET / "_SUCCESS").exists()


async def test_a_plan_of_another_configuration_is_not_added_up(function, monkeypatch):
    async with function(small_world()) as call:
        url = await _plan_of(call, 2)
        monkeypatch.setenv("EXPORTER__WINDOWS__EVERY", "week")
        with pytest.raises(UsageError, match="another configuration"):
            await call({"command": "merge", "plan": url})


async def _refused(call, event, words):
    """The event is refused in these words; nothing is asked, and nothing written into the sink."""
    asked, kept = call.asked, await call.store.list("")
    with pytest.raises(UsageError, match=words):
        await call(event)
    assert (call.asked, await call.store.list("")) == (asked, kept)


async def test_a_shard_that_is_not_in_the_plan_is_refused(function):
    async with function(small_world()) as call:
        url = await _plan_of(call, 2)
        await _refused(call, {"shard": f"{url}#2"}, "there is no shard 2; known are 0 to 1")
        await _refused(call, {"shard": f"{url}.not#0"}, "there is no such file; make one with")


async def test_a_plan_of_another_version_is_refused(function):
    async with function(small_world()) as call:
        url = await _plan_of(call, 2)
        plan = call.folder / "plans" / "tonight.json"
        plan.write_text(plan.read_text().replace(f'"version": "{__version__}"', '"version": "0.0.0"'))
        for event in ({"shard": f"{url}#0"}, {"command": "merge", "plan": url}):
            await _refused(call, event, "was planned by version 0.0.0 instead of .*; plan again")


async def test_a_secret_that_is_not_there_is_refused_by_the_name_of_its_reference(function, monkeypatch):
    async with function(small_world()) as call:
        url = await _plan_of(call, 2)
        monkeypatch.delenv("TOKEN_1")
        for event in ({}, {"shard": f"{url}#0"}, {"command": "plan", "shards": 2, "out": url}):
            await _refused(call, event, "token of studio-2: env:TOKEN_1 is not set")

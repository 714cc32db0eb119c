"""The state machine of deploy/, executed by an interpreter that runs the function: 200 studios in 20 shards."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

import pytest

from exporter.app import open_app
from exporter.app_choice import Choice
from exporter.config.load import parse_settings
from exporter.core.freshness import parse_freshness
from exporter.sandbox.faults import Fault
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import Sandbox, serve
from exporter.sandbox.studios import World
from exporter.store.local import LocalStore
from exporter.store.s3 import S3Store
from tests.support import aws_machine
from tests.support.exports import DATASET, config_for, expected, groups, months, published, studio_id, tokens_of

pytestmark = [
    pytest.mark.fanout,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not aws_machine.PROGRAM.exists(), reason="ministack is not installed; run make test-fanout"),
]

STUDIOS, CREDENTIALS, SHARDS = 200, 60, 20
END = date(2025, 3, 1)
#: Of the function; a run has two thirds of it.
TIMEOUT_S = 60
#: Four studios of one credential, two windows each, one request at a time: more than a run has.
SLOW_CREDENTIAL, SLOW_S = 5, 9.0
BROKEN, FORBIDDEN, UNKNOWN_CREDENTIAL = 7, 31, 11


@dataclass
class Night:
    """The API, with what is wrong with it, and the bucket."""

    sandbox: Sandbox
    machine: aws_machine.Machine
    slow: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def configure(self, text):
        with self.machine.server.client() as s3:
            s3.put_object(Bucket="lakebucket", Key="config/exporter.toml", Body=text.encode())

    @asynccontextmanager
    async def lake(self):
        with self.machine.server.client() as s3:
            store = S3Store("lakebucket", "lake", client=s3)
            yield store
            await store.close()


@pytest.fixture(scope="module")
def world():
    return make_world(STUDIOS, seed=7, start=date(2025, 1, 1), end=END, per_month=20, credentials=CREDENTIALS)


@pytest.fixture
def night(tmp_path, world):
    @asynccontextmanager
    async def running(environ, *, timeout_s=TIMEOUT_S, **parameters):
        slow, broken = set(), set()

        def fault_of(_number, asked):
            provider = asked.headers.get("TeamUp-Provider-ID")
            if provider in broken:
                return Fault.ERROR_500
            return Fault.SLOW if provider in slow else None

        options = SandboxOptions(rate=None, faults=fault_of, slow_s=SLOW_S)
        async with serve(world, options) as sandbox:
            with aws_machine.deployed(tmp_path, environ=environ, timeout_s=timeout_s, **parameters) as machine:
                yield Night(sandbox, machine, slow, broken)

    return running


async def test_shards_that_fail_hand_over_or_do_well_end_as_one_run_would(night, world, tmp_path):
    tokens = tokens_of(world)
    unknown = f"TOKEN_{UNKNOWN_CREDENTIAL}"
    provider = world.studios[FORBIDDEN].provider_id

    def config(**changes):
        return config_for("BASE_URL", world, end=END, **changes)

    async with night(tokens | {unknown: "made-up-and-not-known"}, Shards=SHARDS) as tonight:
        text = config(api="max_connections = 1\nmax_attempts = 2").replace("BASE_URL", tonight.sandbox.base_url)
        tonight.configure(text.replace(f"provider_id = {provider}\n", "provider_id = 4711\n"))
        tonight.slow.update(str(s.provider_id) for s in world.studios if s.token == world.tokens[SLOW_CREDENTIAL])
        tonight.broken.add(str(world.studios[BROKEN].provider_id))

        first = await tonight.machine.execute("first", {})
        merged, told = first.answer_of("Merge"), first.input_of("Merge")["merge"]["told"]
        asked = len(tonight.sandbox.requests)
        assert (first.status, first.error, first.cause) == ("FAILED", "ShardsFailed", merged["says"])
        assert len(told) == merged["shards"] == SHARDS
        assert (merged["state"], merged["verified"]) == ("partial", "ok")
        hand_overs = sum(shard["hand_overs"] for shard in told)
        assert hand_overs >= 1
        assert {shard["state"] for shard in told} == {"ok", "partial"}
        strangers = [n for n, s in enumerate(world.studios) if s.token == world.tokens[UNKNOWN_CREDENTIAL]]
        failed = sorted(studio_id(n) for n in (BROKEN, FORBIDDEN, *strangers))
        assert merged["failed_studios"] == failed
        totals = merged["run"]["totals"]
        assert (totals["tasks"], totals["failed"]) == (2 * STUDIOS, 2 * len(failed))
        assert totals["requests"] <= asked <= totals["requests"] + hand_overs
        async with tonight.lake() as lake:
            record = json.loads((await lake.get(f"_plans/{merged['plan']}.json"))[0])
            assert record["run"]["totals"] == totals
            assert totals["rows"] == len(groups(await published(lake)))
            assert await lake.list(f"{DATASET}/_SUCCESS") == []

        # What was wrong is mended: the next night asks for just that.
        tonight.configure(text)
        tonight.machine.give({unknown: tokens[unknown]})
        tonight.slow.clear()
        tonight.broken.clear()
        second = await tonight.machine.execute("second", {})
        assert (second.status, second.output["state"], second.output["verified"]) == ("SUCCEEDED", "ok", "ok")
        assert second.output["run"]["totals"]["requests"] == len(tonight.sandbox.requests) - asked
        assert second.output["run"]["totals"]["tasks"] == 2 * len(failed)
        async with tonight.lake() as lake:
            rows = groups(await published(lake))
            fresh = parse_freshness((await lake.get(f"{DATASET}/_SUCCESS"))[0])
        assert (fresh.run_id, fresh.complete_until, fresh.rows) == (second.output["plan"], END, len(rows))

        # Nothing is left to do: a plan without shards ends well too.
        third = await tonight.machine.execute("third", {})
        assert (third.status, third.output["shards"], third.output["state"]) == ("SUCCEEDED", 0, "ok")
        async with tonight.lake() as lake:
            assert parse_freshness((await lake.get(f"{DATASET}/_SUCCESS"))[0]).run_id == third.output["plan"]

        alone = config(sink=str(tmp_path / "alone")).replace("BASE_URL", tonight.sandbox.base_url)
        async with open_app(parse_settings(alone, {}), tokens) as app:
            await app.run(Choice(), lambda _: None)
        assert rows == groups(await published(LocalStore(tmp_path / "alone")))
        assert rows == expected(world, months(end=END))


async def test_a_shard_that_hands_over_without_end_is_told_as_unfinished(night, world):
    slow = World(world.studios[:2])
    tokens = tokens_of(slow)
    async with night(tokens, timeout_s=12, Shards=2, HandOversAtMost=1) as tonight:
        # Each window takes longer than a run has, so no run gets any further with it.
        tonight.slow.add(str(slow.studios[0].provider_id))
        tonight.configure(config_for(tonight.sandbox.base_url, slow, end=END))
        ended = await tonight.machine.execute("endless", {})
        assert (ended.status, ended.error) == ("FAILED", "HandOversWithoutEnd")
        merged = ended.answer_of("Merge")
        assert ended.cause == merged["says"]
        assert [(end["state"], end["studios"]) for end in merged["not_ok"]] == [("more", ["studio-1"])]
        async with tonight.lake() as lake:
            assert {studio for studio, *_ in groups(await published(lake))} == {"studio-2"}


async def test_a_plan_that_cannot_be_made_ends_the_execution_and_nothing_is_asked_or_written(night, world):
    async with night({}) as tonight:
        tonight.configure(config_for(tonight.sandbox.base_url, world))
        ended = await tonight.machine.execute("without-tokens", {})
        assert ended.status == "FAILED"
        assert "TOKEN_0" in ended.cause
        assert tonight.sandbox.requests == []
        async with tonight.lake() as lake:
            assert await lake.list("") == []

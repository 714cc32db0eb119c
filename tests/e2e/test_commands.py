"""The program as a user has it: exit codes, stdout, stderr and signals, against the sandbox."""

import asyncio
import json
import os
import pty
import shutil
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import duckdb
import pytest
import pytest_asyncio

from exporter.cli.sandbox import config_text, tokens
from exporter.sandbox.faults import Fault
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.command import Exporter, ended

#: One worker, so that the shared lake is made once.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("commands")]

DATASET = "attendance_strikes_grouped"


def small_world():
    return make_world(2, start=date(2025, 1, 1), end=date(2026, 1, 1), per_month=130)


@asynccontextmanager
async def sandbox_and_program(folder, **options):
    """A sandbox, and the program in a folder with a configuration that exports it."""
    world = small_world()
    async with serve(world, SandboxOptions(rate=None, **options)) as sandbox:
        (folder / "exporter.toml").write_text(config_text(world, sandbox.base_url, sink="./lake"))
        yield sandbox, Exporter(folder, tokens(world))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory):
    async with sandbox_and_program(tmp_path_factory.mktemp("shared")) as pair:
        yield pair


@pytest.fixture
def sandbox(shared):
    return shared[0]


@pytest.fixture
def program(shared, tmp_path):
    """The program in a fresh folder."""
    shutil.copy(shared[1].folder / "exporter.toml", tmp_path)
    return Exporter(tmp_path, shared[1].environ)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(shared):
    """The program in a folder into which everything is exported; tests only read it."""
    _, program = shared
    first = await program("run", "--json")
    assert first.code == 0, first.stderr
    return program, first


async def test_run_publishes_everything_and_keeps_stdout_pure(exported):
    program, first = exported
    summary = first.document
    assert (summary["state"], summary["totals"]["tasks"], summary["totals"]["failed"]) == ("ok", 24, 0)
    assert summary["totals"]["rows"] == summary["datasets"][0]["totals"]["rows"] > 0
    assert summary["datasets"][0]["dataset"] == DATASET
    assert summary["datasets"][0]["failures"] == []
    assert sorted(path.name for path in (program.folder / "lake").iterdir()) == ["_leases", DATASET]


async def test_progress_away_from_a_terminal_is_json_lines(exported):
    _, first = exported
    log = first.log
    assert [log[0]["event"], log[-1]["event"]] == ["planned", "ended"]
    assert {line["run_id"] for line in log} == {first.document["run_id"]}
    fetched = [line for line in log if line["event"] == "fetched"]
    assert len(fetched) == 24
    assert sum(line["rows"] for line in fetched) == first.document["totals"]["rows"]


async def test_metrics_end_the_log_where_they_are_wanted(program):
    program = replace(program, environ={**program.environ, "EXPORTER_METRICS_NAMESPACE": "made-up"})
    end = await program("run", "--start", "2025-01-01", "--end", "2025-02-01", "--json")
    *_, dataset, whole = end.log
    assert (end.code, dataset["dataset"], whole["SuccessfulRuns"]) == (0, DATASET, 1)
    assert dataset["Rows"] == whole["Rows"] == end.document["totals"]["rows"]
    marker = json.loads((program.folder / "lake" / DATASET / "_SUCCESS").read_text())
    assert (marker["run_id"], marker["complete_until"]) == (end.document["run_id"], "2025-02-01")


async def test_no_token_is_written_anywhere(exported):
    program, first = exported
    lake = b"".join(path.read_bytes() for path in (program.folder / "lake").rglob("*") if path.is_file())
    for token in program.environ.values():
        assert token not in first.stdout + first.stderr
        assert token.encode() not in lake


async def test_second_run_of_settled_windows_asks_nothing(sandbox, program):
    assert (await program("run")).code == 0
    asked = len(sandbox.requests)
    again = await program("run", "--json")
    assert (again.code, again.document["totals"]["settled"], again.document["totals"]["requests"]) == (0, 24, 0)
    assert len(sandbox.requests) == asked


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_run_that_is_started_without_some_standard_stream_does_its_work(program, closed):
    bare = replace(program, under=("sh", "-c", f'exec "$@" {closed}', "sh"))
    assert (await bare("run", "--end", "2025-02-01")).code == 0
    assert (await program("verify")).code == 0


async def test_run_in_text_says_what_it_did(program):
    ended = await program("run", "--studio", "harbour-yoga", "--end", "2025-03-01", "--log-format", "text")
    assert ended.code == 0
    assert f"{DATASET}  ok" in ended.stdout
    assert "is the least possible" in ended.stdout
    assert "harbour-yoga 2025-01: " in ended.stderr
    assert "{" not in ended.stderr


async def test_plan_asks_nothing_and_writes_nothing(sandbox, program):
    asked = len(sandbox.requests)
    ended = await program("plan", "--json", "--studio", "harbour-yoga", "juniper-pilates", "--start", "2025-12-01")
    assert ended.code == 0
    assert (ended.document["tasks"], ended.document["least_requests"], ended.document["settled"]) == (2, 2, 0)
    assert [load["studios"] for load in ended.document["credentials"]] == [["harbour-yoga"], ["juniper-pilates"]]
    assert len(sandbox.requests) == asked
    assert not (program.folder / "lake").exists()


async def test_dry_run_is_the_plan(exported):
    program, _ = exported
    plan = await program("plan", "--full")
    dry = await program("run", "--full", "--dry-run")
    assert plan == dry
    assert "24 tasks to fetch, 24 settled" not in plan.stdout
    assert "24 tasks to fetch, 0 settled" in plan.stdout


async def test_shards_are_planned_and_run_one_by_one(program):
    planned = await program("plan", "--shards", "2", "--out", "plans/a.json", "--start", "2025-12-01")
    assert planned.code == 0, planned.stderr
    assert planned.stdout.endswith(
        "2 shards in plans/a.json; run each, from 0 on: exporter run --shard 'plans/a.json#0'\n"
    )
    dry = await program("run", "--dry-run", "--json", "--shard", "plans/a.json#1")
    assert (dry.document["tasks"], len(dry.document["credentials"])) == (1, 1)
    for number in range(2):
        ran = await program("run", "--json", "--shard", f"plans/a.json#{number}")
        assert (ran.code, ran.document["totals"]["published"]) == (0, 1), ran.stderr
    again = await program("plan", "--json", "--shards", "2", "--out", "plans/a.json", "--start", "2025-11-01")
    assert (again.document["shards"][0]["requests"], again.document["start"]) == (1, "2025-11-01")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--shards", "2"), "--shards and --out go together"),
        (("plan", "--out", "p.json"), "--shards and --out go together"),
        (("run", "--shard", "p.json#0"), "p.json: there is no such file"),
        (("run", "--shard", "p.json"), "instead of a file and a number"),
        (("run", "--shard", "p.json#0", "--rewrite"), "rewritten as a whole"),
    ],
)
async def test_a_shard_that_cannot_be_is_refused(program, arguments, said):
    ended = await program(*arguments)
    assert ended.code == 2
    assert said in ended.stderr


async def test_status_before_the_first_run_says_so(program):
    ended = await program("status")
    assert (ended.code, ended.stdout) == (0, "there is no run yet\n")


async def test_status_shows_the_newest_run_last(program):
    narrowed = ("run", "--studio", "harbour-yoga", "--end", "2025-02-01", "--json")
    runs = [(await program(*narrowed)).document["run_id"] for _ in range(2)]
    ended = await program("status", "--json", "--last", "2")
    assert [run["run_id"] for run in ended.document["runs"]] == runs
    assert runs[1] in (await program("status", "--last", "1")).stdout


async def test_status_tells_what_moved_and_how_long_the_lookback_must_be(program):
    assert (await program("status", "--changes")).stdout == "there is no run yet\n"
    narrow = ("--studio", "harbour-yoga", "--start", "2025-11-01")
    assert (await program("run", *narrow)).code == 0
    holding = replace(program, environ={**program.environ, "EXPORTER__RUN__RECONCILE": "warn"})
    again = await holding("run", *narrow, "--full", "--log-format", "text")
    assert f"{DATASET}: 0 of 2 windows fetched again had changed; 2 partitions were left as they were\n" in again.stdout
    assert f"{DATASET}: 1 of 1 totals agree with the API's own\n" in again.stdout
    assert "not put again" in again.stderr
    shown = await program("status", "--changes", "--dataset", DATASET)
    assert shown.code == 0
    assert "days since the window's end" in shown.stdout
    says = "none of the 2 windows that were fetched again had changed; lookback_days is 35"
    assert shown.stdout.endswith(f"{says}\n")
    (found,) = (await program("status", "--changes", "--json")).document["changes"]
    assert (found["dataset"], found["refetched"], found["changed"], found["says"]) == (DATASET, 2, 0, says)
    assert [run["refetched"] for run in found["runs"]] == [0, 2]


async def test_verify_with_source_finds_no_difference(exported):
    program, first = exported
    ended = await program("verify", "--source", "--json")
    assert (ended.code, ended.document["differences"]) == (0, 0)
    (found,) = ended.document["datasets"]
    assert found["rows"] == first.document["totals"]["rows"]
    assert {total["studio"] for total in found["source"]} == {"harbour-yoga", "juniper-pilates"}


async def test_verify_names_each_difference_and_exits_3(exported, tmp_path):
    program, _ = exported
    shutil.copytree(program.folder, tmp_path, dirs_exist_ok=True)
    gone = tmp_path / "lake" / DATASET / "month=2025-04" / "part-00000.parquet"
    gone.unlink()
    ended = await Exporter(tmp_path, program.environ)("verify")
    assert ended.code == 3
    assert f"difference: {DATASET}/month=2025-04/part-00000.parquet: is gone" in ended.stdout


async def test_the_duckdb_definition_reads_every_row(exported):
    program, first = exported
    ended = await program("ddl", "--dialect", "duckdb")
    assert (ended.code, ended.stderr) == (0, "")
    with duckdb.connect() as connection:
        connection.execute(ended.stdout)
        rows, months = connection.execute(f"SELECT count(*), count(DISTINCT month) FROM {DATASET}").fetchone()
    assert (rows, months) == (first.document["totals"]["rows"], 12)


async def test_athena_cannot_read_a_folder(exported):
    program, _ = exported
    ended = await program("ddl", "--dialect", "athena")
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "s3://" in ended.stderr


async def test_doctor_finds_nothing_wrong(program):
    ended = await program("doctor")
    assert ended.code == 0, ended.stdout
    assert ended.stdout.count("ok ") == len(ended.stdout.splitlines()) == 8
    assert not list((program.folder / "lake").rglob("*.parquet"))


async def test_a_refused_token_fails_its_own_studio_and_doctor_says_so(tmp_path):
    async with sandbox_and_program(tmp_path) as (sandbox, program):
        sandbox.revoke("sandbox-token-2")
        ended = await program("run", "--end", "2025-03-01", "--json")
        text = await program("run", "--end", "2025-03-01", "--log-format", "text")
        doctor = await program("doctor")
    assert ended.code == 1
    (dataset,) = ended.document["datasets"]
    assert {failure["studio"] for failure in dataset["failures"]} == {"juniper-pilates"}
    assert all("401" in failure["error"] for failure in dataset["failures"])
    assert dataset["totals"]["published"] + dataset["totals"]["empty"] == 2
    assert text.stdout.count("failed: juniper-pilates") == 1
    assert "(alike in 2 windows: 2025-01-01..2025-03-01)\n" in text.stdout
    assert doctor.code == 1
    assert "problem  credential of juniper-pilates: " in doctor.stdout


async def test_sigterm_ends_with_130_and_the_next_run_goes_on(exported, tmp_path):
    _, undisturbed = exported
    stuck = True

    def faults(number, _asked):
        return Fault.SLOW if stuck and number > 12 else None

    async with sandbox_and_program(tmp_path, faults=faults, slow_s=600) as (_, program):
        process = await program.start("run", "--json")
        assert process.stderr is not None
        while json.loads(await process.stderr.readline())["event"] != "fetched":
            pass
        process.send_signal(signal.SIGTERM)
        stopped = await ended(process)
        stuck = False
        again = await program("run", "--json")
        verified = await program("verify", "--source")
    assert stopped.code == 130
    assert stopped.document["state"] == "interrupted"
    assert stopped.log[-1]["event"] == "ended"
    assert (again.code, again.document["state"], verified.code) == (0, "ok", 0)
    assert again.document["totals"]["requests"] < undisturbed.document["totals"]["requests"]


async def test_json_on_stdout_is_pure_while_a_bar_is_on_the_terminal(program):
    terminal, end = pty.openpty()
    program = Exporter(program.folder, {**program.environ, "TERM": "xterm"})
    try:
        process = await program.start("run", "--studio", "harbour-yoga", "--end", "2025-03-01", "--json", stderr=end)
        shown: list[bytes] = []
        asyncio.get_running_loop().add_reader(terminal, lambda: shown.append(os.read(terminal, 65536)))
        result = await ended(process)
        asyncio.get_running_loop().remove_reader(terminal)
    finally:
        os.close(terminal)
        os.close(end)
    assert (result.code, result.document["state"]) == (0, "ok")
    assert b"pages" in b"".join(shown)


async def test_sandbox_serves_what_its_own_configuration_exports(tmp_path):
    program = Exporter(tmp_path)
    process = await program.start("sandbox", "--port", "0", "--studios", "1", "--write-config", "sandbox.toml")
    assert process.stdout is not None
    lines = [""]
    while not lines[-1].startswith("  exporter run"):
        lines.append((await process.stdout.readline()).decode())
        assert lines[-1], "it ended early"
    exports = dict(line.split()[1].split("=") for line in lines if line.startswith("  export "))
    run = await Exporter(tmp_path, exports)("run", "--config", "sandbox.toml", "--end", "2025-02-01", "--json")
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 130
    assert (run.code, run.document["totals"]["tasks"]) == (0, 1)
    again = await program("sandbox", "--port", "0", "--write-config", "sandbox.toml")
    assert (again.code, again.stdout) == (2, "")
    assert "sandbox.toml: is there already" in again.stderr


async def test_a_taken_port_is_told(sandbox, tmp_path):
    port = sandbox.base_url.split(":")[2].split("/")[0]
    taken = await Exporter(tmp_path)("sandbox", "--port", port)
    assert taken.code == 2
    assert f"port {port} cannot be listened to" in taken.stderr

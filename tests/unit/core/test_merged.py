"""The runs of a plan's shards as one run."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from exporter.core.manifest import ObjectRecord, RunState, TaskState, Totals
from exporter.core.merged import merge_shards
from exporter.core.reply import State
from exporter.core.report import DatasetName
from exporter.core.shards import Shard, ShardedPlan, shard_name
from exporter.core.studio import StudioId
from tests.support.run_events import BEGAN_AT, make_manifest, make_object, make_record

PLAN = ShardedPlan(
    plan="20260301T110000Z-plan",
    planned_at=datetime(2026, 3, 1, 11, tzinfo=UTC),
    version="0",
    config="abc",
    datasets=(DatasetName("attendance_strikes_grouped"),),
    start=date(2025, 1, 1),
    end=date(2025, 2, 1),
    full=False,
    shards=tuple(
        Shard(index=n, studios=(StudioId(f"studio-{n}"), StudioId(f"other-{n}")), requests=2, minutes=0.0)
        for n in range(3)
    ),
)


def run_of(shard, number, *tasks, state=RunState.OK, **totals):
    """The manifest of the run *number* of a shard."""
    return make_manifest(
        *tasks,
        run_id=f"20260301T12000{number}Z-{shard}",
        shard=shard_name(PLAN.plan, shard),
        state=state,
        started_at=BEGAN_AT + timedelta(seconds=number),
        ended_at=BEGAN_AT + timedelta(seconds=number + 1),
        totals=Totals(**totals),
    )


def merged_of(*manifests, errors=None, verified=State.OK):
    return merge_shards(PLAN, manifests, errors=errors or {}, verified=verified)


def all_well():
    return [run_of(n, 0, make_record(f"studio-{n}", rows=5), requests=3, settled=1) for n in range(3)]


def test_shards_that_all_did_well_are_one_run_that_did():
    merged, (manifest,) = merged_of(*all_well())
    assert (merged.state, merged.not_ok, merged.failed_studios) == (State.OK, (), ())
    assert merged.says == "ok: 3 of 3 shards ended well"
    assert merged.run.run_id == manifest.run_id == PLAN.plan
    assert [task.studio for task in manifest.tasks] == ["studio-0", "studio-1", "studio-2"]
    assert merged.run.totals == Totals(tasks=3, published=3, rows=15, requests=9, settled=3, seconds=1.0)


def test_a_task_that_was_handed_over_counts_once_and_costs_what_both_runs_asked():
    record = make_record("studio-0", state=TaskState.PENDING, rows=0, requests=4, retries=1)
    stopped = run_of(0, 0, record, state=RunState.INTERRUPTED, requests=4, retries=1, settled=2)
    done = run_of(0, 5, make_record("studio-0", rows=7, requests=2), requests=2, settled=6)
    merged, (manifest,) = merged_of(stopped, done, *all_well()[1:])
    (task,) = [task for task in manifest.tasks if task.studio == "studio-0"]
    assert (task.state, task.rows, task.requests, task.retries) == (TaskState.PUBLISHED, 7, 6, 1)
    totals = merged.run.totals
    assert (merged.state, totals.tasks, totals.pending, totals.requests, totals.settled) == (State.OK, 3, 0, 12, 4)
    assert totals.seconds == 6.0


def test_what_was_published_stays_so_although_a_duplicate_event_failed_to_repeat_it():
    good = run_of(0, 0, make_record("studio-0", rows=7))
    bad = run_of(0, 1, make_record("studio-0", state=TaskState.FAILED, error="made up"), state=RunState.FAILED)
    _, (manifest,) = merged_of(good, bad)
    assert [(task.state, task.rows) for task in manifest.tasks] == [(TaskState.PUBLISHED, 7)]


@pytest.mark.parametrize(
    ("manifests", "errors", "state", "shard_state", "failed"),
    [
        ([], {}, State.PARTIAL, State.MISSING, ("other-0", "studio-0")),
        ([], {0: "Runtime.ExitError"}, State.PARTIAL, State.MISSING, ("other-0", "studio-0")),
        (
            [run_of(0, 0, make_record("studio-0", state=TaskState.PENDING), state=RunState.INTERRUPTED)],
            {},
            State.MORE,
            State.MORE,
            ("studio-0",),
        ),
        (
            [run_of(0, 0, make_record("studio-0", state=TaskState.PENDING), state=RunState.INTERRUPTED)],
            {0: "Sandbox.Timedout"},
            State.PARTIAL,
            State.FAILED,
            ("studio-0",),
        ),
        (
            [run_of(0, 0, make_record("studio-0", state=TaskState.FAILED), make_record("x"), state=RunState.FAILED)],
            {},
            State.PARTIAL,
            State.PARTIAL,
            ("studio-0",),
        ),
        (
            [run_of(0, 0, make_record("studio-0", state=TaskState.FAILED), state=RunState.FAILED)],
            {},
            State.PARTIAL,
            State.FAILED,
            ("studio-0",),
        ),
    ],
)
def test_a_shard_that_did_not_end_well_is_named_with_its_studios(manifests, errors, state, shard_state, failed):
    merged, _ = merged_of(*manifests, *all_well()[1:], errors=errors)
    (end,) = merged.not_ok
    assert (merged.state, end.shard, end.state, end.error) == (state, 0, shard_state, errors.get(0, ""))
    assert merged.failed_studios == failed
    assert f"0 {shard_state}" in merged.says


def test_where_nothing_is_recorded_at_all_it_failed():
    merged, manifests = merged_of(verified=None)
    assert (merged.state, merged.run, manifests) == (State.FAILED, None, ())
    assert [end.state for end in merged.not_ok] == [State.MISSING] * 3
    assert merged.says.startswith("failed: 0 of 3 shards ended well; the others: 0 missing, 1 missing, 2 missing")


def test_a_plan_without_shards_ended_well():
    merged, _ = merge_shards(replace(PLAN, shards=()), [], errors={}, verified=State.OK)
    assert (merged.state, merged.shards) == (State.OK, 0)


def test_what_is_published_must_be_what_the_manifests_say():
    merged, _ = merged_of(*all_well(), verified=State.FAILED)
    assert (merged.state, merged.says) == (State.DIFFERS, "differs: 3 of 3 shards ended well; verify: failed")


def test_runs_of_other_plans_and_whole_runs_are_left_out():
    others = [make_manifest(make_record("a")), replace(all_well()[0], shard="another#0")]
    assert merged_of(*all_well(), *others)[0] == merged_of(*all_well())[0]


def test_of_an_object_that_several_shards_put_the_last_one_is_told():
    first = make_object()
    last: ObjectRecord = replace(first, rows=first.rows + 1, published_at=first.published_at + timedelta(seconds=1))
    manifests = [replace(m, objects=(o,)) for m, o in zip(all_well(), (first, last, first), strict=True)]
    _, (manifest,) = merged_of(*manifests)
    assert manifest.objects == (last,)

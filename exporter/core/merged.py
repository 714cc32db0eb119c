"""The runs of a plan's shards, told as if one run had done it all. Pure.

Rules kept here: a task that several runs met counts once, by what became of it in the end; what the runs cost adds up;
a shard of which nothing is recorded is named, since otherwise nobody would miss it.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from exporter.core.jsonable import jsonable
from exporter.core.manifest import Manifest, ObjectRecord, RunState, TaskRecord, TaskState, Totals
from exporter.core.reply import State
from exporter.core.shards import Shard, ShardedPlan, shard_name
from exporter.core.summary import RunSummary, summarise_run
from exporter.core.text import some

#: Shards and studios that are named in a sentence at most.
_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnd:
    """What became of one shard.

    Attributes:
        shard: its number.
        state: OK; PARTIAL or FAILED as of a run; MORE where its last run was handed over and not continued; MISSING
            where no run of it is recorded: it never started, or was stopped before it could begin.
        runs: recorded.
        studios: of the shard.
        error: why it was stopped, as far as whoever called it knows.
    """

    shard: int
    state: State
    runs: int
    studios: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """All shards of a plan.

    Attributes:
        state: OK where every shard is, and what is published is what the manifests say.
        says: all of it in a sentence.
        plan: its id.
        shards: how many there are.
        not_ok: those that did not end well.
        failed_studios: with a task that failed, or that nobody has done.
        verified: what was found when the published data was held against the manifests; None where nobody looked.
        run: as one run; None where there is none, since no shard is recorded.
    """

    state: State
    says: str
    plan: str
    shards: int
    not_ok: tuple[ShardEnd, ...]
    failed_studios: tuple[str, ...]
    verified: State | None
    run: RunSummary | None

    def to_json(self) -> bytes:
        """Whole, however long it is."""
        return f"{json.dumps(asdict(self), default=jsonable, ensure_ascii=False)}\n".encode()


def merge_shards(
    sharded: ShardedPlan,
    manifests: Sequence[Manifest],
    *,
    errors: Mapping[int, str],
    verified: State | None,
) -> tuple[Merged, tuple[Manifest, ...]]:
    """What became of a plan.

    Args:
        sharded: the plan.
        manifests: of runs of its shards, oldest first; others are left out.
        errors: why shards were stopped, by their numbers, as far as that is known.
        verified: what came of holding the published data against the manifests.

    Returns:
        All of it; and one manifest for each dataset that has one, as a single run would have written it.
    """
    numbers = {shard_name(sharded.plan, shard.index): shard.index for shard in sharded.shards}
    by_shard: dict[int, list[Manifest]] = {shard.index: [] for shard in sharded.shards}
    by_dataset: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        if (number := numbers.get(manifest.shard)) is not None:
            by_shard[number].append(manifest)
            by_dataset.setdefault(manifest.dataset, []).append(manifest)
    ends = [_end(shard, by_shard[shard.index], errors.get(shard.index, "")) for shard in sharded.shards]
    as_one = tuple(_as_one(sharded.plan, of) for of in by_dataset.values())
    not_ok = tuple(end for end in ends if end.state is not State.OK)
    failed = {task.studio for manifest in as_one for task in manifest.tasks if not task.state.is_done}
    failed |= {studio for end in not_ok if end.state is State.MISSING for studio in end.studios}
    state = _state(not_ok, as_one, verified)
    merged = Merged(
        state=state,
        says=_sentence(state, len(ends), not_ok, sorted(failed), verified),
        plan=sharded.plan,
        shards=len(ends),
        not_ok=not_ok,
        failed_studios=tuple(sorted(failed)),
        verified=verified,
        run=summarise_run(as_one) if as_one else None,
    )
    return merged, as_one


def _end(shard: Shard, manifests: Sequence[Manifest], error: str) -> ShardEnd:
    last = max((manifest.run_id for manifest in manifests), default="")
    states = {manifest.state for manifest in manifests if manifest.run_id == last}
    if not manifests:
        state = State.MISSING
    elif RunState.INTERRUPTED in states:
        state = State.FAILED if error else State.MORE
    elif RunState.FAILED in states:
        whole = any(task.state.is_done for manifest in manifests for task in manifest.tasks)
        state = State.PARTIAL if whole else State.FAILED
    else:
        state = State.OK
    return ShardEnd(
        shard=shard.index,
        state=state,
        runs=len({manifest.run_id for manifest in manifests}),
        studios=shard.studios,
        error="" if state is State.OK else error,
    )


def _state(not_ok: Sequence[ShardEnd], as_one: Sequence[Manifest], verified: State | None) -> State:
    states = {end.state for end in not_ok}
    if State.MORE in states:
        return State.MORE
    if states:
        return State.PARTIAL if any(m.totals.published + m.totals.empty for m in as_one) else State.FAILED
    return State.OK if verified in {State.OK, None} else State.DIFFERS


def _as_one(run_id: str, manifests: Sequence[Manifest]) -> Manifest:
    """The manifests of one dataset, oldest first, as that of one run."""
    tasks: dict[tuple[str, str, str], TaskRecord] = {}
    objects: dict[str, ObjectRecord] = {}
    settled: dict[str, int] = {}
    for manifest in manifests:
        # What a shard's later runs need not ask for, its first one has published.
        settled.setdefault(manifest.shard, manifest.totals.settled)
        for task in manifest.tasks:
            place = (task.window_start, task.studio, task.window_end)
            tasks[place] = _later(tasks[place], task) if place in tasks else task
        for record in manifest.objects:
            known = objects.get(record.key)
            if known is None or known.published_at <= record.published_at:
                objects[record.key] = record
    started, ended = min(m.started_at for m in manifests), max(m.ended_at for m in manifests)
    states = Counter(task.state for task in tasks.values())
    left = states[TaskState.FAILED] + states[TaskState.PENDING]
    return replace(
        manifests[0],
        run_id=run_id,
        state=RunState.FAILED if left else RunState.OK,
        started_at=started,
        ended_at=ended,
        continues=(),
        shard="",
        tasks=tuple(tasks[place] for place in sorted(tasks)),
        objects=tuple(objects[key] for key in sorted(objects)),
        extra_columns=tuple(dict.fromkeys(name for m in manifests for name in m.extra_columns)),
        reconciled=tuple({(r.studio, r.start, r.end): r for m in manifests for r in m.reconciled}.values()),
        totals=replace(
            sum((m.totals for m in manifests), Totals()),
            tasks=len(tasks),
            published=states[TaskState.PUBLISHED],
            empty=states[TaskState.EMPTY],
            failed=states[TaskState.FAILED],
            pending=states[TaskState.PENDING],
            settled=sum(settled.values()),
            rows=sum(task.rows for task in tasks.values()),
            withheld=sum(task.withheld for task in tasks.values()),
            seconds=round((ended - started).total_seconds(), 3),
        ),
    )


def _later(before: TaskRecord, after: TaskRecord) -> TaskRecord:
    """One task that two runs met; what was published stays so, also where a later run failed to repeat it."""
    stands = before if before.state.is_done and not after.state.is_done else after
    return replace(stands, requests=before.requests + after.requests, retries=before.retries + after.retries)


def _sentence(
    state: State, shards: int, not_ok: Sequence[ShardEnd], failed: Sequence[str], verified: State | None
) -> str:
    parts = [f"{state}: {shards - len(not_ok)} of {shards} shards ended well"]
    if not_ok:
        parts.append("the others: " + some([f"{end.shard} {end.state}{_why(end)}" for end in not_ok], _NAMED))
    if failed:
        parts.append(f"{len(failed)} studios are not whole: " + some(failed, _NAMED))
    if verified is not State.OK:
        parts.append(f"verify: {verified or 'not done'}")
    return "; ".join(parts)


def _why(end: ShardEnd) -> str:
    return f" ({end.error})" if end.error else ""

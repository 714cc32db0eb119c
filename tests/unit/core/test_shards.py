"""Cutting a plan by its credentials."""

from datetime import UTC, date, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.plan import Plan
from exporter.core.report import DatasetName
from exporter.core.shards import Shard, ShardedPlan, check_beside, cut, deal, parse_sharded_plan, pick_shard
from exporter.errors import UsageError
from tests.support.tasks import make_studio, make_task, month


def cut_in(plan: Plan, number: int) -> tuple[Shard, ...]:
    return cut(plan, number, page_size=100, requests_per_minute=10)


def sharded(plan: Plan, number: int = 3) -> ShardedPlan:
    return ShardedPlan(
        plan="plan-1",
        planned_at=datetime(2025, 7, 1, 3, 30, tzinfo=UTC),
        version="1.0",
        config="abc",
        datasets=(DatasetName("strikes"),),
        start=date(2025, 1, 1),
        end=date(2025, 7, 1),
        full=False,
        shards=cut_in(plan, number),
    )


@st.composite
def plans(draw):
    """Studios with credentials of their own and shared ones, with any number of tasks, rows known of some."""
    credentials = draw(st.lists(st.sampled_from("abcdefgh"), max_size=20))
    tasks = [
        make_task(make_studio(f"studio-{n}", credential=credential), month(f"2025-{m:02}"))
        for n, credential in enumerate(credentials)
        for m in range(1, draw(st.integers(1, 6)) + 1)
    ]
    known = {task.id: draw(st.integers(0, 5000)) for task in tasks if draw(st.booleans())}
    return Plan(tasks=tuple(tasks), done=(), known_rows=known)


@given(plans(), st.integers(1, 10))
def test_every_studio_is_in_just_one_shard_and_no_credential_in_two(plan, number):
    shards = cut_in(plan, number)
    studios = [studio for shard in shards for studio in shard.studios]
    assert sorted(studios) == sorted({task.studio.id for task in plan.tasks})
    for tasks in plan.lanes().values():
        assert sum(tasks[0].studio.id in shard.studios for shard in shards) == 1
        assert any({task.studio.id for task in tasks} <= {*shard.studios} for shard in shards)


@given(plans(), st.integers(1, 10))
def test_shards_are_numbered_none_is_empty_and_their_requests_add_up(plan, number):
    shards = cut_in(plan, number)
    assert len(shards) == min(number, len(plan.lanes()))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(shard.studios for shard in shards)
    assert sum(shard.requests for shard in shards) == sum(plan.least_requests(100).values())


def test_a_shard_takes_as_long_as_its_longest_credential():
    long, short = make_studio("long"), make_studio("short")
    tasks = [make_task(long, month(f"2025-{m:02}")) for m in range(1, 13)] + [make_task(short)]
    (shard,) = cut_in(Plan(tasks=tuple(tasks), done=(), known_rows={}), 1)
    assert (shard.requests, shard.minutes) == (13, 1.0)  # twelve requests at ten a minute


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 10))
def test_the_heaviest_pile_is_within_the_greedy_bound(loads, number):
    piles = deal(loads, number)
    weights = [sum(loads[position] for position in pile) for pile in piles]
    assert sorted(position for pile in piles for position in pile) == list(range(len(loads)))
    if loads:
        assert max(weights) <= sum(loads) / len(piles) + max(loads) * (1 - 1 / len(piles))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 3))
def test_no_pile_is_a_third_heavier_than_in_the_best_cut(loads, number):
    def heaviest(choice):
        return max(sum(load for load, at in zip(loads, choice, strict=True) if at == n) for n in range(number))

    best = min(heaviest(choice) for choice in product(range(number), repeat=len(loads)))
    assert max(sum(loads[position] for position in pile) for pile in deal(loads, number)) * 3 <= best * 4


@given(plans(), st.integers(1, 10))
def test_what_is_written_is_read_again(plan, number):
    assert parse_sharded_plan(sharded(plan, number).to_json()) == sharded(plan, number)


PLAN = Plan(tasks=(make_task(),), done=(), known_rows={})
NOTHING = Plan(tasks=(), done=(), known_rows={})


@pytest.mark.parametrize("data", [b"", b"{}x", b"3", b"[]", b"{}", b'{"shards": 3}', b"\xff", b"[" * 100_000])
def test_what_is_no_plan_in_shards_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the text
        parse_sharded_plan(data)


def pick(plan, index, *, version="1.0", config="abc"):
    return pick_shard(sharded(plan), index, where=f"plan.json#{index}", version=version, config=config)


@pytest.mark.parametrize(
    ("plan", "index", "known"), [(PLAN, 1, "known are 0 to 0"), (PLAN, -1, "0 to 0"), (NOTHING, 0, "nothing to do")]
)
def test_an_unknown_shard_is_refused_with_those_that_there_are(plan, index, known):
    with pytest.raises(UsageError, match=rf"plan\.json#{index}: there is no shard {index}; .*{known}"):
        pick(plan, index)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"version": "1.1"}, "version 1.0 instead of 1.1"), ({"config": "abd"}, "another configuration")],
)
def test_a_plan_of_another_version_or_configuration_is_refused(changes, said):
    assert pick(PLAN, 0).studios == ("harbour-yoga",)
    with pytest.raises(UsageError, match=rf"plan\.json#0: was planned .*{said}.*plan again"):
        pick(PLAN, 0, **changes)


NO_MORE = {"start": None, "end": None, "studios": (), "datasets": (), "full": False}
THE_SAME = {
    "start": date(2025, 1, 1),
    "end": date(2025, 7, 1),
    "studios": ("harbour-yoga", "cove"),
    "datasets": ("strikes",),
    "full": False,
}


@pytest.mark.parametrize("asked", [NO_MORE, THE_SAME])
def test_what_is_asked_for_beside_a_shard_may_say_the_same(asked):
    whole = sharded(PLAN)
    check_beside(whole, whole.shards[0], where="plan.json#0", **asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"start": date(2025, 2, 1)},
        {"end": date(2025, 2, 1)},
        {"studios": ("cove",)},
        {"datasets": ("strikes", "others")},
        {"full": True},
    ],
)
def test_what_is_asked_for_beside_a_shard_may_not_say_something_else(asked):
    whole, (name,) = sharded(PLAN), asked
    with pytest.raises(UsageError, match=f"with another {name} than asked for"):
        check_beside(whole, whole.shards[0], where="plan.json#0", **{**NO_MORE, **asked})


def test_dealing_takes_few_comparisons_however_many_piles_there_are():
    compared = 0

    class Load(int):
        """A weight that counts how often it is held against another."""

        def __lt__(self, other):
            nonlocal compared
            compared += 1
            return int(self) < int(other)

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return int(self) == int(other)

        __hash__ = int.__hash__

        def __neg__(self):
            return Load(-int(self))

        def __radd__(self, other):
            return Load(int(self) + int(other))

        __add__ = __radd__

    things = 2000
    piles = deal([Load(n % 7) for n in range(things)], things // 2)
    assert sum(map(len, piles)) == things
    # By looking at each pile for each thing it would be a million and more.
    assert compared < 60 * things

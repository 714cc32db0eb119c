"""Cutting a plan by its credentials."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.plan import Plan
from exporter.core.shards import Origin, Shard, check_origin, cut_plan, deal, read_shard, write_shards
from exporter.errors import UsageError
from tests.support.tasks import days, make_studio, make_task, month

ORIGIN = Origin(
    plan="plan-1",
    url="s3://made-up/plan.json",
    version="1.0",
    config="abc",
    datasets=("strikes",),
    days=days("2025-01-01", "2025-07-01"),
    full=False,
)


def cut(plan: Plan, number: int) -> tuple[Shard, ...]:
    return cut_plan(plan, number, ORIGIN, page_size=100, requests_per_minute=10)


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
    shards = cut(plan, number)
    studios = [studio for shard in shards for studio in shard.studios]
    assert sorted(studios) == sorted({task.studio.id for task in plan.tasks})
    for tasks in plan.lanes().values():
        assert sum(tasks[0].studio.id in shard.studios for shard in shards) == 1
        assert any({task.studio.id for task in tasks} <= {*shard.studios} for shard in shards)


@given(plans(), st.integers(1, 10))
def test_shards_are_numbered_none_is_empty_and_their_requests_add_up(plan, number):
    shards = cut(plan, number)
    assert len(shards) == min(number, len(plan.lanes()))
    assert [(shard.index, shard.shards) for shard in shards] == [(n, len(shards)) for n in range(len(shards))]
    assert all(shard.studios for shard in shards)
    assert sum(shard.requests for shard in shards) == sum(plan.least_requests(100).values())


def test_a_shard_takes_as_long_as_its_longest_credential():
    long, short = make_studio("long"), make_studio("short")
    tasks = [make_task(long, month(f"2025-{m:02}")) for m in range(1, 13)] + [make_task(short)]
    (shard,) = cut(Plan(tasks=tuple(tasks), done=(), known_rows={}), 1)
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
    shards = cut(plan, number)
    data = write_shards(shards)
    assert tuple(read_shard(data, ORIGIN.url, n, plan="plan-1") for n in range(len(shards))) == shards


PLAN = Plan(tasks=(make_task(),), done=(), known_rows={})


@pytest.mark.parametrize("data", [b"", b"{}x", b"3", b'{"index": 0}', b"[3]", b"[{}]", b'[{"datasets": 3}]', b"\xff"])
def test_what_is_no_file_of_shards_is_refused(data):
    with pytest.raises(UsageError, match=r"plan\.json: is no file of shards"):
        read_shard(data, "plan.json", 0)


@pytest.mark.parametrize(("plan", "index", "known"), [(PLAN, 1, "it has 0 to 0"), (PLAN, -1, "0 to 0")])
def test_an_unknown_shard_is_refused_with_those_that_there_are(plan, index, known):
    with pytest.raises(UsageError, match=rf"has no shard {index}; .*{known}"):
        read_shard(write_shards(cut(plan, 3)), "plan.json", index)


def test_a_plan_without_anything_to_do_has_no_shard():
    with pytest.raises(UsageError, match="nothing to do"):
        read_shard(write_shards(()), "plan.json", 0)


def test_a_shard_of_another_plan_than_expected_is_refused():
    with pytest.raises(UsageError, match="holds plan plan-1 instead of plan-0"):
        read_shard(write_shards(cut(PLAN, 1)), "plan.json", 0, plan="plan-0")


@pytest.mark.parametrize(
    ("version", "config", "said"), [("1.1", "abc", "version 1.0 instead of 1.1"), ("1.0", "abd", "configuration")]
)
def test_a_plan_of_another_version_or_configuration_is_refused(version, config, said):
    (shard,) = cut(PLAN, 1)
    check_origin(shard, version="1.0", config="abc")
    with pytest.raises(UsageError, match=rf"plan\.json#0: was planned .*{said}.*plan again"):
        check_origin(shard, version=version, config=config)

"""Studios of one credential that are answered with the same ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.coincidence import FEWEST_SHARED, SHARED, Coincidence
from tests.support.tasks import make_dataset, make_studio, make_task, month

COVE = make_studio("cove", credential="shared")
DUNE = make_studio("dune", credential="shared")


def ids(first, last):
    return frozenset(range(first, last))


def second_of(theirs, mine, **changes):
    """What is said of dune's *mine* after cove's *theirs*."""
    seen = Coincidence()
    assert seen.add(make_task(COVE), theirs) is None
    return seen.add(make_task(**{"studio": DUNE, **changes}), mine)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (ids(0, 3), ids(0, 3)),
        (ids(0, 32), ids(0, 32)),
        (ids(0, 10), ids(0, 9)),
        (ids(0, 9), ids(0, 10)),
        (ids(0, 20), ids(1, 20)),
    ],
)
def test_studios_with_nearly_all_ids_in_common_are_one(theirs, mine):
    assert second_of(theirs, mine) == "cove"


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (ids(0, 0), ids(0, 0)),
        (ids(0, 2), ids(0, 2)),
        (ids(0, 10), ids(10, 20)),
        (ids(0, 9), ids(0, 8)),
        (ids(0, 32), ids(0, 3)),
        (ids(0, 3), ids(0, 32)),
    ],
)
def test_studios_with_few_ids_or_few_in_common_are_two(theirs, mine):
    assert second_of(theirs, mine) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"studio": make_studio("dune", credential="own")},
        {"studio": COVE},
        {"window": month("2025-02")},
        {"dataset": make_dataset(name="other")},
    ],
    ids=["another credential", "the same studio", "another window", "another dataset"],
)
def test_only_studios_of_one_credential_in_one_window_of_one_dataset_are_compared(changes):
    assert second_of(ids(0, 9), ids(0, 9), **changes) is None


def test_the_twin_is_found_among_several():
    seen = Coincidence()
    for number, name in enumerate(["bay", "cove", "dell"]):
        studio = make_studio(name, credential="shared")
        assert seen.add(make_task(studio), ids(100 * number, 100 * number + 9)) is None
    assert seen.add(make_task(DUNE), ids(100, 109)) == "cove"


@given(theirs=st.frozensets(st.integers(0, 40)), mine=st.frozensets(st.integers(0, 40)), same=st.integers(0, 32))
def test_two_studios_are_one_just_where_they_share_enough(theirs, mine, same):
    # Ids that both have, so that they are often enough alike.
    theirs, mine = theirs | ids(100, 100 + same), mine | ids(100, 100 + same)
    shared = len(theirs & mine)
    alike = shared >= FEWEST_SHARED and shared >= SHARED * max(len(theirs), len(mine))
    assert (second_of(theirs, mine) == "cove") == alike


@given(st.lists(st.frozensets(st.integers(-(2**63), 2**63 - 1), max_size=32), min_size=1, max_size=4))
def test_a_window_that_is_fetched_again_counts_with_its_last_ids(fetched):
    seen = Coincidence()
    for found in fetched:
        assert seen.add(make_task(COVE), found) is None
    assert (seen.add(make_task(DUNE), fetched[-1]) == "cove") == (len(fetched[-1]) >= FEWEST_SHARED)

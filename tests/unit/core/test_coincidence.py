"""Studios of one credential that are answered with the same ids."""

import pytest

from exporter.core.coincidence import Coincidence
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

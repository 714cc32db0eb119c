"""A sample of ids that is the same for the same ids."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from exporter.tables.sketch import SKETCH_SIZE, sketch

ids = st.lists(st.tuples(st.none() | st.integers(0, 60), st.none() | st.integers(0, 3)), max_size=90)


def table(rows):
    return pa.table(
        {
            "customer_id": pa.array([customer for customer, _ in rows], pa.int64()),
            "venue_id": pa.array([venue for _, venue in rows], pa.int64()),
            "status": ["open"] * len(rows),
        }
    )


def sketch_of(rows, names=("customer_id", "venue_id")):
    return sketch(table(rows), names)


@given(ids, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(rows, shuffler):
    again = rows * 2
    shuffler.shuffle(again)
    assert sketch_of(again) == sketch_of(rows)


@given(ids)
def test_it_has_an_element_for_each_distinct_id_up_to_its_size(rows):
    assert len(sketch_of(rows)) == min(SKETCH_SIZE, len(set(rows)))


@given(ids, ids)
def test_few_ids_are_kept_all_so_that_others_make_another_sketch(one, other):
    if max(len(set(one)), len(set(other))) <= SKETCH_SIZE:
        assert (sketch_of(one) == sketch_of(other)) == (set(one) == set(other))


@given(ids.filter(lambda rows: len(set(rows)) > 1))
def test_of_many_ids_a_few_more_leave_most_of_the_sketch_as_it_was(rows):
    assert len(sketch_of(rows) & sketch_of([*rows, (99, 99)])) >= len(sketch_of(rows)) - 1


def test_a_column_that_was_not_written_is_passed_over():
    rows = [(1, 7), (2, 7)]
    assert sketch_of(rows, ["customer_id", "membership_id"]) == sketch_of(rows, ["customer_id"])


def test_without_any_id_there_is_nothing_to_compare():
    assert sketch_of([(1, 7)], ["membership_id"]) == sketch_of([(1, 7)], []) == sketch_of([]) == frozenset()


def test_ids_may_be_hashes():
    hashed = pa.table({"customer_id": ["a1", "b2", None]})
    assert len(sketch(hashed, ["customer_id"])) == 3

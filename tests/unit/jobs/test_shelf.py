import pyarrow as pa

from exporter.jobs.shelf import COLUMN_BYTES, Kept, Shelf

#: Bytes of one row.
ROW = 8


def fetch(rows, columns=()):
    """Rows with no column that weighs anything, unless some are named."""
    return Kept(pa.table({name: pa.nulls(rows) for name in columns}), (), ROW * rows)


def test_a_fetch_is_here_until_it_is_dropped():
    shelf = Shelf(10 * ROW)
    shelf.put("a", fetch(6))
    assert shelf.get("a").values_bytes == 6 * ROW
    shelf.drop("a")
    assert shelf.get("a") is None


def test_the_oldest_fetches_stay_where_there_is_no_room_and_the_last_one_until_the_next_comes():
    shelf = Shelf(10 * ROW)
    for key in ("a", "b", "c", "d"):
        shelf.put(key, fetch(4))
    assert [key for key in ("a", "b", "c", "d") if shelf.get(key)] == ["a", "b", "d"]


def test_room_is_free_again_once_a_fetch_is_dropped():
    shelf = Shelf(10 * ROW)
    shelf.put("a", fetch(9))
    shelf.drop("a")
    shelf.put("b", fetch(9))
    shelf.put("c", fetch(1))
    shelf.put("d", fetch(9))
    assert [key for key in ("a", "b", "c", "d") if shelf.get(key)] == ["b", "c", "d"]


def test_the_last_fetch_stays_however_large_it_is_until_it_is_dropped():
    shelf = Shelf(10 * ROW)
    shelf.put("a", fetch(1000))
    shelf.drop("never put")
    assert shelf.get("a")
    shelf.drop("a")
    assert shelf.get("a") is None


def test_a_cleared_shelf_is_empty_and_has_all_its_room():
    shelf = Shelf(10 * ROW)
    for key in ("a", "b"):
        shelf.put(key, fetch(9))
    shelf.clear()
    assert not any(shelf.get(key) for key in ("a", "b"))
    for key in ("c", "d"):
        shelf.put(key, fetch(5))
    shelf.put("e", fetch(5))
    assert all(shelf.get(key) for key in ("c", "d", "e"))


def test_fetches_of_few_rows_are_not_taken_for_light():
    shelf = Shelf(10 * COLUMN_BYTES)
    for number in range(100):
        shelf.put(str(number), fetch(1, columns=("customer_id", "count")))
    # The last one stays anyway.
    assert sum(shelf.get(str(number)) is not None for number in range(100)) <= 5 + 1

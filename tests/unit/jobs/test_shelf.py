from exporter.jobs.shelf import Segment, Shelf


def segment(size_bytes):
    return Segment((), (), size_bytes)


def test_a_segment_is_here_until_it_is_dropped():
    shelf = Shelf(100)
    kept = segment(60)
    shelf.put("a", kept)
    assert shelf.get("a") is kept
    shelf.drop("a")
    assert shelf.get("a") is None


def test_the_oldest_segments_stay_where_there_is_no_room():
    shelf = Shelf(100)
    for key in ("a", "b", "c"):
        shelf.put(key, segment(45))
    assert [key for key in ("a", "b", "c") if shelf.get(key)] == ["a", "b"]


def test_room_is_free_again_once_a_segment_is_dropped():
    shelf = Shelf(100)
    shelf.put("a", segment(90))
    shelf.drop("a")
    shelf.put("b", segment(90))
    assert shelf.get("b")


def test_a_segment_larger_than_the_shelf_is_not_kept_and_a_strange_one_is_no_trouble():
    shelf = Shelf(100)
    shelf.put("a", segment(101))
    shelf.drop("never put")
    assert shelf.get("a") is None


def test_a_cleared_shelf_is_empty_and_has_all_its_room():
    shelf = Shelf(100)
    shelf.put("a", segment(90))
    shelf.clear()
    shelf.put("b", segment(90))
    assert (shelf.get("a"), bool(shelf.get("b"))) == (None, True)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sandbox.rate import SlidingMinute, busiest_minute


@given(limit=st.integers(1, 5), steps=st.lists(st.floats(0, 40), max_size=60), count_rejected=st.booleans())
def test_no_sliding_minute_holds_more_than_the_limit(limit, steps, count_rejected):
    minute, now, admitted = SlidingMinute(limit, count_rejected=count_rejected), 0.0, []
    for step in steps:
        now += step
        if minute.ask(now) is None:
            admitted.append(now)
    assert busiest_minute(admitted) <= limit


@given(limit=st.integers(1, 5), times=st.lists(st.floats(0, 300), max_size=40).map(sorted))
def test_a_request_is_refused_only_where_it_would_be_one_too_many(limit, times):
    minute, admitted = SlidingMinute(limit), []
    for now in times:
        if minute.ask(now) is None:
            admitted.append(now)
        else:
            assert sum(now - 60 < earlier for earlier in admitted) == limit


def test_waiting_as_told_is_enough():
    minute = SlidingMinute(2)
    assert minute.ask(0.0) is None
    assert minute.ask(10.0) is None
    assert minute.ask(15.0) == pytest.approx(45.0)
    assert minute.ask(60.0) is None
    assert minute.ask(60.0) == pytest.approx(10.0)


def test_refused_requests_count_only_where_that_is_asked_for():
    lenient, strict = SlidingMinute(1), SlidingMinute(1, count_rejected=True)
    for minute in (lenient, strict):
        assert minute.ask(0.0) is None
        assert minute.ask(30.0) is not None
    assert lenient.ask(60.0) is None
    assert strict.ask(60.0) == pytest.approx(60.0)


def test_the_busiest_minute_leaves_out_its_own_end():
    assert busiest_minute([0.0, 59.9, 60.0]) == 2
    assert busiest_minute([]) == 0

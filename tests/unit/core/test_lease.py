from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.lease import CLOCKS_S, REACH_S, Lease, Reserve, in_seconds, parse_lease, unknown_usage

NOW = datetime(2025, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
HELD = Lease(
    run_id="run-1",
    host="host-1",
    process="17 4",
    expires_at=NOW + timedelta(seconds=60),
    ended={1740830400: 3},
    pending=9,
)


@pytest.mark.parametrize("lease", [HELD, Lease()])
def test_a_record_reads_as_it_was_written(lease):
    assert parse_lease(lease.to_json()) == lease


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"\xff", HELD.to_json().replace(b'"pending": 9', b'"a": 1')]
)
def test_what_is_no_record_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        parse_lease(data)


@settings(deadline=None)
@given(ended=st.lists(st.floats(-60, 0), max_size=20), later_s=st.floats(0, 90))
def test_a_record_never_says_that_a_request_ended_earlier_than_it_did_nor_much_later(ended, later_s):
    lease = Lease(ended=in_seconds(ended, NOW))
    told = lease.usage(NOW + timedelta(seconds=later_s), limit=100)
    true = sorted(moment - later_s for moment in ended)
    assert len(told) >= sum(moment > -60 for moment in true)
    for said, moment in zip(reversed(told), reversed(true), strict=False):
        assert moment - 0.006 <= said <= moment + 1


@settings(deadline=None)
@given(ended=st.lists(st.floats(-50, 0), max_size=20))
def test_handing_over_again_and_again_makes_no_request_later(ended):
    once = in_seconds(ended, NOW)
    assert in_seconds(Lease(ended=once).usage(NOW, limit=100), NOW) == once


def test_what_was_pending_is_taken_to_have_been_sent_to_the_last():
    assert Lease(expires_at=NOW + timedelta(seconds=30), pending=2).usage(NOW, 100) == [REACH_S, REACH_S]
    assert Lease(expires_at=NOW - timedelta(seconds=30), pending=1).usage(NOW, 100) == [REACH_S - 30]
    assert Lease(expires_at=NOW - timedelta(seconds=90), pending=1).usage(NOW, 100) == []


def test_a_moment_that_is_far_ahead_is_taken_for_now():
    assert Lease(ended={int(NOW.timestamp()) + 3600: 2}).usage(NOW, 100) == [REACH_S, REACH_S]


def test_a_clock_that_may_be_behind_makes_every_request_count_for_longer():
    record = Lease(ended={int(NOW.timestamp()) - 20: 1}, pending=1)
    one, other = record.usage(NOW, 5), record.usage(NOW, 5, clocks_s=CLOCKS_S)
    assert other == pytest.approx([moment + CLOCKS_S for moment in one])
    old = Lease(ended={int(NOW.timestamp()) - 61: 1})
    assert (len(old.usage(NOW, 5)), len(old.usage(NOW, 5, clocks_s=CLOCKS_S))) == (0, 1)


@pytest.mark.parametrize(
    ("record", "used"),
    [
        (Lease(), False),
        (Lease(ended={int(NOW.timestamp()) - 1: 3}), False),
        (Lease(ended={int(NOW.timestamp()) - 1: 3, int(NOW.timestamp()) + 1: 1}), True),
        (Lease(pending=1), True),
    ],
)
def test_a_record_tells_whether_anything_was_sent_since(record, used):
    assert record.used_since(NOW) is used


def test_a_record_that_boasts_costs_no_memory():
    assert len(Lease(ended={int(NOW.timestamp()): 10**12}, pending=10**12).usage(NOW, 5)) == 10


def test_a_record_that_cannot_be_read_counts_as_a_minute_used_up():
    assert len(unknown_usage(7, NOW).usage(NOW, 7)) == 7


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (20, 20), (100, 25), (250, 50), (10**6, 1000)])
def test_a_reserve_is_a_fifth_of_the_limit_within_bounds(limit, size):
    assert Reserve(limit).size == size


@settings(deadline=None)
@given(limit=st.integers(1, 300), steps=st.lists(st.sampled_from(["take", "mark", "renew"]), max_size=200))
def test_no_more_is_taken_than_any_record_that_may_stand_in_the_sink_reserves(limit, steps):
    """A record may land as soon as it is made, or when it is known to have landed, or never."""
    reserve, made, taken = Reserve(limit), None, 0
    standing = None
    for step in steps:
        match step:
            case "take":
                taken += reserve.take()
            case "mark":
                made = (reserve.mark(), taken)
            case "renew" if made:
                reserve.renew(made[0])
                standing, made = made, None
        assert taken == 0 if standing is None else taken - standing[1] <= reserve.size
        assert made is None or taken - made[1] <= reserve.size


def test_nothing_is_taken_of_a_void_reserve():
    reserve = Reserve(100)
    reserve.renew(reserve.mark())
    assert reserve.take()
    reserve.void()
    assert not reserve.take()

"""What JSON has no word for is written in one way, and a time is read back whatever its offset."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from exporter.core.jsonable import jsonable, parse_moment


def test_a_moment_is_read_in_utc_wherever_it_was_written():
    assert parse_moment("2025-03-01T13:00:00+01:00") == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert parse_moment("2025-03-01T12:00:00Z").tzinfo is UTC


@dataclass
class Day:
    day: date
    ended_at: datetime


def test_a_record_with_days_and_times_is_written_and_its_times_are_utc():
    noon_in_paris = datetime(2025, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    written = json.dumps([Day(date(2025, 3, 1), noon_in_paris)], default=jsonable)
    assert written == '[{"day": "2025-03-01", "ended_at": "2025-03-01T12:00:00Z"}]'


def test_what_json_cannot_say_is_refused_by_its_type():
    with pytest.raises(TypeError, match="set has no place in JSON"):
        json.dumps({1}, default=jsonable)

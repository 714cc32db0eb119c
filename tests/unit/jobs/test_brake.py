"""Requests are held back where pages come faster than they can be put away."""

import pytest

from exporter.errors import StoreError
from exporter.jobs.brake import Brake


def told():
    said = []
    return said, Brake(said.append)


def test_too_many_waiting_pages_hold_requests_back_until_they_are_written():
    said, brake = told()
    brake.full(True)
    brake.full(True)
    brake.full(False)
    assert said == [True, False]


def test_publishing_holds_nothing_back_where_pages_are_put_away_in_time():
    said, brake = told()
    with brake.publishing():
        brake.full(False)
    assert said == []


def test_publishing_holds_requests_back_once_too_many_pages_waited():
    said, brake = told()
    brake.full(True)
    brake.full(False)
    with brake.publishing():
        assert said == [True, False, True]
        brake.full(False)
        assert said == [True, False, True]
    assert said == [True, False, True, False]
    with brake.publishing():
        assert said == [True, False, True, False]


def test_pages_that_wait_while_a_partition_is_published_hold_requests_back_until_it_is():
    said, brake = told()
    with brake.publishing():
        brake.full(True)
        brake.full(False)
        assert said == [True]
    assert said == [True, False]


def test_requests_go_on_where_publishing_fails_unless_pages_wait():
    said, brake = told()
    brake.full(True)
    with pytest.raises(StoreError), brake.publishing():
        raise StoreError("the sink is full")
    assert said == [True]
    brake.full(False)
    assert said == [True, False]

from dataclasses import replace

import pytest

from tests.support.made_up import make_infraction, make_studio, make_tiny_world


def test_infractions_come_in_the_order_of_their_events():
    late, early = make_infraction(1, "2025-02-01T00:00:00+00:00"), make_infraction(2, "2025-01-01T00:00:00+00:00")
    studio = make_studio([late, early])
    between = make_infraction(3, "2025-01-15T00:00:00+00:00")
    studio.add(between)
    assert studio.infractions == (early, between, late)


def test_infractions_are_made_once_and_only_when_they_are_wanted():
    studio, calls = make_studio([]), []
    studio.source = lambda: calls.append(1) or []
    assert calls == []
    assert studio.infractions == studio.infractions == ()
    assert calls == [1]


def test_every_change_makes_another_version():
    studio = make_studio([make_infraction(1)])
    versions = [studio.version]
    studio.add(make_infraction(2))
    versions.append(studio.version)
    studio.replace(replace(make_infraction(2), status="voided"))
    versions.append(studio.version)
    studio.remove(1)
    versions.append(studio.version)
    assert len(set(versions)) == 4
    assert [infraction.status for infraction in studio.infractions] == ["voided"]


def test_what_is_not_there_cannot_be_taken_away():
    world = make_tiny_world()
    with pytest.raises(KeyError):
        world.studio(1).remove(99)
    with pytest.raises(KeyError):
        world.studio(99)

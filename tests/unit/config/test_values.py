"""Settings become the values that jobs work with."""

import json
from datetime import date

import msgspec
import pytest

from exporter.config.load import parse_settings
from exporter.config.secrets import Secret
from exporter.config.values import credentials, datasets, date_range, hash_id, hash_key, public, references, studios
from exporter.core.report import Pivot
from exporter.core.studio import Studio
from exporter.core.window import Every, Window
from exporter.errors import ConfigError
from tests.support.config_text import config_text

FOUR_STUDIOS = {
    "studios.0.id": '"a"',
    "studios.0.token": '"env:ONE"',
    "studios.1.id": '"b"',
    "studios.1.token": '"env:TWO"',
    "studios.1.timezone": '"Asia/Tokyo"',
    "studios.2.id": '"c"',
    "studios.2.token": '"env:SAME_AS_ONE"',
    "studios.2.provider_id": "7",
    "studios.3.id": '"d"',
    "studios.3.token": '"env:ONE"',
    "studios.3.provider_id": "8",
}
SECRETS = {"env:ONE": Secret("1"), "env:TWO": Secret("2"), "env:SAME_AS_ONE": Secret("1")}


def settings(changes=None):
    return parse_settings(config_text(changes), {})


def test_a_dataset_has_what_its_report_was_given():
    changes = {
        "reports.0.dataset": '"strikes"',
        "reports.0.columns": '["customer", "status", "count"]',
        "reports.0.pivot": '"month"',
        "reports.0.max_pivot_columns": "2",
        "reports.0.status": '["open", "voided"]',
        "reports.0.penalty": "7",
        "reports.0.venues": "[]",
        "windows.every": '"week"',
        "privacy.drop": '["customer.email"]',
        "privacy.hash": '["customer_name", "event.venue"]',
        "privacy.hash_key": '"env:KEY"',
    }
    (dataset,) = datasets(settings(changes), "k1")
    assert dataset.name == "strikes"
    assert dataset.spec.name == "attendance_strikes.grouped"
    assert [c.name for c in dataset.columns] == ["customer_id", "customer_name", "customer_email", "status", "count"]
    assert (dataset.every, dataset.pivot, dataset.max_pivot_columns) == (Every.WEEK, Pivot.MONTH, 2)
    assert dataset.filters == {"status": ("open", "voided"), "penalty": (7,)}
    assert dataset.hash_id == "k1"


def test_privacy_also_meets_columns_that_come_without_being_asked_for():
    changes = {"privacy.drop": '["customer_email"]', "privacy.hash": '["membership_id"]', "privacy.hash_key": '"env:K"'}
    (dataset,) = datasets(settings(changes), "k1")
    assert dataset.drop == {"customer_email"}
    assert dataset.hash == {"membership_id"}


def test_privacy_of_one_report_leaves_the_other_alone():
    changes = {"reports.1.name": '"attendance_strikes"', "privacy.drop": '["customer_thumbnail_url"]'}
    grouped, ungrouped = datasets(settings(changes), "")
    assert grouped.drop == frozenset()
    assert ungrouped.drop == {"customer_thumbnail_url"}


def test_a_hash_key_is_told_from_another_without_being_told():
    with_key = settings({"privacy.hash": '["customer_id"]', "privacy.hash_key": '"env:KEY"'})
    secrets = [{"env:KEY": Secret(text)} for text in ("sixteen letters.", "sixteen letters!")]
    assert [hash_key(with_key, one) for one in secrets] == [b"sixteen letters.", b"sixteen letters!"]
    # What is published holds the id: another one would ask for everything to be written anew.
    assert hash_id(with_key, secrets[0]) == "89f50ea35ac38e47" != hash_id(with_key, secrets[1])


def test_where_nothing_is_hashed_there_is_no_key_and_no_id_of_one():
    assert hash_key(settings(), {}) == b""
    assert hash_id(settings(), {}) == ""


def test_studios_share_a_credential_where_their_references_lead_to_one_secret():
    assert studios(settings(FOUR_STUDIOS), SECRETS) == (
        Studio(id="a", credential="credential-1"),
        Studio(id="b", credential="credential-2", timezone="Asia/Tokyo"),
        Studio(id="c", credential="credential-1", provider_id=7),
        Studio(id="d", credential="credential-1", provider_id=8),
    )
    assert credentials(settings(FOUR_STUDIOS), SECRETS) == {"credential-1": Secret("1"), "credential-2": Secret("2")}


def test_one_business_behind_two_references_is_refused():
    with pytest.raises(ConfigError) as caught:
        studios(settings(FOUR_STUDIOS | {"studios.2.provider_id": "8"}), SECRETS)
    assert str(caught.value) == (
        "studios[3]: env:ONE is the same secret as env:SAME_AS_ONE of studios[2], with the same provider_id, so one "
        "business would be exported twice; remove it or give it its own provider_id"
    )


def test_every_reference_has_the_key_that_holds_it():
    changes = {"privacy.hash": '["customer_id"]', "privacy.hash_key": '"env:KEY"'}
    assert references(settings(changes)) == {
        "studios[0].token of harbour-yoga": "env:TOKEN_HARBOUR",
        "privacy.hash_key": "env:KEY",
    }


def test_a_hash_key_that_nothing_needs_is_not_looked_up():
    assert set(references(settings({"privacy.hash_key": '"env:KEY"'}))) == {"studios[0].token of harbour-yoga"}


def test_today_is_the_first_day_that_is_not_exported():
    today = date(2025, 3, 1)
    assert date_range(settings({"windows.end": '"today"'}), today) == Window(date(2025, 1, 1), today)
    assert date_range(settings(), today) == Window(date(2025, 1, 1), date(2026, 1, 1))


@pytest.mark.parametrize("today", [date(2025, 1, 1), date(2024, 1, 1)])
def test_a_first_day_that_is_yet_to_come_is_refused(today):
    with pytest.raises(
        ConfigError, match=r'\Awindows\.start is 2025-01-01 instead of a day before windows\.end \("today"'
    ):
        date_range(settings({"windows.end": '"today"'}), today)


def test_days_that_take_the_place_of_the_configured_ones_are_held_to_the_same_rules():
    changes = {"windows.every": '"year"', "reports.0.pivot": '"month"', "reports.0.max_pivot_columns": "3"}
    narrow = settings({**changes, "windows.end": '"2025-04-01"'})
    today = date(2026, 1, 1)
    assert date_range(narrow, today, end=date(2025, 3, 1)) == Window(date(2025, 1, 1), date(2025, 3, 1))
    with pytest.raises(ConfigError, match=r"max_pivot_columns is 3, but a window of one year touches up to 4 periods"):
        date_range(narrow, today, end=date(2025, 5, 1))


def test_the_public_configuration_is_json_that_loads_to_the_same_settings():
    changes = FOUR_STUDIOS | {
        "reports.0.status": '["open"]',
        "reports.0.penalty": "7",
        "privacy.hash": '["customer"]',
        "privacy.hash_key": '"env:K"',
    }
    tree = json.loads(json.dumps(public(settings(changes))))
    assert tree["reports"][0]["status"] == ["open"]
    assert tree["studios"][0]["token"] == "env:ONE"
    for studio in tree["studios"]:
        if studio["provider_id"] is None:
            del studio["provider_id"]
    # A JSON text is what a variable holds, but for the sign between key and value.
    environ = {f"EXPORTER__{key.upper()}": _toml(value) for key, value in tree.items()}
    assert parse_settings("", environ) == settings(changes)


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def test_a_secret_that_was_put_into_settings_by_hand_is_not_public():
    whole = settings()
    (studio,) = whole.studios
    by_hand = msgspec.structs.replace(whole, studios=(msgspec.structs.replace(studio, token="s3cret"),))
    assert public(by_hand)["studios"][0]["token"] == "***"

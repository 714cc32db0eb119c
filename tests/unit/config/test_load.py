"""Where the configuration is found, what it comes to, and how the environment overrides it."""

import subprocess
import sys
from datetime import date

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.load import load_settings, parse_settings
from exporter.config.secrets import FORMS
from exporter.config.settings import Api, Privacy, Report, Settings, Sink, StudioSection, Windows
from exporter.core.catalogue import REPORTS
from exporter.core.report import Pivot
from exporter.core.window import Every
from exporter.errors import ConfigError
from tests.support.config_text import config_text

#: Valid values of keys of every type, as TOML.
VALUES = {
    "api.base_url": st.sampled_from(['"https://a.example.test"', '"http://[::1]:8/api"', '"http://localhost:99"']),
    "api.spread": st.sampled_from(["true", "false"]),
    "api.page_size": st.integers(1, 100).map(str),
    "api.timeout": st.floats(0.1, 86_400).map(repr) | st.integers(1, 60).map(str),
    "api.format": st.sampled_from(['"json"', '"csv"']),
    "windows.start": st.dates(date(1900, 1, 1), date(2025, 12, 31)).map(str),
    "windows.end": st.sampled_from(['"2026-01-01"', "2026-01-01", '"today"']),
    "windows.lookback_days": st.integers(0, 1000).map(str),
    "reports.0.status": st.sampled_from(['["open"]', '["open", "voided"]', "[]"]),
    "reports.0.venues": st.lists(st.integers(1, 9), unique=True).map(str),
    "reports.0.penalty": st.integers(1, 9).map(str),
    "reports.0.columns": st.permutations(["status", "customer.id", "event", "count"]).map(str),
    "studios.0.id": st.sampled_from(['"7"', '"true"', '"a-b_c"']),
    "studios.0.provider_id": st.integers(1, 2**63 - 1).map(str),
    "sink.url": st.sampled_from(['"./a,b"', '"file:///a"', '"s3://bucket/env=1"']),
}
CHANGES = st.fixed_dictionaries({}, optional=VALUES)


def test_defaults_are_those_that_are_documented():
    assert parse_settings(config_text(), {}) == Settings(
        api=Api(),
        reports=(
            Report(
                name="attendance_strikes.grouped",
                dataset="attendance_strikes_grouped",
                columns=REPORTS["attendance_strikes.grouped"].default_columns,
                pivot=Pivot.ALL,
            ),
        ),
        windows=Windows(start=date(2025, 1, 1), end=date(2026, 1, 1), every=Every.MONTH, lookback_days=35),
        privacy=Privacy(),
        studios=(StudioSection(id="harbour-yoga", token="env:TOKEN_HARBOUR"),),
        sink=Sink(url="./lake"),
    )


def test_a_file_without_a_path_is_exporter_toml_or_what_the_environment_names():
    asked = []

    def read(path):
        asked.append(path)
        return config_text().encode()

    load_settings(None, {}, read=read)
    load_settings(None, {"EXPORTER_CONFIG": "s3://bucket/a.toml"}, read=read)
    load_settings("b.toml", {"EXPORTER_CONFIG": "s3://bucket/a.toml"}, read=read)
    assert asked == ["exporter.toml", "s3://bucket/a.toml", "b.toml"]


def test_a_file_with_byte_order_mark_and_windows_line_ends_is_read(tmp_path):
    path = tmp_path / "exporter.toml"
    path.write_bytes(b"\xef\xbb\xbf" + config_text().replace("\n", "\r\n").encode())
    assert load_settings(str(path), {}) == parse_settings(config_text(), {})


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file; write one with \"exporter init\""):
        load_settings(str(tmp_path / "nowhere.toml"), {})


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r": cannot be read \(Is a directory\)\Z"):
        load_settings(str(tmp_path), {})


def test_a_file_that_is_not_utf8_is_one_line():
    with pytest.raises(ConfigError, match=r"\Aexporter\.toml: is not UTF-8 \(byte 2\); save it as UTF-8\Z"):
        load_settings(None, {}, read=lambda _: b"# \xff")


def test_a_file_on_s3_is_read(aws):
    client = boto3.client("s3")
    client.create_bucket(Bucket="made-up")
    client.put_object(Bucket="made-up", Key="etc/exporter.toml", Body=config_text().encode())
    assert load_settings("s3://made-up/etc/exporter.toml", {}) == parse_settings(config_text(), {})


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("s3://made-up/nothing", "cannot be read: AWS answered NoSuchBucket"),
        ("s3://made-up", "names no object; write s3://bucket/key"),
        ("s3://a b/c", "cannot be read: Parameter validation failed"),
    ],
)
def test_a_file_that_s3_does_not_give_is_named(aws, url, fault):
    with pytest.raises(ConfigError) as caught:
        load_settings(url, {})
    assert str(caught.value).startswith(f"{url}: {fault}")
    assert "\n" not in str(caught.value)


@given(CHANGES)
def test_the_environment_says_the_same_as_the_file(changes):
    environ = {f"EXPORTER__{key.replace('.', '__').upper()}": value for key, value in changes.items()}
    assert parse_settings(config_text(), environ) == parse_settings(config_text(changes), {})


@given(CHANGES, CHANGES)
def test_the_environment_wins_over_the_file(in_file, overriding):
    environ = {f"EXPORTER__{key.replace('.', '__').upper()}": value for key, value in overriding.items()}
    assert parse_settings(config_text(in_file), environ) == parse_settings(config_text(in_file | overriding), {})


@pytest.mark.parametrize(
    ("variable", "words", "key", "value"),
    [
        ("EXPORTER__SINK__URL", "./lake, and more", "sink.url", '"./lake, and more"'),
        ("EXPORTER__SINK__URL", r"C:\lake", "sink.url", r"'C:\lake'"),
        ("EXPORTER__STUDIOS__0__ID", "7", "studios.0.id", '"7"'),
        ("EXPORTER__STUDIOS__0__TOKEN", "file:/run/secrets/x", "studios.0.token", '"file:/run/secrets/x"'),
        ("EXPORTER__WINDOWS__END", "today", "windows.end", '"today"'),
        ("EXPORTER__WINDOWS__END", "2027-01-01", "windows.end", "2027-01-01"),
        ("EXPORTER__API__TIMEOUT", "5", "api.timeout", "5.0"),
        ("EXPORTER__API__SPREAD", "true", "api.spread", "true"),
        ("EXPORTER__REPORTS__0__COLUMNS", "status, count", "reports.0.columns", '["status", "count"]'),
        ("EXPORTER__REPORTS__0__COLUMNS__0", "count", "reports.0.columns", '["count"]'),
        ("EXPORTER__REPORTS__0__STATUS", "", "reports.0.status", "[]"),
        ("EXPORTER__REPORTS__0__VENUES", "3,4", "reports.0.venues", "[3, 4]"),
        ("EXPORTER__PRIVACY__DROP", "customer.email", "privacy.drop", '["customer.email"]'),
        ("EXPORTER__SINK", '{url = "./b"}', "sink.url", '"./b"'),
        ("EXPORTER__api__spread", "true", "api.spread", "true"),
    ],
)
def test_a_variable_needs_no_quotes_where_its_type_is_known(variable, words, key, value):
    assert parse_settings(config_text(), {variable: words}) == parse_settings(config_text({key: value}), {})


def test_numbers_in_variables_count_the_tables_and_the_next_one_adds_a_table():
    environ = {"EXPORTER__STUDIOS__0__TIMEZONE": "Asia/Tokyo"}
    for number in range(1, 12):
        environ |= {
            f"EXPORTER__STUDIOS__{number}__ID": f"s{number}",
            f"EXPORTER__STUDIOS__{number}__TOKEN": f"env:T{number}",
        }
    studios = parse_settings(config_text(), environ).studios
    assert [(s.id, s.timezone) for s in studios[:2]] == [("harbour-yoga", "Asia/Tokyo"), ("s1", "UTC")]
    assert [s.token for s in studios[1:]] == [f"env:T{number}" for number in range(1, 12)]


def test_tables_can_come_from_a_variable_alone():
    environ = {
        "EXPORTER__STUDIOS": '[{id = "a", token = "env:A"}, {id = "b", token = "env:B"}]',
        "EXPORTER__REPORTS": '[{name = "attendance_strikes"}]',
        "EXPORTER__WINDOWS__START": "2025-01-01",
        "EXPORTER__WINDOWS__END": "today",
    }
    settings = parse_settings("", environ)
    assert [s.id for s in settings.studios] == ["a", "b"]
    assert settings.reports[0].dataset == "attendance_strikes"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"EXPORTER__WINDOWS__EVERY": "fortnight"},
            'EXPORTER__WINDOWS__EVERY: windows.every is "fortnight" instead of day, week, month or year',
        ),
        (
            {"EXPORTER__SINK__URI": "s3cret"},
            "EXPORTER__SINK__URI: sink.uri is not a known key; did you mean sink.url?",
        ),
        ({"EXPORTER__SINKS__URL": "s3cret"}, "EXPORTER__SINKS__URL: sinks is not a known key; did you mean sink?"),
        ({"EXPORTER__": "s3cret"}, "EXPORTER__: names no key; write EXPORTER__SECTION__KEY"),
        ({"EXPORTER__SINK__": "s3cret"}, "EXPORTER__SINK__: names no key; write EXPORTER__SECTION__KEY"),
        ({"EXPORTER__0": "s3cret"}, "EXPORTER__0: the configuration is no list, so it has no item 0"),
        (
            {"EXPORTER__STUDIOS__ID": "s3cret"},
            "EXPORTER__STUDIOS__ID: studios is no table, so it has no key id",
        ),
        (
            {"EXPORTER__STUDIOS__3__ID": "s3cret"},
            "EXPORTER__STUDIOS__3__ID: the next item of studios is number 1, not 3",
        ),
        (
            {"EXPORTER__STUDIOS": "s3cret"},
            "EXPORTER__STUDIOS: studios is a plain value instead of one or more [[studios]] tables",
        ),
        ({"EXPORTER__API": "s3cret"}, "EXPORTER__API: api is a plain value instead of a table"),
        (
            {"EXPORTER__API": "{}", "EXPORTER__API__SPREAD": "true"},
            "EXPORTER__API__SPREAD: api is no table, so it has no key spread",
        ),
        (
            {"EXPORTER__API__PAGE_SIZE": ""},
            'EXPORTER__API__PAGE_SIZE: api.page_size is "" instead of an integer from 1 to 100',
        ),
        (
            {"EXPORTER__API__PAGE_SIZE": "1\nspread = true"},
            r'EXPORTER__API__PAGE_SIZE: api.page_size is "1\nspread = true" instead of an integer from 1 to 100',
        ),
        (
            {"EXPORTER__REPORTS__0__VENUES": "3,x"},
            'EXPORTER__REPORTS__0__VENUES: reports[0].venues[1] is "x" instead of an integer of at least 1',
        ),
        (
            {"EXPORTER__STUDIOS__0__TOKEN": "s3cret"},
            f"EXPORTER__STUDIOS__0__TOKEN: studios[0].token is written out instead of a reference; write {FORMS}",
        ),
        (
            {"EXPORTER__STUDIOS__1__TOKEN": "env:B", "EXPORTER__STUDIOS__1__ID": "harbour-yoga"},
            'EXPORTER__STUDIOS__1__ID: studios[1].id is "harbour-yoga" instead of an id of its own; studios[0] has it',
        ),
        (
            {"EXPORTER__STUDIOS__1": '{id = "b"}'},
            "EXPORTER__STUDIOS__1: studios[1].token is missing; give a string",
        ),
        (
            {"EXPORTER__WINDOWS__START": "2027-01-01"},
            "exporter.toml: windows.end is 2026-01-01 instead of a day after windows.start (2027-01-01)",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(environ, line):
    with pytest.raises(ConfigError) as caught:
        parse_settings(config_text(), environ)
    assert str(caught.value) == line


@given(st.text())
def test_a_token_that_was_written_out_is_in_no_message(text):
    token = f"<{text}>"
    with pytest.raises(ConfigError) as caught:
        parse_settings(config_text(), {"EXPORTER__STUDIOS__0__TOKEN": token, "EXPORTER__PRIVACY__HASH_KEY": token})
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"windows.start": "2025-01-01", "windows.end": "2025-01-02"},
        {"windows.start": "1900-01-01", "windows.end": "2200-01-01"},
        {"reports.0.pivot": '"week"', "reports.0.max_pivot_columns": "6"},
        {"reports.0.pivot": '"month"', "windows.end": '"today"'},
        {"reports.0.columns": '["count"]', "privacy.drop": '["customer"]'},
        {"reports.0.columns": '["customer", "event.venue.id", "count"]', "privacy.drop": '["customer_email"]'},
        {"reports.1.name": '"attendance_strikes"', "privacy.drop": '["customer_thumbnail_url"]'},
        {"reports.1.name": '"attendance_strikes.grouped"', "reports.1.dataset": '"by_month"'},
        {"studios.1.id": '"b"', "studios.1.token": '"env:TOKEN_HARBOUR"', "studios.1.provider_id": "7"},
        {"studios.0.timezone": '"America/Argentina/Buenos_Aires"'},
        {"studios.0.token": '"secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:a#b"'},
        {"api.base_url": '"http://127.9.9.9:8080/api"'},
        {"api.base_url": '"http://goteamup.example.test"', "api.allow_http": "true"},
        {"sink.url": '"s3://bucket"', "sink.endpoint_url": '"http://10.0.0.1:9000"', "sink.allow_http": "true"},
        {
            "sink.url": '"s3://bucket"',
            "sink.kms_key_id": '"alias/lake"',
            "sink.endpoint_url": '"https://10.0.0.1:9000"',
        },
        {"sink.url": '"s3://bucket"', "sink.endpoint_url": '"http://127.0.0.1:9000"'},
        {"sink.url": '"s3://bucket"', "sink.expected_bucket_owner": '"123456789012"'},
        {"sink.url": '"./lake"', "sink.readable_by": '"group"'},
        {"sink.url": '"s3://bucket/a=1/b@c/"'},
        {"sink.url": '"/srv/Zürich data/lake"'},
        {"privacy.hash": '["customer_email"]', "privacy.hash_key": '"ssm:/exporter/key"'},
    ],
)
def test_what_is_allowed_is_not_refused(changes):
    assert parse_settings(config_text(changes), {})


@pytest.mark.parametrize("url", ["https://a.example.test/api/v2", "https://a.example.test/api/v2/"])
def test_a_slash_at_the_end_of_the_base_url_makes_no_difference(url):
    settings = parse_settings(config_text({"api.base_url": f'"{url}"'}), {})
    assert settings.api.base_url == "https://a.example.test/api/v2"


def test_loading_imports_nothing_heavy():
    program = (
        "import sys, exporter.config.load, exporter.config.values, exporter.config.starter;"
        "print(sorted({'aiohttp', 'boto3', 'botocore', 'pyarrow', 'asyncio', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

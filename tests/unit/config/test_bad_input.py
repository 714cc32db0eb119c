"""Every mistake of a configuration is one line that names file, key, what was seen and what is allowed."""
# ruff: noqa: E501 - a row holds the whole line that is expected

import pytest

from exporter.config.load import parse_settings
from exporter.errors import ConfigError
from tests.support.config_text import config_text

FORMS = "env:NAME, file:PATH, ssm:/path or secretsmanager:name#key"
ID = 'a word of 1 to 100 letters, digits, "_" and "-", beginning with a letter or digit'
DATASET = 'a word of 1 to 100 lower-case letters, digits and "_", beginning with a letter'
DAY = "a date such as 2025-01-31"
SINK = "a folder, file:///path or s3://bucket/prefix"
HTTP = "an http:// or https:// URL with a host"
S3 = "s3://bucket/prefix with letters, digits and !'()&$@=;:+,._- between single slashes"
GROUPED = "attendance_strikes.grouped"
COLUMNS = (
    "customer_id, customer_name, customer_email, status, attendance_status, rule_applies_to, offering_type_id, "
    "offering_type_name, venue_id, venue_name, membership_id, membership_name, day_of_week, event_start_time, count"
)
STATUSES = "open, voided, expired, in_penalty_sequence, upcoming_charge, charged or charge_skipped"
SECOND_STUDIO = {"studios.1.id": '"b"', "studios.1.token": '"env:B"'}
SECOND_REPORT = {"reports.1.name": '"attendance_strikes"'}

#: One changed key, its TOML value (None: left out), and the line without the file's name.
ONE_KEY = [
    # Keys.
    ("windows.evry", '"month"', "windows.evry is not a known key; did you mean windows.every?"),
    (
        "api.token",
        '"s3cret"',
        "api.token is not a known key; known are base_url, auth_scheme, requests_per_minute, spread, max_connections, timeout, max_attempts, format, page_size, pagination, list_style, studio_headers, allow_http",
    ),
    ("sinks.url", '"./x"', "sinks is not a known key; did you mean sink?"),
    (
        "base_url",
        '"x"',
        "base_url is not a known key; known are api, reports, windows, privacy, studios, sink, run, notify",
    ),
    ("studios.0.tokne", '"s3cret"', "studios[0].tokne is not a known key; did you mean studios[0].token?"),
    (
        "reports.0.filters",
        "{}",
        "reports[0].filters is not a known key; known are name, dataset, columns, pivot, max_pivot_columns, status, attendance_status, rule_applies_to, customers, memberships, offering_types, venues, penalty",
    ),
    ("reports.0.venue", "[1]", "reports[0].venue is not a known key; did you mean reports[0].venues?"),
    ("windows.start", None, f"windows.start is missing; give {DAY}"),
    ("windows.end", None, f'windows.end is missing; give {DAY} or "today"'),
    ("studios.0.id", None, f"studios[0].id is missing; give {ID}"),
    ("studios.0.token", None, "studios[0].token is missing; give a string"),
    # Types.
    ("api", '"x"', "api is a plain value instead of a table"),
    ("api.page_size", '"100"', 'api.page_size is "100" instead of an integer from 1 to 100'),
    ("api.page_size", "100.0", "api.page_size is 100.0 instead of an integer from 1 to 100"),
    ("api.requests_per_minute", "true", "api.requests_per_minute is true instead of an integer of at least 1"),
    ("api.spread", '"yes"', 'api.spread is "yes" instead of true or false'),
    ("api.spread", "1", "api.spread is 1 instead of true or false"),
    ("api.base_url", "7", "api.base_url is 7 instead of a string"),
    ("reports.0.columns", '"count"', 'reports[0].columns is "count" instead of a list of at least one column'),
    ("reports.0.columns", '["count", 7]', "reports[0].columns[1] is 7 instead of a string"),
    ("reports.0.columns", "[[]]", "reports[0].columns[0] is an empty list instead of a string"),
    ("reports.0.customers", "5", "reports[0].customers is 5 instead of a list of integers"),
    ("reports.0.customers", '["5"]', 'reports[0].customers[0] is "5" instead of an integer of at least 1'),
    ("reports.0.penalty", "[5]", "reports[0].penalty is a list instead of an integer of at least 1"),
    ("privacy.drop", '"status"', 'privacy.drop is "status" instead of a list of strings'),
    ("privacy.hash_key", "1234", "privacy.hash_key is *** instead of a string"),
    ("studios.0.token", "1234", "studios[0].token is *** instead of a string"),
    ("studios.0.provider_id", '"5"', 'studios[0].provider_id is "5" instead of an integer of at least 1'),
    ("sink", '"./lake"', "sink is a plain value instead of a table"),
    # Ranges.
    ("api.page_size", "0", "api.page_size is 0 instead of an integer from 1 to 100"),
    ("api.page_size", "101", "api.page_size is 101 instead of an integer from 1 to 100"),
    ("api.requests_per_minute", "0", "api.requests_per_minute is 0 instead of an integer of at least 1"),
    ("api.max_connections", "0", "api.max_connections is 0 instead of an integer from 1 to 1000"),
    ("api.max_connections", "1001", "api.max_connections is 1001 instead of an integer from 1 to 1000"),
    ("api.timeout", "0", "api.timeout is 0 instead of a number of seconds above 0, at most 86400"),
    ("api.timeout", "inf", "api.timeout is inf instead of a number of seconds above 0, at most 86400"),
    ("api.timeout", "nan", "api.timeout is nan instead of a number of seconds above 0, at most 86400"),
    ("api.max_attempts", "0", "api.max_attempts is 0 instead of an integer of at least 1"),
    ("reports.0.max_pivot_columns", "0", "reports[0].max_pivot_columns is 0 instead of an integer from 1 to 12"),
    ("reports.0.max_pivot_columns", "13", "reports[0].max_pivot_columns is 13 instead of an integer from 1 to 12"),
    ("reports.0.venues", "[0]", "reports[0].venues[0] is 0 instead of an integer of at least 1"),
    ("reports.0.venues", f"[{2**63}]", f"reports[0].venues[0] is {2**63} instead of an integer of at least 1"),
    (
        "reports.0.venues",
        f"[{10**90}]",
        "reports[0].venues[0] is a number of too many digits instead of an integer of at least 1",
    ),
    ("studios.0.provider_id", "-1", "studios[0].provider_id is -1 instead of an integer of at least 1"),
    ("windows.lookback_days", "-1", "windows.lookback_days is -1 instead of an integer of at least 0"),
    # Choices.
    ("windows.every", '"fortnight"', 'windows.every is "fortnight" instead of day, week, month or year'),
    ("reports.0.name", '"strikes"', f'reports[0].name is "strikes" instead of {GROUPED} or attendance_strikes'),
    ("reports.0.pivot", '"day"', 'reports[0].pivot is "day" instead of all, year, month or week'),
    ("reports.0.status", '["opne"]', f'reports[0].status[0] is "opne" instead of {STATUSES}'),
    ("reports.0.status", '[""]', f'reports[0].status[0] is "" instead of {STATUSES}'),
    ("reports.0.status", '["open", "open"]', 'reports[0].status[1] is "open" a second time; name it once'),
    ("reports.0.venues", "[3, 4, 3]", "reports[0].venues[2] is 3 a second time; name it once"),
    ("sink.compression", '"gzip"', 'sink.compression is "gzip" instead of zstd, snappy or none'),
    ("api.format", '"xml"', 'api.format is "xml" instead of json or csv'),
    ("api.pagination", '"cursor"', 'api.pagination is "cursor" instead of offset or page'),
    ("api.list_style", '"pipe"', 'api.list_style is "pipe" instead of comma, repeat or brackets'),
    ("api.auth_scheme", '"Basic"', 'api.auth_scheme is "Basic" instead of Bearer, Token or JWT'),
    # Dates.
    ("windows.start", '"2025-02-30"', f'windows.start is "2025-02-30" instead of {DAY}'),
    ("windows.start", '"2025-1-1"', f'windows.start is "2025-1-1" instead of {DAY}'),
    ("windows.start", '"today"', f'windows.start is "today" instead of {DAY}'),
    ("windows.start", "2025-01-01T00:00:00Z", f"windows.start is 2025-01-01T00:00:00+00:00 instead of {DAY}"),
    (
        "windows.start",
        "1899-12-31",
        "windows.start is 1899-12-31 instead of a day from 1900-01-01 to before 2200-01-01",
    ),
    ("windows.end", '"tomorrow"', f'windows.end is "tomorrow" instead of {DAY} or "today"'),
    ("windows.end", '"2025-01-01"', "windows.end is 2025-01-01 instead of a day after windows.start (2025-01-01)"),
    ("windows.end", "2024-12-31", "windows.end is 2024-12-31 instead of a day after windows.start (2025-01-01)"),
    ("windows.end", "2200-01-02", "windows.end is 2200-01-02 instead of a day up to 2200-01-01"),
    # Names.
    *(
        ("studios.0.id", f'"{bad}"', f'studios[0].id is "{bad}" instead of {ID}')
        for bad in ("", "a/b", "a.b", "..", ".a", "_a", "-a", "a b", "é")
    ),
    ("studios.0.id", r'"a\n"', rf'studios[0].id is "a\n" instead of {ID}'),
    ("studios.0.id", f'"{"a" * 101}"', f'studios[0].id is "{"a" * 80}..." instead of {ID}'),
    *(
        ("reports.0.dataset", f'"{bad}"', f'reports[0].dataset is "{bad}" instead of {DATASET}')
        for bad in ("", "a/b", "a.b", "..", "_a", "1a", "Strikes", "a-b")
    ),
    # Time zones.
    (
        "studios.0.timezone",
        '"Europe/Lodnon"',
        'studios[0].timezone is "Europe/Lodnon" instead of an IANA time zone; did you mean Europe/London?',
    ),
    *(
        (
            "studios.0.timezone",
            f'"{bad}"',
            f'studios[0].timezone is "{bad}" instead of an IANA time zone such as Europe/London',
        )
        for bad in ("", "GMT+25:00", "/etc/localtime", "../../etc/passwd", "localtime", "Europe", "+01:00")
    ),
    # Columns.
    ("reports.0.columns", "[]", "reports[0].columns is an empty list instead of a list of at least one column"),
    (
        "reports.0.columns",
        '["statuss", "count"]',
        f'reports[0].columns[0] is "statuss", which is no column of {GROUPED}; did you mean status?',
    ),
    (
        "reports.0.columns",
        '["zzz", "count"]',
        f'reports[0].columns[0] is "zzz", which is no column of {GROUPED}; known are {COLUMNS}',
    ),
    (
        "reports.0.columns",
        '["status"]',
        'reports[0].columns has no "count", without which grouped rows say nothing; add it',
    ),
    ("reports.0.columns", '["count", "count"]', 'reports[0].columns[1] is "count" a second time; name it once'),
    (
        "reports.0.columns",
        '["customer_id", "customer.id", "count"]',
        'reports[0].columns: "customer.id" names the column customer_id a second time; name each column once',
    ),
    (
        "reports.0.columns",
        '["customer", "customer_id", "count"]',
        'reports[0].columns: "customer_id" names the column customer_id a second time; name each column once',
    ),
    # Privacy.
    ("privacy.drop", '["email"]', f'privacy.drop[0] is "email", which is no column of {GROUPED}; known are {COLUMNS}'),
    (
        "privacy.drop",
        '["count"]',
        'privacy.drop[0] is "count", which is counted and says nothing of a person; leave it out',
    ),
    (
        "privacy.drop",
        '["window_start"]',
        'privacy.drop[0] is "window_start", which every dataset needs; name a column of a report',
    ),
    ("privacy.hash", '["customer_id"]', f"privacy.hash_key is missing, but privacy.hash needs a key; write {FORMS}"),
    ("privacy.hash_key", '"s3cret"', f"privacy.hash_key is written out instead of a reference; write {FORMS}"),
    ("privacy.hash_key", '"env:"', f'privacy.hash_key is "env:" instead of {FORMS}'),
    # References.
    ("studios.0.token", '"s3cret"', f"studios[0].token is written out instead of a reference; write {FORMS}"),
    ("studios.0.token", '"ENV:TOKEN"', f"studios[0].token is written out instead of a reference; write {FORMS}"),
    ("studios.0.token", '""', f"studios[0].token is empty; write {FORMS}"),
    ("studios.0.token", '"env:A B"', f'studios[0].token is "env:A B" instead of {FORMS}'),
    ("studios.0.token", '"ssm:"', f'studios[0].token is "ssm:" instead of {FORMS}'),
    # The API's address.
    ("api.base_url", '""', 'api.base_url is "" instead of a URL of printable ASCII characters'),
    ("api.base_url", '"goteamup.com/api"', f'api.base_url is "goteamup.com/api" instead of {HTTP}'),
    ("api.base_url", '"ftp://goteamup.com"', f'api.base_url is "ftp://goteamup.com" instead of {HTTP}'),
    ("api.base_url", '"https://"', f'api.base_url is "https://" instead of {HTTP}'),
    ("api.base_url", '"https:///api"', f'api.base_url is "https:///api" instead of {HTTP}'),
    ("api.base_url", '"https://h:70000/"', f'api.base_url is "https://h:70000/" instead of {HTTP}'),
    ("api.base_url", '"https://[::1/"', f'api.base_url is "https://[::1/" instead of {HTTP}'),
    (
        "api.base_url",
        '"https://me:s3cret@h/"',
        'api.base_url is "https://***@h/" instead of a URL without user name and password',
    ),
    (
        "api.base_url",
        '"https://h/?token=s3cret"',
        'api.base_url is "https://h/?***" instead of a URL without query and fragment',
    ),
    ("api.base_url", '"https://h/#a"', 'api.base_url is "https://h/#a" instead of a URL without query and fragment'),
    ("api.base_url", '"https://h/ä"', 'api.base_url is "https://h/ä" instead of a URL of printable ASCII characters'),
    (
        "api.base_url",
        r'"https://h/\n"',
        r'api.base_url is "https://h/\n" instead of a URL of printable ASCII characters',
    ),
    *(
        (
            "api.base_url",
            f'"{url}"',
            f'api.base_url is "{url}" instead of https; to send credentials in plain text, set api.allow_http = true',
        )
        for url in ("http://goteamup.com/api", "http://localhost.example.test", "http://10.0.0.1", "http://[::2]")
    ),
    # The sink.
    *(
        ("sink.url", f'"{bad}"', f'sink.url is "{bad}" instead of {SINK}')
        for bad in ("", "gs://bucket", "https://h/lake", "file://lake", "file:lake", "file:///", "S3://bucket", "s3:/b")
    ),
    ("sink.url", r'"a\u0000b"', rf'sink.url is "a\x00b" instead of {SINK}'),
    *(
        ("sink.url", f'"{bad}"', f'sink.url is "{bad}" instead of s3://bucket/prefix with the name of a bucket')
        for bad in ("s3://", "s3:///lake", "s3://a", "s3://a%20b/c")
    ),
    *(
        ("sink.url", f'"{bad}"', f'sink.url is "{bad}" instead of {S3}')
        for bad in ("s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/ä", "s3://bucket/a b", "s3://bucket/a*")
    ),
    (
        "sink.endpoint_url",
        '"http://127.0.0.1:9"',
        'sink.endpoint_url is "http://127.0.0.1:9" instead of nothing, since sink.url is not on S3',
    ),
    (
        "sink.expected_bucket_owner",
        '"123456789012"',
        'sink.expected_bucket_owner is "123456789012" instead of nothing, since sink.url is not on S3',
    ),
    *(
        (
            "sink.expected_bucket_owner",
            f'"{bad}"',
            f'sink.expected_bucket_owner is "{bad}" instead of the 12 digits of an AWS account, or nothing',
        )
        for bad in ("12345678901", "1234567890123", "arn:aws:iam", "123456789012 ")
    ),
    ("sink.readable_by", '"me"', 'sink.readable_by is "me" instead of owner, group or all'),
    ("sink.kms_key_id", '"alias/x"', 'sink.kms_key_id is "alias/x" instead of nothing, since sink.url is not on S3'),
    (
        "sink.kms_key_id",
        r'"a\r\nb"',
        r'sink.kms_key_id is "a\r\nb" instead of printable ASCII characters without spaces, or nothing',
    ),
]

#: Several changed keys.
SEVERAL_KEYS = [
    (
        {"sink.url": '"s3://bucket"', "sink.endpoint_url": '"http://10.0.0.1:9000"'},
        'sink.endpoint_url is "http://10.0.0.1:9000" instead of https; to send rows in plain text, set sink.allow_http = true',
    ),
    (
        {"sink.url": '"s3://bucket"', "sink.readable_by": '"all"'},
        'sink.readable_by is "all" instead of owner, since the bucket\'s policy says who may read',
    ),
    ({"reports.0.name": None}, "reports is missing; give one or more [[reports]] tables"),
    ({"studios.0.id": None, "studios.0.token": None}, "studios is missing; give one or more [[studios]] tables"),
    ({"reports": "[]", "reports.0.name": None}, "reports is an empty list instead of one or more [[reports]] tables"),
    (
        {"studios": '"x"', "studios.0.id": None, "studios.0.token": None},
        "studios is a plain value instead of one or more [[studios]] tables",
    ),
    (
        {"studios": '["s3cret"]', "studios.0.id": None, "studios.0.token": None},
        "studios[0] is a plain value instead of a table",
    ),
    (
        {"studios.id": '"a"', "studios.0.id": None, "studios.0.token": None},
        "studios is a table instead of one or more [[studios]] tables",
    ),
    (
        SECOND_STUDIO | {"studios.1.id": '"harbour-yoga"'},
        'studios[1].id is "harbour-yoga" instead of an id of its own; studios[0] has it',
    ),
    (
        SECOND_STUDIO | {"studios.1.token": '"env:TOKEN_HARBOUR"'},
        "studios[1] has the token and provider_id of studios[0], so one business would be exported twice; remove it or give it its own provider_id",
    ),
    (
        {"reports.1.name": f'"{GROUPED}"'},
        'reports[1].dataset is "attendance_strikes_grouped" instead of a name of its own; reports[0] has it',
    ),
    (
        SECOND_REPORT | {"reports.1.pivot": '"month"'},
        'reports[1].pivot is "month" instead of all, as attendance_strikes needs it',
    ),
    (
        {"reports.0.pivot": '"week"'},
        "reports[0].max_pivot_columns is 4, but a window of one month touches up to 6 periods of one week; set max_pivot_columns = 6 or use a smaller windows.every",
    ),
    (
        {"reports.0.pivot": '"week"', "windows.every": '"year"'},
        "reports[0].max_pivot_columns is 4, but a window of one year touches up to 53 periods of one week; use a smaller windows.every",
    ),
    (
        {
            "reports.0.pivot": '"month"',
            "windows.every": '"week"',
            "reports.0.max_pivot_columns": "1",
            "windows.end": '"today"',
        },
        "reports[0].max_pivot_columns is 1, but a window of one week touches up to 2 periods of one month; set max_pivot_columns = 2 or use a smaller windows.every",
    ),
    (
        {"reports.0.columns": '["customer", "count"]', "privacy.drop": '["customer"]'},
        "privacy.drop leaves reports[0] no key column; keep customer_id, customer_name or customer_email",
    ),
    (SECOND_REPORT | {"privacy.drop": '["id"]'}, "privacy.drop leaves reports[1] no key column; keep id"),
    (
        {"privacy.drop": '["customer"]', "privacy.hash": '["customer_id"]', "privacy.hash_key": '"env:KEY"'},
        'privacy.hash has "customer_id", which privacy.drop has too; name it in one of them',
    ),
    (
        {"sink.url": '"s3://bucket/lake"', "sink.endpoint_url": '"127.0.0.1:9000"'},
        f'sink.endpoint_url is "127.0.0.1:9000" instead of {HTTP}',
    ),
]

ROWS = [({key: value}, line) for key, value, line in ONE_KEY] + SEVERAL_KEYS


@pytest.mark.parametrize(("changes", "line"), ROWS, ids=[line[:60] for _, line in ROWS])
def test_a_mistake_is_one_line_that_says_where_what_and_what_else(changes, line):
    with pytest.raises(ConfigError) as caught:
        parse_settings(config_text(changes), {})
    assert str(caught.value) == f"exporter.toml: {line}"
    assert "s3cret" not in str(caught.value)


def test_all_mistakes_of_all_sections_are_told_at_once():
    changes = {
        "api.spread": "3",
        "api.page_size": "0",
        "reports.0.columns": '["nope", "nope too", "count"]',
        "windows.end": '"2024-01-01"',
        "studios.0.token": '"s3cret"',
        "studios.0.timezone": '"Mars/Phobos"',
        "sink.url": '"gs://bucket"',
    }
    with pytest.raises(ConfigError) as caught:
        parse_settings(config_text(changes), {})
    keys = [line.split()[1] for line in str(caught.value).splitlines()]
    assert keys == [
        "api.spread",
        "api.page_size",
        "reports[0].columns[0]",
        "reports[0].columns[1]",
        "windows.end",
        "studios[0].token",
        "studios[0].timezone",
        "sink.url",
    ]


@pytest.mark.parametrize("text", ["windows = ", "[a]\n[a]", "a = 1\na = 2", f"a = {'9' * 5000}", "a = " + "[" * 5000])
def test_a_file_that_is_not_toml_is_one_line(text):
    with pytest.raises(ConfigError, match=r"\Ae\.toml: is not TOML: [^\n]+\Z"):
        parse_settings(text, {}, name="e.toml")


def test_an_empty_file_says_all_that_is_missing():
    with pytest.raises(ConfigError) as caught:
        parse_settings("", {})
    assert str(caught.value).splitlines() == [
        "exporter.toml: reports is missing; give one or more [[reports]] tables",
        f"exporter.toml: windows.start is missing; give {DAY}",
        f'exporter.toml: windows.end is missing; give {DAY} or "today"',
        "exporter.toml: studios is missing; give one or more [[studios]] tables",
    ]

"""Requests in the API's words, and the meaning of answers: values in, values out."""

import json
from datetime import date, timedelta
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import __version__
from exporter.api.answers import RawAnswer, parse_answer, parse_retry_after
from exporter.api.protocol import ApiOptions, ListStyle, Pagination, build_headers, build_stem, page_query
from exporter.core.answer import Format, Header, Page
from exporter.core.report import Pivot
from exporter.core.studio import Studio, StudioId
from exporter.core.window import Window
from exporter.errors import (
    CredentialError,
    DataError,
    ExporterError,
    RateLimitedError,
    RejectedError,
    SourceError,
    StudioError,
    UnavailableError,
)
from tests.support.api_answers import CREDENTIAL, HARBOUR, NOW, TOKEN, envelope, make_answer, make_dataset, make_request

OPTIONS = ApiOptions(base_url="https://api.example.test/api/v2")
WHERE = "harbour-yoga 2025-03 page 4: "


def url_of(request, options):
    return build_stem(request, options) + page_query(request, options)


def query(request, options=OPTIONS):
    return parse_qsl(urlsplit(url_of(request, options)).query, strict_parsing=True)


def names(request, options=OPTIONS):
    return [name for name, _ in query(request, options)]


def parse(answer, request=None, **changes):
    return parse_answer(request or make_request(), answer, OPTIONS, **changes)


# The request


def test_a_request_names_everything_in_a_stable_order():
    dataset = make_dataset(filters={"venues": (7, 9), "status": ("open",), "penalty": (3,)})
    assert query(make_request(dataset)) == [
        ("columns", "customer.id,status,count"),
        ("status", "open"),
        ("venues", "7,9"),
        ("penalty", "3"),
        ("event_starts_at_gte", "2025-03-01T00:00:00Z"),
        ("event_starts_at_lte", "2025-03-31T22:59:59.999999Z"),
        ("format", "json"),
        ("sort", "customer.id,status"),
        ("pivot", "all"),
        ("limit", "100"),
        ("offset", "300"),
    ]


def test_the_path_follows_the_base_url_with_one_slash():
    for base in ("https://api.example.test/api/v2", "https://api.example.test/api/v2/"):
        url = url_of(make_request(), ApiOptions(base_url=base))
        assert url.partition("?")[0] == "https://api.example.test/api/v2/reports/attendance_strikes.grouped/data"


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (ListStyle.COMMA, [("status", "open,voided")]),
        (ListStyle.REPEAT, [("status", "open"), ("status", "voided")]),
        (ListStyle.BRACKETS, [("status[]", "open"), ("status[]", "voided")]),
    ],
)
def test_a_list_is_written_in_the_style_of_the_options(style, expected):
    request = make_request(make_dataset("count", filters={"status": ("open", "voided")}))
    pairs = query(request, ApiOptions(base_url=OPTIONS.base_url, list_style=style))
    assert [pair for pair in pairs if pair[0].startswith("status")] == expected


def test_a_single_filter_takes_no_brackets():
    options = ApiOptions(base_url=OPTIONS.base_url, list_style=ListStyle.BRACKETS)
    assert ("penalty", "3") in query(make_request(make_dataset(filters={"penalty": (3,)})), options)


def test_pages_are_counted_from_one_and_the_two_ways_of_paging_never_mix():
    options = ApiOptions(base_url=OPTIONS.base_url, pagination=Pagination.PAGE)
    pairs = dict(query(make_request(offset=150, limit=50), options))
    assert (pairs["page"], pairs["page_size"]) == ("4", "50")
    assert not {"limit", "offset"} & pairs.keys()
    assert not {"page", "page_size"} & set(names(make_request()))


def test_max_pivot_columns_is_sent_only_with_a_pivot_other_than_all():
    assert "max_pivot_columns" not in names(make_request())
    pairs = dict(query(make_request(make_dataset(pivot=Pivot.MONTH, max_pivot_columns=12))))
    assert (pairs["pivot"], pairs["max_pivot_columns"]) == ("month", "12")


def test_a_report_without_pivots_sends_none_and_is_sorted_by_its_row_key():
    pairs = dict(query(make_request(make_dataset("id", "status", report="attendance_strikes"))))
    assert "pivot" not in pairs
    assert pairs["sort"] == "id"


def test_the_parts_of_one_asked_column_are_asked_for_once():
    columns = ("penalty_charge_amount_decimal", "penalty_charge_amount_string")
    pairs = dict(query(make_request(make_dataset(*columns, report="attendance_strikes"))))
    assert pairs["columns"] == pairs["sort"] == "penalty.charge.amount"


def test_a_grand_total_asks_for_no_order():
    pairs = dict(query(make_request(make_dataset("count"))))
    assert pairs["columns"] == "count"
    assert "sort" not in pairs


def test_a_bound_has_six_digits_of_a_second_or_none_in_odd_zones_too():
    # Until 1972 Monrovia's clocks were 44 min 30 s behind UTC.
    studio = Studio(id=StudioId("old-yoga"), credential=CREDENTIAL, timezone="Africa/Monrovia")
    pairs = dict(query(make_request(studio=studio, window=Window(date(1960, 1, 1), date(1960, 2, 1)))))
    assert pairs["event_starts_at_gte"] == "1960-01-01T00:44:30Z"
    assert pairs["event_starts_at_lte"] == "1960-02-01T00:44:29.999999Z"


@given(
    values=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","), min_size=1), min_size=1),
    style=st.sampled_from(ListStyle),
)
def test_any_text_survives_the_address(values, style):
    request = make_request(make_dataset(filters={"status": tuple(values)}))
    pairs = query(request, ApiOptions(base_url=OPTIONS.base_url, list_style=style))
    sent = [value for name, value in pairs if name in {"status", "status[]"}]
    distinct = list(dict.fromkeys(values))
    assert sent == ([",".join(distinct)] if style is ListStyle.COMMA else distinct)


def test_headers_carry_credential_format_version_and_studio():
    assert build_headers(make_request(), OPTIONS, TOKEN) == {
        "Authorization": f"Bearer {TOKEN}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"studio-exporter/{__version__}",
        "TeamUp-Request-Mode": "provider",
        "TeamUp-Provider-ID": "5404319",
    }


def test_csv_is_asked_for_by_parameter_and_header():
    request = make_request(format=Format.CSV)
    assert build_headers(request, OPTIONS, TOKEN)["Accept"] == "text/csv"
    assert ("format", "csv") in query(request)


def test_studio_headers_are_sent_only_where_wanted_and_known():
    off = ApiOptions(base_url=OPTIONS.base_url, studio_headers=False, auth_scheme="JWT")
    headers = build_headers(make_request(), off, TOKEN)
    assert not [name for name in headers if name.startswith("TeamUp")]
    assert headers["Authorization"] == f"JWT {TOKEN}"
    alone = make_request(studio=Studio(id=HARBOUR.id, credential=CREDENTIAL))
    assert "TeamUp-Provider-ID" not in build_headers(alone, OPTIONS, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Injected: 1", "café"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(token):
    with pytest.raises(CredentialError, match="TEAMUP_TOKEN_HARBOUR") as caught:
        build_headers(make_request(), OPTIONS, token)
    assert not token or token not in str(caught.value)


# Pages


def test_a_json_answer_becomes_a_page_with_its_rows_untouched():
    body = (
        b'{"total": 412, "next": null, "column_headers": [{"label": "Customer ID", "key": "customer.id", "sortable": '
        b'true, "holds_customer_id": true, "sorted": {"order": "asc", "priority": 0}, "required": true}, '
        b'{"key": "count", "label": null, "sorted": null}], "rows":  [ {"count" : 3.0} ] }'
    )
    page = parse(RawAnswer(status=200, headers={}, body=body, received_at=NOW, size_bytes=99))
    assert page == Page(
        request=make_request(),
        format=Format.JSON,
        headers=(
            Header(
                key="customer.id",
                label="Customer ID",
                required=True,
                holds_customer_id=True,
                order="asc",
                priority=0,
            ),
            Header(key="count", label=""),
        ),
        total=412,
        body=b'[ {"count" : 3.0} ]',
        received_at=NOW,
        size_bytes=99,
    )


@pytest.mark.parametrize(
    ("body", "total", "rows"),
    [
        (envelope(total=None), None, 1),
        (envelope(total=...), None, 1),
        (envelope(total="1"), 1, 1),
        (envelope(total=1.0), 1, 1),
        (envelope(total=0, rows=...), 0, 0),
        (envelope(total=0, rows=None), 0, 0),
        (envelope(total=0, rows=[], column_headers=...), 0, 0),
        (b"\xef\xbb\xbf  " + envelope(), 1, 1),
    ],
)
def test_what_is_not_documented_as_required_may_be_absent(body, total, rows):
    page = parse(make_answer(body=body, Content_Type="application/json"))
    assert (page.total, len(json.loads(page.body))) == (total, rows)


@pytest.mark.parametrize("total", [True, -1, -1.0, 1.5, "1.5", "", "9" * 19, [1]])
def test_a_total_that_counts_nothing_is_a_data_error(total):
    with pytest.raises(DataError, match=r"harbour-yoga 2025-03 page 4: .*total"):
        parse(make_answer(body=envelope(total=total)))


@pytest.mark.parametrize(
    "body", [envelope(rows=...), envelope(rows=None), envelope(rows={}), envelope(rows="x"), b'{"detail": "later"}']
)
def test_an_answer_without_its_rows_is_a_data_error(body):
    with pytest.raises(DataError, match="no list of rows"):
        parse(make_answer(body=body))


@pytest.mark.parametrize(
    ("body", "content_type", "what"),
    [
        (b"", "application/json", "an empty answer"),
        (b" \r\n ", "application/json", "an empty answer"),
        (b"<!DOCTYPE html><p>Back soon", "text/html; charset=utf-8", "an HTML page instead of JSON"),
        (b"\n<html>", "application/json", "an HTML page instead of JSON"),
        (envelope()[:-9], "application/json", "the answer is no complete JSON"),
        (envelope() + b"}", "application/json", "the answer is no complete JSON"),
        (b'{"rows": ' + b"[" * 100_000, "application/json", "the answer is no complete JSON"),
        (b'{"rows": ["\xff"]}', "application/json", "the answer is no text in utf-8"),
        (envelope(), "application/json; charset=klingon", "the answer is no text in klingon"),
        (envelope(), "application/json; charset=punycode", "the answer is no text in punycode"),
        (b"[]", "application/json", "the answer is no JSON object"),
        (b'"rows"', "application/json", "the answer is no JSON object"),
        (b"count\n1\n", "text/csv", "text/csv instead of JSON; set api.format"),
        (b"count\n1\n", "image/png", "image/png instead of JSON"),
        (b"count\n1\n", "", "an answer without content type instead of JSON"),
    ],
)
def test_an_answer_that_is_no_report_may_pass(body, content_type, what):
    with pytest.raises(UnavailableError) as caught:
        parse(make_answer(body=body, Content_Type=content_type))
    assert str(caught.value).startswith(WHERE + what)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "Application/Problem+JSON", ""])
def test_json_is_known_by_its_type_or_its_first_letter(content_type):
    assert parse(make_answer(body=envelope(), Content_Type=content_type)).total == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Name,Count\r\nÅsa,1\r\n".encode(), "text/csv"),
        ("\ufeffName,Count\r\nÅsa,1\r\n".encode(), "text/plain"),
        ("Name,Count\r\nÅsa,1\r\n".encode("latin-1"), 'text/csv; header=present; charset="ISO-8859-1"'),
        ("Name,Count\r\nÅsa,1\r\n".encode("utf-16"), "text/csv;charset=utf-16"),
    ],
)
def test_csv_is_handed_on_as_utf8_without_a_mark(body, content_type):
    page = parse(make_answer(body=body, Content_Type=content_type), make_request(format=Format.CSV))
    assert (page.format, page.headers, page.total) == (Format.CSV, (), None)
    assert page.body.decode() == "Name,Count\r\nÅsa,1\r\n"


def test_json_in_place_of_csv_is_a_json_page():
    page = parse(make_answer(body=envelope(), Content_Type="application/json"), make_request(format=Format.CSV))
    assert (page.format, page.total) == (Format.JSON, 1)


def test_an_html_page_in_place_of_csv_may_pass():
    with pytest.raises(UnavailableError, match="an HTML page instead of CSV"):
        parse(make_answer(body=b"<p>Back soon", Content_Type="text/csv"), make_request(format=Format.CSV))


# Refusals


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (202, UnavailableError),
        (204, UnavailableError),
        (301, RejectedError),
        (304, RejectedError),
        (400, RejectedError),
        (401, CredentialError),
        (403, StudioError),
        (404, StudioError),
        (405, RejectedError),
        (406, RejectedError),
        (408, UnavailableError),
        (410, RejectedError),
        (414, RejectedError),
        (415, RejectedError),
        (418, RejectedError),
        (422, RejectedError),
        (425, UnavailableError),
        (429, RateLimitedError),
        (500, UnavailableError),
        (502, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
        (599, UnavailableError),
        (700, UnavailableError),
    ],
)
def test_a_status_says_what_to_do(status, error):
    with pytest.raises(SourceError) as caught:
        parse(make_answer(status))
    assert type(caught.value) is error
    assert caught.value.status == status
    assert str(caught.value).startswith(WHERE)
    assert str(status) in str(caught.value)


def error_body(**changes):
    document = {
        "code": "parameter_invalid",
        "type": "invalid_request_error",
        "message": "Invalid request",
        "field_errors": {"sort": ["unknown column", "too long"], "columns": "none"},
    }
    return json.dumps(document | changes).encode()


def test_a_rejection_names_the_fields_and_repeats_the_servers_words():
    with pytest.raises(RejectedError) as caught:
        parse(make_answer(400, error_body()))
    assert caught.value.fields == ("sort", "columns")
    assert str(caught.value) == (
        f"{WHERE}the API refused the request (400): Invalid request - sort: unknown column, sort: too long, "
        "columns: none; check this report's columns and filters, and api.list_style"
    )


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"detail": "Later"}', "Later"),
        (b'{"error": "Later"}', "Later"),
        (b"Later\r\nperhaps", "Later perhaps"),
        (b"<html><title>502 Bad &amp; Gone</title><h1>502", "502 Bad & Gone"),
        (b"<h1>Bad</h1><hr>Gateway", "Bad Gateway"),
        (b"\x1b[31mred\x00", r"\x1b[31mred\x00"),
        ("Spät\u202e; bald".encode(), r"Spät\u202e, bald"),
        (b"no \xff text", "no \ufffd text"),
        (b"x" * 5000, "x" * 197 + "..."),
        (b'{"detail": "no place for jane.doe@example.test here"}', "no place for *** here"),
    ],
)
def test_an_errors_text_is_shown_short_and_plain(body, shown):
    with pytest.raises(UnavailableError) as caught:
        parse(make_answer(503, body))
    assert str(caught.value) == f"{WHERE}the API answered 503: {shown}"


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[]", b'{"message": 7, "field_errors": [1]}', b"[" * 100_000])
def test_an_error_without_words_is_told_by_its_status(body):
    with pytest.raises(UnavailableError, match=r"page 4: the API answered 500"):
        parse(make_answer(500, body))


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500])
def test_a_credential_that_the_server_repeats_is_masked(status):
    bodies = [
        f"Authorization: Bearer {TOKEN}".encode(),
        error_body(message=f"{TOKEN} is wrong", field_errors={"token": [TOKEN]}),
        b" " * 1990 + TOKEN.encode(),
    ]
    for body in bodies:
        with pytest.raises(SourceError) as caught:
            parse(make_answer(status, body, Location=f"https://other.example.test/?t={TOKEN}"), secret=TOKEN)
        assert TOKEN[:8] not in str(caught.value)


def test_a_refused_credential_names_the_scheme_and_the_others():
    with pytest.raises(CredentialError, match=r"api.auth_scheme to Token or JWT instead of Bearer"):
        parse(make_answer(401))


def test_a_403_for_the_credential_itself_is_told_from_one_for_the_studio():
    with pytest.raises(CredentialError, match=r"\(403\)"):
        parse(make_answer(403, error_body(code="authentication_failed")))
    with pytest.raises(StudioError, match="provider_id"):
        parse(make_answer(403, error_body(code="provider_invalid")))


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example.test/?next=/secret", "login.example.test"),
        ("/login", "another place of the same host"),
        ("", "nowhere"),
        ("https://[broken", "another place of the same host"),
    ],
)
def test_a_redirect_is_refused_with_the_host_it_names(location, shown):
    with pytest.raises(RejectedError) as caught:
        parse(make_answer(302, location=location))
    assert f"points to {shown} (302)" in str(caught.value)
    assert "api.base_url" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_wait_travels_with_the_error(status):
    with pytest.raises((RateLimitedError, UnavailableError)) as caught:
        parse(make_answer(status, retry_after="7"))
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        ("9" * 400, 3600.0),
        ("Tue, 01 Apr 2025 12:00:30 GMT", 30.0),
        ("Tuesday, 01-Apr-25 12:00:30 GMT", 30.0),
        ("Tue Apr  1 12:00:30 2025", 30.0),
        ("Tue, 01 Apr 2025 11:00:00 GMT", 0.0),
        ("Wed, 02 Apr 2025 12:00:00 GMT", 3600.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_wait_is_a_number_or_a_date(value, expected):
    assert parse_retry_after(value, NOW) == expected


@given(st.integers(min_value=-86_400, max_value=86_400))
def test_a_date_means_the_seconds_until_then(seconds):
    text = (NOW + timedelta(seconds=seconds)).strftime("%d %b %Y %H:%M:%S GMT")
    assert parse_retry_after(text, NOW) == min(max(float(seconds), 0.0), 3600.0)


@given(
    status=st.sampled_from([200, 200, 200, 302, 400, 401, 403, 404, 429, 500]) | st.integers(100, 999),
    body=st.binary()
    | st.text().map(str.encode)
    | st.dictionaries(
        st.sampled_from(["total", "rows", "column_headers", "message", "code", "field_errors", "detail"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    ).map(msgspec.json.encode),
    headers=st.dictionaries(st.sampled_from(["content-type", "Retry-After", "Location"]), st.text()),
    content_type=st.sampled_from(["application/json", "text/csv", "text/html", ""]),
    kind=st.sampled_from(Format),
)
def test_whatever_comes_is_a_page_or_one_of_our_errors(status, body, headers, content_type, kind):
    request = make_request(format=kind)
    answer = make_answer(status, body, **({"Content-Type": content_type} | headers))
    try:
        end = parse(answer, request)
    except ExporterError as error:
        end = error
    if isinstance(end, Page):
        assert end.format is Format.CSV or isinstance(json.loads(end.body), list)
    else:
        assert str(end).startswith(WHERE)
        assert str(end).isprintable()

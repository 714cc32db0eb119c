"""Whatever the API answers ends as rows or as one of our errors, with a message that is one short line."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.core.answer import Format
from tests.support.bombs import BOMBS, MOST_BYTES
from tests.support.hostile import DATASETS, read_answer
from tests.support.pages import headers_of

#: Longer than any message about a page has reason to be.
LONGEST_MESSAGE = 1000

KEYS = st.sampled_from(
    [
        *("customer", "customer.id", "customer_id", "id", "status", "count", "venue.name", "event", "venue", "name"),
        *("event.venue.name", "penalty.charge", "decimal", "2025-01", "month", "studio_id", "", ".", "..", "../../etc"),
        *('a"b', "a\\b", "a\x00b", "a\nb", "\x1b[2J", "<script>", "Ünï", "a" * 600, ".".join("a" * 40)),
    ]
)
NUMBERS = st.sampled_from(
    ["0", "-0", "1", "1e999999999", "1e-999999999", "9" * 30, "9" * 5000, "1.5", "-1", "1e400", "NaN", "Infinity", "07"]
)
TEXTS = st.sampled_from(
    [
        '""',
        '"open"',
        '"\\ud800"',
        '"\\u0000"',
        '"7"',
        '"<script>"',
        '"\\ud83d\\ude00"',
        '"\\u202e"',
        '"' + "x" * 5000 + '"',
    ]
)


def objects(values):
    """Objects as text, so that a key may stand twice."""
    pairs = st.lists(st.tuples(KEYS.map(json.dumps), values), max_size=6)
    return pairs.map(lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items) + "}")


def arrays(values):
    return st.lists(values, max_size=5).map(lambda items: "[" + ",".join(items) + "]")


ANYTHING = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", "false", "[" * 5000, "{}"]),
    lambda inner: arrays(inner) | objects(inner),
    max_leaves=12,
)
HEADER = st.builds(
    lambda key, rest: {"key": key, "label": key, **rest},
    KEYS,
    st.dictionaries(st.sampled_from(["required", "holds_customer_id", "sorted", "label"]), st.just(True) | st.none()),
)
GOOD_HEADERS = st.sampled_from(DATASETS).map(
    lambda dataset: [{"key": h.key, "label": h.label} for h in headers_of(dataset)]
)
HEADERS = st.one_of(
    GOOD_HEADERS.map(json.dumps),
    st.tuples(GOOD_HEADERS, st.lists(HEADER, max_size=5)).map(lambda pair: json.dumps([*pair[0], *pair[1]])),
    ANYTHING,
)
ROWS = arrays(objects(ANYTHING)) | arrays(
    st.builds(
        lambda customer, count, more: (
            f'{{"customer":{{"id":{customer}}},"status":"open","venue":{more},"count":{count}}}'
        ),
        NUMBERS,
        NUMBERS,
        ANYTHING,
    )
)
TOTALS = st.sampled_from(["0", "1", "2", "100", str(10**9), str(10**18), "9" * 400, "-1", "1.5", "null", '"3"'])
ENVELOPES = st.builds(
    lambda total, headers, rows: f'{{"total":{total},"column_headers":{headers},"rows":{rows}}}', TOTALS, HEADERS, ROWS
)
LINES = st.lists(
    st.lists(KEYS | st.sampled_from(['"', '""', "open", "7", "\ufeff", "\r", "1e999"]), max_size=6).map(",".join),
    max_size=6,
).map("\n".join)
CSV = LINES | LINES.map(lambda text: f"customer.id,status,event.venue.name,count\n{text}")

hostile = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def check(end):
    if isinstance(end, pa.Table):
        assert "venue_name" not in end.column_names or end.num_columns > 3
        return
    assert str(end).startswith("harbour-yoga 2025-01")
    assert str(end).isprintable()
    assert len(str(end)) < LONGEST_MESSAGE


@hostile
@given(body=ENVELOPES | ANYTHING, dataset=st.integers(0, len(DATASETS) - 1))
def test_hostile_json_ends_as_rows_or_an_error(body, dataset):
    check(read_answer(body.encode(), dataset=dataset))


@hostile
@given(body=CSV, dataset=st.integers(0, len(DATASETS) - 1))
def test_hostile_csv_ends_as_rows_or_an_error(body, dataset):
    check(read_answer(body.encode(), content_type="text/csv", kind=Format.CSV, dataset=dataset))


@hostile
@given(
    body=st.binary(max_size=300),
    charset=st.sampled_from(["utf-8", "utf-16", "utf-7", "punycode", "idna", "unicode_escape", "zlib", "\x00", "../x"]),
    kind=st.sampled_from(Format),
)
def test_hostile_bytes_in_any_charset_end_as_rows_or_an_error(body, charset, kind):
    check(read_answer(body, content_type=f"text/csv; charset={charset}", kind=kind))


def test_an_honest_answer_comes_through():
    rows = [{"customer": {"id": 1}, "status": "open", "event": {"venue": {"name": "Hall"}}, "count": 2}]
    headers = [{"key": h.key, "label": h.label} for h in headers_of(DATASETS[0])]
    table = read_answer(json.dumps({"total": 1, "column_headers": headers, "rows": rows}).encode())
    assert isinstance(table, pa.Table)
    assert table.column_names == ["customer_id", "status", "count"]


@pytest.fixture(scope="module")
def exploded():
    """How each bomb ended, by its name."""
    read = subprocess.run(
        [sys.executable, "-m", "tests.support.bombs"], capture_output=True, text=True, check=True, timeout=150
    )
    return {ended["name"]: ended for ended in map(json.loads, read.stdout.splitlines())}


@pytest.mark.xdist_group("bombs")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little_time_and_memory(exploded, name):
    ended = exploded[name]
    assert ended["ours"], ended
    assert len(ended["message"]) < LONGEST_MESSAGE
    assert ended["grown"] < MOST_BYTES

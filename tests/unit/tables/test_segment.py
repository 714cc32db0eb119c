"""Segments come back as they were written, or not at all."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.ledger import Withheld
from exporter.core.report import DatasetName, GrainId
from exporter.core.staged import Seal, SegmentRecord, StagedPage
from exporter.core.studio import StudioId
from exporter.errors import DataError
from exporter.tables.segment import decode_segment, encode_segment
from tests.support.tasks import moments, month, windows

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counts = st.integers(0, 10**9)
pages = st.builds(
    StagedPage,
    studio=names.map(StudioId),
    window=windows(),
    fetch_id=names,
    offset=counts,
    api_rows=counts,
    rows=st.integers(0, 5),
    total=st.none() | counts,
    received_at=moments(),
    withheld=st.builds(Withheld, rows=counts, measure=counts),
    order=st.none() | names,
)
seals = st.builds(
    Seal,
    studio=names.map(StudioId),
    window=windows(),
    fetch_id=names,
    total=counts,
    rows=counts,
    measure=counts,
    sealed_at=moments(),
)
records = st.builds(
    SegmentRecord,
    dataset=names.map(DatasetName),
    grain=names.map(GrainId),
    run_id=names,
    began_at=moments(),
    full=st.booleans(),
    pages=st.lists(pages, max_size=4).map(tuple),
    seals=st.lists(seals, max_size=3).map(tuple),
    customer_columns=st.lists(names, max_size=2).map(tuple),
    zones=st.dictionaries(names.map(StudioId), names, max_size=2),
)
SCHEMA = pa.schema(
    [
        ("customer_id", pa.int64()),
        ("status", pa.string()),
        ("amount", pa.float64()),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
whole_numbers = st.integers(-(2**63), 2**63 - 1)


@st.composite
def segments(draw):
    """A record, and a table of as many rows as its pages have."""
    record = draw(records)
    row = st.fixed_dictionaries(
        {
            "customer_id": st.none() | whole_numbers,
            "status": st.none() | names,
            "amount": st.none() | st.floats(allow_nan=False),
            "count": whole_numbers,
        }
    )
    number = sum(page.rows for page in record.pages)
    return record, pa.Table.from_pylist(draw(st.lists(row, min_size=number, max_size=number)), schema=SCHEMA)


@given(segments())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(segment):
    record, table = segment
    read, rows = decode_segment(encode_segment(record, table))
    assert read == record
    assert rows.equals(table)
    assert rows.schema.equals(table.schema, check_metadata=True)


def make_segment(rows=3, **changes):
    page = StagedPage(
        studio=StudioId("cove"),
        window=month("2025-01"),
        fetch_id="f",
        offset=0,
        api_rows=rows,
        rows=rows,
        total=rows,
        received_at=datetime(2025, 3, 1, tzinfo=UTC),
    )
    values = {
        "dataset": DatasetName("strikes"),
        "grain": GrainId("0123456789abcdef"),
        "run_id": "run-1",
        "began_at": datetime(2025, 3, 1, tzinfo=UTC),
        "full": False,
        "pages": (page,),
        "seals": (),
    }
    return SegmentRecord(**values | changes), pa.table({"count": list(range(rows))})


def test_the_same_rows_in_pieces_are_read_as_one_order():
    record, table = make_segment(4)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1, 3)])
    assert decode_segment(encode_segment(record, pieces))[1].equals(table)


def test_what_was_not_written_to_its_end_does_not_decode():
    data = encode_segment(*make_segment())
    decode_segment(data)
    for length in range(len(data)):
        with pytest.raises(DataError, match="not a whole segment"):
            decode_segment(data[:length])


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda data: b"ARROW1\0\0" + data + b"ARROW1"))
def test_foreign_bytes_do_not_decode(data):
    with pytest.raises(DataError, match="not a whole segment"):
        decode_segment(data)


def foreign(document, table=None):
    """An Arrow file that says *document* of itself."""
    table = pa.table({"count": [1]}) if table is None else table
    metadata = None if document is None else {b"exporter.segment": json.dumps(document).encode()}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


DOCUMENT = {
    "v": 1,
    "dataset": "strikes",
    "grain": "g",
    "run_id": "r",
    "began_at": "2025-03-01T01:00:00+01:00",
    "full": True,
    "pages": [["cove", "2025-01-01", "2025-02-01", "f", 0, 1, 1, None, "2025-03-01T00:00:00+00:00"]],
    "seals": [],
}


def test_a_segment_of_this_version_is_read_with_its_times_in_utc():
    record, table = decode_segment(foreign(DOCUMENT))
    assert record.began_at.isoformat() == "2025-03-01T00:00:00+00:00"
    assert (record.full, record.pages[0].window, table.num_rows) == (True, month("2025-01"), 1)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        DOCUMENT | {"pages": [["cove"]]},
        DOCUMENT | {"pages": None},
        DOCUMENT | {"began_at": 5},
        DOCUMENT | {"seals": [["cove", "2025-02-01", "2025-01-01", "f", 1, 1, "2025-03-01T00:00:00Z"]]},
        {name: value for name, value in DOCUMENT.items() if name != "grain"},
    ],
    ids=str,
)
def test_an_arrow_file_that_is_no_segment_does_not_decode(document):
    with pytest.raises(DataError, match="not a whole segment"):
        decode_segment(foreign(document))


def test_a_segment_of_another_version_is_refused():
    with pytest.raises(DataError, match="not a segment of this version"):
        decode_segment(foreign(DOCUMENT | {"v": 2}))


def test_a_segment_whose_rows_are_not_those_of_its_pages_is_refused():
    record, table = make_segment(3)
    with pytest.raises(DataError, match="not a segment of this version"):
        decode_segment(encode_segment(record, table.slice(1)))

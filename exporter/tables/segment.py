"""Segments: batches of fetched pages on their way to be published, as Arrow IPC with a record of what they hold.

The rows stand in the order of the record's pages. A segment that was not written to its end does not decode; its
pages count as never fetched.
"""

import io
import json
from datetime import date

import pyarrow as pa

from exporter.core.jsonable import parse_moment
from exporter.core.ledger import Withheld
from exporter.core.report import DatasetName, GrainId
from exporter.core.staged import Seal, SegmentRecord, StagedPage
from exporter.core.studio import StudioId
from exporter.core.window import Window
from exporter.errors import DataError

_RECORD = b"exporter.segment"
_VERSION = 1

#: To hand columns of some kB to other threads takes longer than to pack or unpack them; see docs/decisions/0011.
_WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ = pa.ipc.IpcReadOptions(use_threads=False)


def encode_segment(record: SegmentRecord, table: pa.Table) -> bytes:
    """Rows and record as one object; lz4, since it is written once and read once."""
    document: dict[str, object] = {
        "v": _VERSION,
        "dataset": record.dataset,
        "grain": record.grain,
        "run_id": record.run_id,
        "began_at": record.began_at.isoformat(),
        "full": record.full,
        "pages": [
            [
                p.studio,
                p.window.start.isoformat(),
                p.window.end.isoformat(),
                p.fetch_id,
                p.offset,
                p.api_rows,
                p.rows,
                p.total,
                p.received_at.isoformat(),
            ]
            for p in record.pages
        ],
        "seals": [
            [
                s.studio,
                s.window.start.isoformat(),
                s.window.end.isoformat(),
                s.fetch_id,
                s.total,
                s.rows,
                s.measure,
                s.sealed_at.isoformat(),
            ]
            for s in record.seals
        ],
    }
    withheld = [[n, p.withheld.rows, p.withheld.measure] for n, p in enumerate(record.pages) if p.withheld]
    document |= {"withheld": withheld} if withheld else {}
    orders = [[n, p.order] for n, p in enumerate(record.pages) if p.order != ""]
    document |= {"orders": orders} if orders else {}
    document |= {"customer_columns": record.customer_columns} if record.customer_columns else {}
    document |= {"zones": record.zones} if record.zones else {}
    text = json.dumps(document, separators=(",", ":")).encode()
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema.with_metadata({_RECORD: text}), options=_WRITE) as writer:
        writer.write_table(table)
    return sink.getvalue()


def decode_segment(data: bytes) -> tuple[SegmentRecord, pa.Table]:
    """What `encode_segment` wrote.

    Raises:
        DataError: the bytes are no whole segment.
    """
    try:
        with pa.ipc.open_file(pa.BufferReader(data), options=_READ) as reader:
            document = json.loads(reader.schema.metadata[_RECORD])
            table = reader.read_all().replace_schema_metadata(None)
        withheld = {n: Withheld(rows=rows, measure=measure) for n, rows, measure in document.get("withheld", ())}
        orders = dict(document.get("orders", ()))
        record = SegmentRecord(
            dataset=DatasetName(document["dataset"]),
            grain=GrainId(document["grain"]),
            run_id=document["run_id"],
            began_at=parse_moment(document["began_at"]),
            full=document["full"],
            pages=tuple(
                StagedPage(
                    studio=StudioId(studio),
                    window=_window(start, end),
                    fetch_id=fetch_id,
                    offset=offset,
                    api_rows=api_rows,
                    rows=rows,
                    total=total,
                    received_at=parse_moment(received_at),
                    withheld=withheld.get(number, Withheld()),
                    order=orders.get(number, ""),
                )
                for number, (studio, start, end, fetch_id, offset, api_rows, rows, total, received_at) in enumerate(
                    document["pages"]
                )
            ),
            seals=tuple(
                Seal(
                    studio=StudioId(studio),
                    window=_window(start, end),
                    fetch_id=fetch_id,
                    total=total,
                    rows=rows,
                    measure=measure,
                    sealed_at=parse_moment(sealed_at),
                )
                for studio, start, end, fetch_id, total, rows, measure, sealed_at in document["seals"]
            ),
            customer_columns=tuple(document.get("customer_columns", ())),
            zones={StudioId(studio): zone for studio, zone in document.get("zones", {}).items()},
        )
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("not a whole segment") from error
    if document["v"] != _VERSION or sum(page.rows for page in record.pages) != table.num_rows:
        raise DataError("not a segment of this version")
    return record, table


def _window(start: str, end: str) -> Window:
    return Window(date.fromisoformat(start), date.fromisoformat(end))

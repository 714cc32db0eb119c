"""An answer's whole way, from the bytes that came to rows as they are staged, for answers that mean harm."""

from datetime import UTC, datetime

import pyarrow as pa

from exporter.api.answers import RawAnswer, parse_answer
from exporter.api.protocol import ApiOptions
from exporter.core.answer import Format, PageRequest
from exporter.core.report import Pivot
from exporter.core.staged import SegmentRecord, StagedPage
from exporter.errors import ExporterError
from exporter.tables import privacy
from exporter.tables.assembly import Assembly
from exporter.tables.decode import decode_pages
from exporter.tables.headers import check_headers, told_order
from exporter.tables.pieces import whole
from exporter.tables.segment import decode_segment, encode_segment
from tests.support.tasks import make_dataset, make_task

_COLUMNS = ("customer_id", "status", "venue_name", "count")
_NOW = datetime(2025, 3, 1, tzinfo=UTC)

#: What is asked for: with a pivot unknown columns are periods, and the ungrouped report has nested and fractional ones.
DATASETS = (
    make_dataset(*_COLUMNS, drop=frozenset({"venue_name"}), hash=frozenset({"customer_id"})),
    make_dataset(*_COLUMNS, pivot=Pivot.MONTH),
    make_dataset("customer_id", "penalty_charge_amount_decimal", "event_starts_at", report="attendance_strikes"),
)


def read_answer(
    body: bytes,
    *,
    content_type: str = "application/json",
    kind: Format = Format.JSON,
    dataset: int = 0,
    status: int = 200,
) -> pa.Table | ExporterError:
    """The staged rows of an answer, or the error that it ends in."""
    task = make_task(dataset=DATASETS[dataset])
    request = PageRequest(dataset=task.dataset, studio=task.studio, window=task.window, format=kind)
    answer = RawAnswer(headers={"Content-Type": content_type}, status=status, body=body, received_at=_NOW, size_bytes=1)
    try:
        page = parse_answer(request, answer, ApiOptions(base_url="https://api.example.test"))
        check_headers(page, task.dataset)
        assert (told_order(page, task.dataset) or "").isprintable()
        decoded = decode_pages([page], task.dataset)
        table = privacy.apply(decoded.table, task.dataset, b"made-up")
        staged = StagedPage(
            studio=task.studio.id,
            window=task.window,
            fetch_id="fetch-1",
            offset=0,
            api_rows=decoded.page_rows[0],
            rows=table.num_rows,
            total=page.total,
            received_at=_NOW,
        )
        assembly = Assembly(task, "fetch-1", request.limit)
        assembly.add(staged, whole(decoded.table))
        if assembly.is_whole:
            assembly.check()
        elif assembly.total is not None:
            assert len(assembly.missing) <= assembly.total
    except ExporterError as error:
        return error
    record = SegmentRecord(
        dataset=task.dataset.name,
        grain=task.dataset.grain.id,
        run_id="run-1",
        began_at=_NOW,
        full=False,
        pages=(staged,),
        seals=(),
    )
    return decode_segment(encode_segment(record, table))[1]

"""Answers of a report, written in every way that an API may write them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from exporter.core.answer import Format, Header, Page, PageRequest
from exporter.core.catalogue import REPORTS
from exporter.core.report import Dataset, DatasetName, Pivot
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, Window

Row = Mapping[str, object]


def dataset_of(
    *names: str,
    report: str = "attendance_strikes.grouped",
    pivot: Pivot = Pivot.ALL,
    max_pivot_columns: int = 4,
    drop: Sequence[str] = (),
    hashed: Sequence[str] = (),
) -> Dataset:
    """A monthly dataset with the columns *names*."""
    spec = REPORTS[report]
    return Dataset(
        name=DatasetName("strikes"),
        spec=spec,
        columns=spec.resolve(names),
        every=Every.MONTH,
        pivot=pivot,
        max_pivot_columns=max_pivot_columns,
        drop=frozenset(drop),
        hash=frozenset(hashed),
    )


def headers_of(dataset: Dataset) -> tuple[Header, ...]:
    """A header for each column asked for, labelled unlike its key."""
    return tuple(Header(key=c.key, label=f'The "{c.name}", as shown') for c in dataset.columns)


def page(
    dataset: Dataset, kind: Format, body: bytes, *, headers: Sequence[Header] = (), number: int = 1, total: int = 0
) -> Page:
    """The page *number* of January 2025 at Harbour Yoga."""
    request = PageRequest(
        dataset=dataset,
        studio=Studio(id=StudioId("harbour-yoga"), credential=CredentialKey("c1")),
        window=Window(date(2025, 1, 1), date(2025, 2, 1)),
        offset=(number - 1) * 100,
        format=kind,
    )
    return Page(
        request=request,
        format=kind,
        headers=tuple(headers),
        total=total,
        body=body,
        received_at=datetime(2025, 3, 1, tzinfo=UTC),
        size_bytes=len(body),
    )


def json_page(
    dataset: Dataset, rows: Sequence[object], *, headers: Sequence[Header] | None = None, number: int = 1
) -> Page:
    """A JSON page of *rows* just as they are; its headers are the columns asked for unless given."""
    shown = headers_of(dataset) if headers is None else headers
    body = json.dumps(rows, ensure_ascii=False).encode()
    return page(dataset, Format.JSON, body, headers=shown, number=number, total=len(rows))


def csv_page(dataset: Dataset, text: str, *, number: int = 1) -> Page:
    """A CSV page of *text*."""
    return page(dataset, Format.CSV, text.encode(), number=number)


def nested(row: Row) -> dict[str, object]:
    """Dotted keys as objects within objects; an object of which all is null is null itself."""
    result: dict[str, Any] = {}
    for key, value in row.items():
        *parents, leaf = key.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return {key: _without_empty(value) for key, value in result.items()}


def _without_empty(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {key: _without_empty(child) for key, child in value.items()}
    return inner if any(child is not None for child in inner.values()) else None


def csv_text(names: Sequence[str], rows: Sequence[Row], *, end: str = "\n") -> str:
    """Rows as CSV: null is nothing, every text is quoted, so that an empty one differs from null."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerow(names)
    for row in rows:
        out.write(",".join(_field(value) for value in row.values()) + end)
    return out.getvalue()


def _field(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return '"' + value.replace('"', '""') + '"'
        case _:
            return str(value)

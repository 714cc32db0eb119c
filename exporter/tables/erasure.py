"""Rows of people who are left out, taken from published parts, from staged segments and from what just came.

Rules kept here: a person is found by the columns that the catalogue knows for customers' ids, and by those that an
answer's headers told; what is taken is counted, so that rows and measure with what is withheld stay the API's; where
nobody is found, what was given comes back as it is.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from exporter.core.catalogue import CUSTOMER_ID_COLUMNS, REPORTS
from exporter.core.erasure import LeftOut
from exporter.core.ledger import Ledger, Withheld
from exporter.core.report import Dataset, GrainId
from exporter.core.staged import SegmentRecord
from exporter.core.studio import StudioId
from exporter.tables.measure import task_sums
from exporter.tables.schema import COUNT, STUDIO_ID

_PERSONAL = frozenset(column.name for spec in REPORTS.values() for column in spec.columns if column.personal)

#: How a keyed hash looks; see `privacy.py`.
_HASH = "^[0-9a-f]{64}$"

#: Names beside a studio's that no report's column can have.
_VALUE, _STUDIO = "-value", "-studio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grains:
    """What is known of the grains of configured datasets.

    Attributes:
        hashed: those whose columns are hashed with the configured key.
        impersonal: those whose rows are groups of nobody in particular.
    """

    hashed: frozenset[GrainId]
    impersonal: frozenset[GrainId]


def grains_of(datasets: Iterable[Dataset]) -> Grains:
    """What *datasets*, as configured, tell of theirs."""
    datasets = tuple(datasets)
    return Grains(
        hashed=frozenset(d.grain.id for d in datasets if d.hash),
        impersonal=frozenset(
            d.grain.id for d in datasets if d.spec.grouped and not any(column.personal for column in d.columns)
        ),
    )


def rows_of(
    table: pa.Table, studios: pa.Array | pa.ChunkedArray, customer_columns: Iterable[str], left_out: LeftOut
) -> pa.ChunkedArray | None:
    """Which rows tell of people who are left out, as booleans; None where none does.

    Args:
        table: any rows.
        studios: whose each row is.
        customer_columns: that hold customers' ids, beside those that the catalogue knows; some may not be there.
        left_out: says of whom.
    """
    found: pa.ChunkedArray | None = None
    for name in id_columns(table.column_names, customer_columns):
        values = table.column(name)
        both = pa.table({_STUDIO: studios, _VALUE: values})
        pairs = both.group_by([_STUDIO, _VALUE], use_threads=False).aggregate([])
        for pair in pairs.to_pylist():
            studio, value = pair[_STUDIO], pair[_VALUE]
            if value is not None and left_out(StudioId(studio), str(value)):
                theirs = pc.and_(pc.equal(studios, studio), pc.fill_null(pc.equal(values, value), fill_value=False))
                found = theirs if found is None else pc.or_(found, theirs)
    return found


def leave_out(table: pa.Table, ledger: Ledger, left_out: LeftOut) -> tuple[pa.Table, Ledger]:
    """Take people out of rows that are, or are to be, published.

    Args:
        table: as published.
        ledger: what is said of its tasks.
        left_out: says of whom.

    Returns:
        The rest, in the same order; the entries tell what is withheld. The same two where nobody was found.
    """
    found = rows_of(table, table.column(STUDIO_ID), ledger.customer_columns, left_out)
    if found is None:
        return table, ledger
    return table.filter(pc.invert(found)), without(ledger, table.filter(found))


def without(ledger: Ledger, rows: pa.Table) -> Ledger:
    """What is said of a part from which *rows* are taken."""
    numbers, measures = task_sums(rows, counted=_is_counted(rows))
    entries = tuple(
        entry.leave_out(Withheld(rows=numbers[entry.task], measure=measures[entry.task]))
        if entry.task in numbers
        else entry
        for entry in ledger.entries
    )
    return replace(ledger, entries=entries)


def leave_out_staged(record: SegmentRecord, table: pa.Table, left_out: LeftOut) -> tuple[SegmentRecord, pa.Table]:
    """Take people out of a segment; its pages tell what is withheld. The same two where nobody was found."""
    spread = [number for number, page in enumerate(record.pages) for _ in range(page.rows)]
    studios = pa.array([page.studio for page in record.pages], pa.string()).take(pa.array(spread, pa.int32()))
    found = rows_of(table, studios, record.customer_columns, left_out)
    if found is None:
        return record, table
    pages, start = [], 0
    for page in record.pages:
        theirs = withheld(table.slice(start, page.rows), found.slice(start, page.rows))
        pages.append(page._replace(rows=page.rows - theirs.rows, withheld=page.withheld + theirs))
        start += page.rows
    return replace(record, pages=tuple(pages)), table.filter(pc.invert(found))


def withheld(table: pa.Table, found: pa.ChunkedArray) -> Withheld:
    """What the rows that *found* marks come to."""
    theirs = table.filter(found)
    measure = pc.sum(theirs.column(COUNT)).as_py() or 0 if _is_counted(table) else theirs.num_rows
    return Withheld(rows=theirs.num_rows, measure=measure)


def why_unsearched(table: pa.Table, grain: GrainId, customer_columns: Collection[str], grains: Grains) -> str | None:
    """Why somebody who was not found in these rows might be in them nevertheless; None where they are not.

    Args:
        table: rows of one grain.
        grain: of them.
        customer_columns: as their ledger or record tells.
        grains: of what is configured.
    """
    if not table.num_rows:
        return None
    names = id_columns(table.column_names, customer_columns)
    if not names:
        if grain in grains.impersonal and _PERSONAL.isdisjoint(table.column_names):
            return None
        return "has no column of customers' ids (it was dropped, or never asked for)"
    if grain in grains.hashed or not any(_is_hashed(table.column(name)) for name in names):
        return None
    return (
        "its customers' ids are hashed, and not by a dataset and with the key that are configured; configure it as it"
        " was exported, and forget again"
    )


def id_columns(names: Iterable[str], customer_columns: Iterable[str]) -> list[str]:
    """Those of *names* that hold customers' ids: the catalogue's, and *customer_columns*."""
    wanted = CUSTOMER_ID_COLUMNS.union(customer_columns)
    return [name for name in names if name in wanted]


def _is_counted(table: pa.Table) -> bool:
    """Whether the rows have counts that add up. Of whatever report: an unasked column of that name would be text."""
    return COUNT in table.column_names and bool(pa.types.is_integer(table.schema.field(COUNT).type))


def _is_hashed(values: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(values.type):
        return False
    return bool(pc.any(pc.match_substring_regex(values, _HASH)).as_py())

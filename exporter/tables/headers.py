"""What an answer's headers must say before its rows are worth reading."""

from collections.abc import Collection, Sequence

from exporter.core.answer import Format, Page
from exporter.core.report import Column, Dataset, Pivot
from exporter.core.text import excerpt
from exporter.errors import ChangedError, MissingColumnError
from exporter.tables.json_pages import occurring_keys
from exporter.tables.layout import known_columns


def check_headers(page: Page, dataset: Dataset, sort_keys: Sequence[str] = ()) -> None:
    """Hold the headers of *page* against what was asked.

    CSV has no headers beside its rows; `decode_pages` checks its first line.

    Args:
        page: one answer.
        dataset: its columns are those asked for.
        sort_keys: the sort that was asked for, all ascending; empty where none was.

    Raises:
        MissingColumnError: a column is missing. With a pivot the periods stand for the measure.
        ChangedError: the report is not sorted as was asked.
    """
    if page.format is Format.CSV:
        return
    if page.headers:
        announced = {header.key for header in page.headers}
        missing = [column for column in required_columns(dataset) if announced.isdisjoint(_forms(column))]
        refuse_missing(page, missing)
    elif (occurring := occurring_keys(page)) is not None:
        refuse_missing(page, [column for column in required_columns(dataset) if not _occurs(column, occurring)])
    _check_sort(page, dataset, sort_keys)


def required_columns(dataset: Dataset) -> list[Column]:
    """The columns that an answer must have."""
    pivoted = dataset.pivot is not Pivot.ALL
    return [column for column in dataset.columns if not (pivoted and column.name in dataset.spec.measures)]


def refuse_missing(page: Page, missing: Collection[Column]) -> None:
    """Raise `MissingColumnError` unless *missing* is empty."""
    if missing:
        names = ", ".join(column.name for column in missing)
        or_json = ', or api.format = "json"' if page.format is Format.CSV else ""
        raise MissingColumnError(
            f"{page.request}: the answer lacks columns that were asked for ({names}); "
            f"try another api.list_style (comma, repeat, brackets){or_json}"
        )


def _forms(column: Column) -> set[str]:
    """Every key under which a header may announce *column*."""
    return {column.key, column.name, column.asked_as, column.asked_as.replace(".", "_")}


def _occurs(column: Column, keys: Collection[str]) -> bool:
    """Whether some row had *column*, or had null in place of an object around it."""
    parts = column.key.split(".")
    return column.name in keys or any(".".join(parts[:depth]) in keys for depth in range(1, len(parts) + 1))


def _check_sort(page: Page, dataset: Dataset, sort_keys: Sequence[str]) -> None:
    known = known_columns(dataset.spec)

    def canonical(name: str) -> str:
        return known[name].asked_as if name in known else name

    headers = [header for header in page.headers if header.order is not None]
    if not headers or not sort_keys:
        return
    wanted = [canonical(key) for key in sort_keys]
    ranks = {canonical(header.key): header.priority for header in headers}
    if any(priority is None for priority in ranks.values()):
        # Without ranks only which columns are sorted can be compared, not which comes first.
        as_asked = ranks.keys() == set(wanted)
    else:
        as_asked = sorted(ranks, key=lambda key: ranks[key] or 0) == wanted
    if not as_asked or any((header.order or "").lower() != "asc" for header in headers):
        seen = excerpt(", ".join(f"{header.key} {header.order}" for header in headers))
        raise ChangedError(
            f"{page.request}: the answer is sorted by {seen} instead of {', '.join(wanted)}; fetch the window again"
        )

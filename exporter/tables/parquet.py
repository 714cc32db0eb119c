"""A partition's rows and its ledger as the bytes of one Parquet object, and back.

Rules kept here: the same rows and the same ledger give the same bytes, however the table is cut into chunks; what was
encoded decodes to an equal table; nothing is coerced; whatever cannot be read is a `DataError` that says what is wrong
and leaves it to the caller to say of which object. Merging is in `merge.py`, and nothing here knows a key or a store.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.core.ledger import Ledger, parse_ledger
from exporter.errors import DataError
from exporter.tables.schema import STUDIO_ID, WINDOW_START

#: The footer's one key-value entry.
LEDGER_KEY = "exporter.ledger"

#: Rows in a row group, about: large enough to compress and scan well, small enough to skip other studios' rows.
ROW_GROUP_ROWS = 100_000

_ZSTD_LEVEL = 3

_MAGIC = b"PAR1"

#: After the footer: its length in four bytes, and the magic. Source: Parquet format, "File format".
_TRAILER_BYTES = 8


def encode_part(table: pa.Table, ledger: Ledger, compression: str) -> bytes:
    """A whole Parquet object.

    Args:
        table: sorted as `replace_tasks` sorts; its first order, by studio and window, is declared in the footer.
        ledger: what is said of the tasks behind the rows.
        compression: "zstd", "snappy" or "none".

    Raises:
        DataError: a column that may not be null is.
    """
    schema = table.schema.remove_metadata()
    for field in schema:
        nulls = table[field.name].null_count
        if nulls and not field.nullable:
            raise DataError(f"column {field.name} has no value in {nulls} of {table.num_rows} rows; it must have one")
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        compression_level=_ZSTD_LEVEL if compression == "zstd" else None,
        # Version 1 pages are the ones that every reader knows; version 2 would gain little on flat rows.
        data_page_version="1.0",
        # Arrow's own copy of the schema says nothing more about these types, and every query reads the footer.
        store_schema=False,
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(
            schema, [(STUDIO_ID, "ascending"), (WINDOW_START, "ascending")], null_placement="at_end"
        ),
    ) as writer:
        size = _row_group_size(table.num_rows)
        for start in range(0, table.num_rows, size):
            # A chunk's end would end a batch of values and so move the pages: one chunk to a row group.
            writer.write_table(table.slice(start, size).combine_chunks(), row_group_size=size)
        writer.add_key_value_metadata({LEDGER_KEY: ledger.to_text()})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_part(data: bytes) -> tuple[pa.Table, Ledger]:
    """What `encode_part` wrote; pages are held against their checksums.

    Raises:
        DataError: the bytes are cut short, damaged, or were written by another program.
    """
    _check_magic(data)
    with _translated("is not whole: its Parquet pages cannot be read"):
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        ledger = _ledger_in(file.metadata.metadata)
        return file.read().replace_schema_metadata(None), ledger


def read_ledger(tail: bytes, whole_size: int) -> Ledger | int:
    """The ledger, from the last bytes of an object alone.

    Args:
        tail: the end of the object, or all of it.
        whole_size: bytes of the whole object.

    Returns:
        The ledger; or, where *tail* does not reach back to the footer's beginning, how many bytes from the end do.

    Raises:
        DataError: the object is cut short, damaged, or was written by another program.
    """
    if len(tail) < min(whole_size, _TRAILER_BYTES):
        return min(whole_size, _TRAILER_BYTES)
    _check_magic(tail)
    needed = int.from_bytes(tail[-_TRAILER_BYTES : -len(_MAGIC)], "little") + _TRAILER_BYTES
    if needed > whole_size - len(_MAGIC):
        raise DataError(f"is not whole: its footer needs {needed} bytes, but the object has {whole_size}")
    if len(tail) < needed:
        return needed
    with _translated("is not whole: its Parquet footer cannot be read"):
        # Offsets in a footer are not followed before rows are read, so the footer alone will do for a file.
        return _ledger_in(pq.read_metadata(pa.BufferReader(tail[-needed:])).metadata)


def _row_group_size(rows: int) -> int:
    """Rows in each row group, all alike: a full group and a tiny rest would scan worse than two halves."""
    groups = max(1, round(rows / ROW_GROUP_ROWS))
    return max(1, -(-rows // groups))


def _check_magic(data: bytes) -> None:
    if not data.endswith(_MAGIC):
        raise DataError("is no whole Parquet file: the mark at its end is missing")


def _ledger_in(metadata: Mapping[bytes, bytes] | None) -> Ledger:
    text = (metadata or {}).get(LEDGER_KEY.encode())
    if text is None:
        raise DataError(f"was not written by this program: its footer has no {LEDGER_KEY}")
    try:
        return parse_ledger(text.decode("ascii"))
    except ValueError as error:
        raise DataError(f"was written by another version of this program, or is damaged: {error}") from error


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Arrow's errors as ours; Arrow's text may quote the bytes it stumbled over, so it stays out of the message."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(what) from error

"""A partition's rows and its ledger as the bytes of one Parquet object, and back; as a whole, or piece by piece.

Rules kept here: the same rows and the same ledger give the same bytes, in whatever pieces they come; what was encoded
decodes to an equal table; nothing is coerced; whatever cannot be read is a `DamagedError` that says what is wrong and
leaves it to the caller to say of which object; no thread but the caller's touches the bytes. Merging is in `merge.py`,
and nothing here knows a key or a store.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.core.ledger import Ledger, parse_ledger
from exporter.errors import DamagedError, DataError
from exporter.tables.schema import STUDIO_ID, WINDOW_START

#: The footer's one key-value entry.
LEDGER_KEY = "exporter.ledger"

#: Rows in a row group at least and at most; see `_row_group_size`.
_FEWEST_ROWS, _MOST_ROWS = 10_000, 100_000

#: So many rows take, in the columns that a narrow query reads, about as many bytes as a row group takes in the footer.
_ROWS_WORTH_A_GROUP = 1_000

#: The column that queries for one person name. Such rows are everywhere in a part, so bounds exclude nothing.
_CUSTOMER_ID = "customer_id"

#: Rows that are read in one go.
_READ_ROWS = 32_768

_ZSTD_LEVEL = 3

_MAGIC = b"PAR1"

#: After the footer: its length in four bytes, and the magic. Source: Parquet format, "File format".
_TRAILER_BYTES = 8


class PartWriter:
    """Makes a Parquet object of rows that come piece by piece; a row group of them is in memory at most."""

    def __init__(self, schema: pa.Schema, rows: int, compression: str) -> None:
        """No row yet.

        Args:
            schema: of the rows.
            rows: how many are going to come in all.
            compression: "zstd", "snappy" or "none".
        """
        self._schema = schema.remove_metadata()
        self._group_rows = _row_group_size(rows)
        self._left = rows
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression=compression,
            compression_level=_ZSTD_LEVEL if compression == "zstd" else None,
            # Version 1 pages are the ones that every reader knows; version 2 would gain little on flat rows.
            data_page_version="1.0",
            # Arrow's own copy of the schema says nothing more about these types, and every query reads the footer.
            store_schema=False,
            write_page_index=True,
            write_page_checksum=True,
            # With the number of values left open, Arrow makes each filter for a million of them first.
            bloom_filter_options=(
                {_CUSTOMER_ID: {"ndv": self._group_rows}} if _CUSTOMER_ID in self._schema.names else None
            ),
            sorting_columns=pq.SortingColumn.from_ordering(
                schema, [(STUDIO_ID, "ascending"), (WINDOW_START, "ascending")], null_placement="at_end"
            ),
        )

    def write(self, table: pa.Table) -> None:
        """Add rows, sorted as `replace_tasks` sorts them and behind those before.

        Raises:
            DataError: a column that may not be null is.
        """
        for field in self._schema:
            nulls = table[field.name].null_count
            if nulls and not field.nullable:
                raise DataError(
                    f"column {field.name} has no value in {nulls} of {table.num_rows} rows; it must have one"
                )
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        while self._waiting_rows >= self._group_rows:
            self._write_group(self._group_rows)

    def finish(self, ledger: Ledger) -> bytes:
        """The whole object, with what is said of the tasks behind its rows.

        Raises:
            DataError: not as many rows came as were announced.
        """
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        if self._left:
            raise DataError(f"{self._left} rows are missing of those that were counted")
        self._writer.add_key_value_metadata({LEDGER_KEY: ledger.to_text()})
        self._writer.close()
        data: bytes = self._sink.getvalue().to_pybytes()
        return data

    def _write_group(self, rows: int) -> None:
        waiting = pa.concat_tables(table for table in self._waiting if table.num_rows)
        self._waiting = [waiting.slice(rows)]
        columns = waiting.slice(0, rows).columns
        del waiting
        # A chunk's end would end a batch of values and so move the pages: one chunk to a row group. Column by column,
        # so that each that is copied can go, and no row group is in memory twice.
        for number, column in enumerate(columns):
            if column.num_chunks > 1:
                columns[number] = column.combine_chunks()
        self._waiting_rows -= rows
        self._left -= rows
        self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=rows)


def encode_part(table: pa.Table, ledger: Ledger, compression: str) -> bytes:
    """A whole Parquet object.

    Args:
        table: sorted as `replace_tasks` sorts; its first order, by studio and window, is declared in the footer.
        ledger: what is said of the tasks behind the rows.
        compression: "zstd", "snappy" or "none".

    Raises:
        DataError: a column that may not be null is.
    """
    writer = PartWriter(table.schema, table.num_rows, compression)
    writer.write(table)
    return writer.finish(ledger)


class PartFile:
    """A Parquet object whose rows are read when they are needed; pages are held against their checksums.

    Arrow's threads are not used: one may let go of the reader, and so of Python's bytes, after the rows were returned,
    and where the interpreter ends just then it is aborted or hangs. Source: apache/arrow issues 34314 and 50482.
    """

    def __init__(self, data: bytes) -> None:
        """The footer is read.

        Raises:
            DamagedError: the bytes are cut short, damaged, or were written by another program.
        """
        self.data = data
        _check_magic(data)
        with _translated("is not whole: its Parquet pages cannot be read"):
            self._file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            self.schema: pa.Schema = self._file.schema_arrow.remove_metadata()
        self.ledger = _ledger_in(self._file.metadata.metadata)

    @property
    def num_rows(self) -> int:
        """Of the whole part."""
        return int(self._file.metadata.num_rows)

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in their order, some ten thousand at a time; of all columns, or of some in the part's order.

        Raises:
            DamagedError: they cannot be read.
        """
        with _translated("is not whole: its Parquet pages cannot be read"):
            for batch in self._file.iter_batches(_READ_ROWS, columns=columns, use_threads=False):
                yield pa.Table.from_batches([batch]).replace_schema_metadata(None)

    def read(self) -> pa.Table:
        """All rows at once.

        Raises:
            DamagedError: they cannot be read.
        """
        with _translated("is not whole: its Parquet pages cannot be read"):
            return self._file.read(use_threads=False).replace_schema_metadata(None)


def read_ledger(tail: bytes, whole_size: int) -> Ledger | int:
    """The ledger, from the last bytes of an object alone.

    Args:
        tail: the end of the object, or all of it.
        whole_size: bytes of the whole object.

    Returns:
        The ledger; or, where *tail* does not reach back to the footer's beginning, how many bytes from the end do.

    Raises:
        DamagedError: the object is cut short, damaged, or was written by another program.
    """
    if len(tail) < min(whole_size, _TRAILER_BYTES):
        return min(whole_size, _TRAILER_BYTES)
    _check_magic(tail)
    needed = int.from_bytes(tail[-_TRAILER_BYTES : -len(_MAGIC)], "little") + _TRAILER_BYTES
    if needed > whole_size - len(_MAGIC):
        raise DamagedError(f"is not whole: its footer needs {needed} bytes, but the object has {whole_size}")
    if len(tail) < needed:
        return needed
    with _translated("is not whole: its Parquet footer cannot be read"):
        # Offsets in a footer are not followed before rows are read, so the footer alone will do for a file.
        return _ledger_in(pq.read_metadata(pa.BufferReader(tail[-needed:])).metadata)


def _row_group_size(rows: int) -> int:
    """Rows in each row group, all alike: a full group and a tiny rest would scan worse than two halves.

    A query for one studio or one customer reads the footer, which grows with the number of groups, and the columns that
    it needs of few groups, which grow with their size. Both together are least near the square root of the rows.
    """
    wanted = min(max(math.isqrt(rows * _ROWS_WORTH_A_GROUP), _FEWEST_ROWS), _MOST_ROWS)
    groups = max(1, round(rows / wanted))
    return max(1, -(-rows // groups))


def _check_magic(data: bytes) -> None:
    if not data.endswith(_MAGIC):
        raise DamagedError("is no whole Parquet file: the mark at its end is missing")


def _ledger_in(metadata: Mapping[bytes, bytes] | None) -> Ledger:
    text = (metadata or {}).get(LEDGER_KEY.encode())
    if text is None:
        raise DamagedError(f"was not written by this program: its footer has no {LEDGER_KEY}")
    try:
        return parse_ledger(text.decode("ascii"))
    except ValueError as error:
        raise DamagedError(f"was written by another version of this program, or is damaged: {error}") from error


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Arrow's errors as ours; Arrow's text may quote the bytes it stumbled over, so it stays out of the message."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(what) from error

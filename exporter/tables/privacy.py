"""What is never written, and what is written as a keyed hash only.

This runs before anything touches the disk, staging included.
"""

import hmac

import pyarrow as pa

from exporter.core.report import Dataset


def apply(table: pa.Table, dataset: Dataset, hash_key: bytes) -> pa.Table:
    """*table* without the columns of `dataset.drop` and with those of `dataset.hash` replaced.

    A hash is HMAC-SHA-256 of the value's text in UTF-8 (a number in decimal), as 64 hex digits; null stays null.
    Columns are known by name, so one that came unasked is treated too.

    Args:
        table: schema `report_fields`, extras included.
        dataset: says which columns.
        hash_key: the secret; not empty where `dataset.hash` is not.

    Returns:
        Schema `written_fields` with the same extras, unless dropped.

    Raises:
        ValueError: a column is to be hashed and the key is empty.
    """
    if not dataset.drop and not dataset.hash:
        return table
    fields: list[pa.Field] = []
    columns: list[pa.ChunkedArray] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.name in dataset.drop:
            continue
        hashed = field.name in dataset.hash
        fields.append(pa.field(field.name, pa.string()) if hashed else field)
        columns.append(_hashed(column, hash_key) if hashed else column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def hash_of(value: str, key: bytes) -> str:
    """How *value* is written where its column is hashed."""
    return hmac.digest(key, value.encode(), "sha256").hex()


def _hashed(column: pa.ChunkedArray, key: bytes) -> pa.Array:
    if not key:
        raise ValueError("a column cannot be hashed with an empty key")
    # A page holds few distinct customers; each is hashed once.
    encoded = column.combine_chunks().dictionary_encode()
    hashes = pa.array([hash_of(str(value), key) for value in encoded.dictionary.to_pylist()], pa.string())
    return hashes.take(encoded.indices)

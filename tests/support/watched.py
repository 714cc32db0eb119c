"""A store that keeps a copy of everything that ever stood in it, and what can be read out of such a copy."""

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.store.base import Condition, ObjectInfo
from exporter.store.memory import MemoryStore


class WatchedStore(MemoryStore):
    """A memory store; `puts` holds each key and its bytes in the order they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[tuple[str, bytes]] = []

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        """Write, and remember."""
        self.puts.append((key, data))
        return await super().put(key, data, condition=condition)


def values_in(key: str, data: bytes) -> set[str]:
    """Every value in an object, as text: cells of tables, strings and numbers of JSON, and what footers hold."""
    if key.endswith((".json", "_SUCCESS")):
        return set(_leaves(json.loads(data)))
    if key.endswith(".arrow"):
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    else:
        table = pq.read_table(io.BytesIO(data))
    cells = {str(value) for column in table.columns for value in column.to_pylist()}
    footer = [text.decode() for text in (table.schema.metadata or {}).values()]
    records = {leaf for text in footer if text.startswith("{") for leaf in _leaves(json.loads(text))}
    return cells | records | set(footer) | set(table.column_names)


def _leaves(document: object) -> Iterator[str]:
    match document:
        case dict():
            for name, value in document.items():
                yield str(name)
                yield from _leaves(value)
        case list():
            for value in document:
                yield from _leaves(value)
        case _:
            yield str(document)

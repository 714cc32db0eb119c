"""What the sink tells of earlier runs: their manifests, and the ledgers of what is published."""

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence

from exporter.core.ledger import Ledger
from exporter.core.manifest import Manifest, parse_manifest
from exporter.core.partition import (
    Partition,
    confirmed_key,
    latest_key,
    manifest_key,
    manifests_prefix,
    parse_partition,
    partition_of,
    partitions_prefix,
    receipts_prefix,
)
from exporter.core.receipt import Receipt, parse_receipt
from exporter.core.report import Dataset, DatasetName
from exporter.errors import DataError, NotFoundError
from exporter.jobs.confirm import read_confirmations
from exporter.store.base import ObjectInfo, ObjectStore
from exporter.tables.parquet import read_ledger

#: Objects that are read side by side.
READS_AT_ONCE = 16

#: Bytes of manifests that are read side by side; one that is larger is read alone.
BYTES_AT_ONCE = 16 * 1024 * 1024

#: Read from the end of a part at first; most footers fit.
FOOTER_BYTES = 64 * 1024


async def read_ledgers(
    store: ObjectStore, datasets: Sequence[Dataset], *, only: Container[Partition] | None = None
) -> Mapping[Partition, Ledger]:
    """The ledger of every published part of *datasets*: the part's footer, and what was confirmed of it since.

    Args:
        store: the sink.
        datasets: whose parts.
        only: partitions to read; None for all.

    Raises:
        DataError: a part, or the list of confirmed windows, is not readable, or not ours.
        StoreError: the sink is not readable.
    """
    partitions = [
        partition
        for dataset in datasets
        for info in await store.list(partitions_prefix(dataset.name))
        if (partition := parse_partition(info.key)) and (only is None or partition in only)
    ]
    confirmed = {dataset.name: (await read_confirmations(store, dataset.name))[0] for dataset in datasets}
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(partition: Partition) -> Ledger:
        async with limit:
            return confirmed[partition.dataset].apply(await read_ledger_of(store, partition))

    ledgers = await asyncio.gather(*(read(partition) for partition in partitions))
    return dict(zip(partitions, ledgers, strict=True))


async def latest_manifests(store: ObjectStore, datasets: Sequence[DatasetName]) -> tuple[Manifest, ...]:
    """The last manifest of each dataset that has one."""
    found = []
    for name in datasets:
        manifest = await _manifest(store, latest_key(name))
        if manifest:
            found.append(manifest)
    return tuple(found)


async def each_manifest(
    store: ObjectStore, dataset: DatasetName, *, last: int | None = None, since: str = ""
) -> AsyncIterator[Manifest]:
    """The manifests of *dataset*, oldest first, one after the other: years of them need not be in memory at once.

    Args:
        store: the sink.
        dataset: its name.
        last: only so many; None for all.
        since: what the ids of runs before the first one sort before.
    """
    others = {latest_key(dataset), confirmed_key(dataset)}
    earliest = manifest_key(dataset, since)
    listed = await store.list(manifests_prefix(dataset))
    found = [info for info in listed if info.key not in others and (not since or info.key >= earliest)]
    if last is not None:
        found = found[-last:]
    for keys in _in_fews(found):
        for key, data in zip(keys, await asyncio.gather(*(_bytes(store, key) for key in keys)), strict=True):
            if data is not None:
                yield _parsed(key, data)


def _in_fews(objects: Iterable[ObjectInfo]) -> Iterator[Sequence[str]]:
    """Keys of *objects*, as many as are read side by side: few where they are large."""
    few: list[str] = []
    size_bytes = 0
    for info in objects:
        if few and (len(few) == READS_AT_ONCE or size_bytes + info.size > BYTES_AT_ONCE):
            yield few
            few, size_bytes = [], 0
        few.append(info.key)
        size_bytes += info.size
    if few:
        yield few


async def read_receipts(store: ObjectStore) -> tuple[Receipt, ...]:
    """What was removed by `forget`, oldest first.

    Raises:
        DataError: a receipt cannot be read.
        StoreError: the sink is not readable.
    """
    found = []
    for info in await store.list(receipts_prefix()):
        try:
            found.append(parse_receipt((await store.get(info.key))[0]))
        except ValueError as error:
            raise DataError(f"{info.key}: {error}; move it away, then try again") from error
    return tuple(found)


async def read_ledger_of(store: ObjectStore, partition: Partition) -> Ledger:
    """The ledger in the footer of one part.

    Raises:
        DataError: the part is not readable, not ours, or another partition's.
        StoreError: the sink is not readable.
    """
    size = FOOTER_BYTES
    try:
        while True:
            tail, info = await store.tail(partition.key, size)
            found = read_ledger(tail, info.size)
            if isinstance(found, Ledger):
                break
            size = found
        _require_own(partition, found)
    except DataError as error:
        raise DataError(f"{partition.key}: {error}; move it away or restore it, then run again") from error
    return found


def _require_own(partition: Partition, ledger: Ledger) -> None:
    """Raise where a part was put into another partition's place: its rows would be read twice, and those be missing."""
    for entry in ledger.entries:
        if (own := partition_of(partition.dataset, entry.window)) != partition:
            raise DataError(f"holds rows of {own.month}, as a copy of that part would")


async def _manifest(store: ObjectStore, key: str) -> Manifest | None:
    data = await _bytes(store, key)
    return None if data is None else _parsed(key, data)


async def _bytes(store: ObjectStore, key: str) -> bytes | None:
    try:
        data, _ = await store.get(key)
    except NotFoundError:
        return None
    return data


def _parsed(key: str, data: bytes) -> Manifest:
    try:
        return parse_manifest(data)
    except ValueError as error:
        raise DataError(f"{key}: {error}; move it away, then try again") from error

"""Removes a person from the sink and keeps them out of it; asks the API nothing.

Rules kept here:

- First the list, then the published parts, then what is staged, then the parts that changed meanwhile: what a run
  publishes from the moment on that the list holds the person is without them, and what it published before is found.
- Every dataset that lies in the sink is searched, configured or not; what cannot be searched is told.
- An object without the person is not put again. One with them is replaced on condition, and noted in the receipt
  before: so whatever stands in the sink is on record, wherever this is stopped. Run again, it does what is left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from exporter.core.erasure import Person
from exporter.core.partition import STAGING, Partition, parse_partition, receipt_key
from exporter.core.receipt import Receipt, Replaced, Searched, Unsearched, Version
from exporter.core.report import Dataset, GrainId
from exporter.core.studio import StudioId
from exporter.errors import DataError, NotFoundError, StoreError, UsageError
from exporter.jobs.conflict import MOST_CONFLICTS, back_off
from exporter.jobs.history import read_ledger_of
from exporter.jobs.put import put_for_etag, put_surely
from exporter.jobs.replace import Part, Replacer, sha256
from exporter.jobs.suppression import Suppression
from exporter.store.base import ObjectInfo, ObjectStore
from exporter.tables.erasure import Grains, grains_of, leave_out, leave_out_staged, why_unsearched
from exporter.tables.parquet import encode_part
from exporter.tables.segment import decode_segment, encode_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Who stands behind the doors of this job.

    Attributes:
        store: the sink.
        clock: the time, UTC.
        sleep, random: for waits.
    """

    store: ObjectStore
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is gone about.

    Attributes:
        receipt_id: sortable by time, unique.
        version: of this program.
        compression: of the parts.
        datasets: as configured.
        studios: that are configured.
        dry_run: change nothing.
    """

    receipt_id: str
    version: str
    compression: str
    datasets: Sequence[Dataset]
    studios: frozenset[StudioId]
    dry_run: bool


async def forget(person: Person, options: Options, doors: Doors) -> Receipt:
    """Remove *person* from parts and staged rows, for good; or say what would be removed.

    Returns:
        The receipt, as it stands in the sink; for a dry run, as it would.

    Raises:
        UsageError: the person's studio is neither configured nor published; nothing was changed.
        DataError: the list of people who are left out cannot be read.
        StoreError: the sink failed; what was removed is on record, and running again does the rest.
    """
    if person.studio is not None and person.studio not in options.studios:
        await _require_published(doors.store, person.studio)
    return await _Forgetting(person, options, doors).go()


async def _require_published(store: ObjectStore, studio: StudioId) -> None:
    for info in await store.list(""):
        if partition := _partition_in(info):
            try:
                ledger = await read_ledger_of(store, partition)
            except (DataError, NotFoundError):
                continue  # told when it is searched
            if any(entry.studio == studio for entry in ledger.entries):
                return
    raise UsageError(f'--studio: "{studio}" is neither configured nor published in {store.url}')


def _partition_in(info: ObjectInfo) -> Partition | None:
    """The partition of this sink whose object *info* is of; None for those of a sink that lies below it."""
    partition = parse_partition(info.key)
    return None if partition is None or "/" in partition.dataset else partition


class _Forgetting:
    """One person on their way out, and what was done so far."""

    def __init__(self, person: Person, options: Options, doors: Doors) -> None:
        self._person = person
        self._options = options
        self._store = doors.store
        self._doors = doors
        self._replacer = Replacer(store=doors.store, sleep=doors.sleep, random=doors.random)
        self._grains: Grains = grains_of(options.datasets)
        self._searched: dict[str, Searched] = {}
        self._unsearched: dict[tuple[str, GrainId], str] = {}
        #: Grains in which the person was found, so that the key of their hashes is the configured one.
        self._proven: set[GrainId] = set()
        self._replaced: list[Replaced] = []
        #: The version of each part that was searched.
        self._etags: dict[str, str] = {}
        self._receipt = Receipt(
            receipt_id=options.receipt_id,
            version=options.version,
            studio=person.studio,
            subjects=(),
            started_at=doors.clock(),
        )

    async def go(self) -> Receipt:
        if self._options.dry_run:
            await self._search_parts()
            await self._search_staging()
            return self._record(ended=True)
        subjects = await Suppression(self._store).add(self._person, sleep=self._doors.sleep, random=self._doors.random)
        self._receipt = replace(self._receipt, subjects=tuple(sorted(subjects)))
        await self._search_parts()
        await self._search_staging()
        # A run that had begun before may have published in between, and died before it looked at the list again.
        await self._search_parts()
        receipt = self._record(ended=True)
        await self._put(receipt)
        return receipt

    async def _search_parts(self) -> None:
        for info in await self._store.list(""):
            partition = _partition_in(info)
            if partition and self._etags.get(info.key) != info.etag:
                await self._search_part(partition)

    async def _search_part(self, partition: Partition) -> None:
        pending: Replaced | None = None

        async def make(old: Part | None) -> bytes | None:
            nonlocal pending
            pending = None
            if old is None:
                return None
            self._etags[partition.key] = old.etag
            whole = await asyncio.to_thread(old.file.read)
            table, ledger = await asyncio.to_thread(leave_out, whole, old.ledger, self._person.is_left_out)
            found = ledger is not old.ledger
            self._doubt(partition.dataset, whole, old.ledger.grain, old.ledger.customer_columns, found=found)
            if not found:
                return None
            data = await asyncio.to_thread(encode_part, table, ledger, self._options.compression)
            pending = self._replacement(partition.key, old.etag, data=(old.file.data, data), tables=(whole, table))
            if self._options.dry_run:
                return None
            await self._put(self._record(pending))
            return data

        try:
            etag = await self._replacer.replace(partition, make)
        except DataError as error:
            self._unsearched[partition.key, GrainId("")] = str(error).removeprefix(f"{partition.key}: ")
            return
        if etag:
            self._etags[partition.key] = etag
        self._count(partition.dataset, pending, etag)

    async def _search_staging(self) -> None:
        for info in await self._store.list(f"{STAGING}/"):
            if info.key.endswith(".arrow"):
                await self._search_segment(info.key)

    async def _search_segment(self, key: str) -> None:
        for conflicts in range(MOST_CONFLICTS):
            await back_off(conflicts, sleep=self._doors.sleep, random=self._doors.random)
            try:
                old, info = await self._store.get(key)
                record, table = await asyncio.to_thread(decode_segment, old)
            except NotFoundError:
                return  # published meanwhile, without the person
            except DataError as error:
                self._unsearched[key, GrainId("")] = f"{error}; the next run deletes it"
                return
            kept, rest = await asyncio.to_thread(leave_out_staged, record, table, self._person.is_left_out)
            found = kept is not record
            self._doubt(f"{STAGING} of {record.dataset}", table, record.grain, record.customer_columns, found=found)
            if not found:
                self._count(STAGING, None, None)
                return
            data = await asyncio.to_thread(encode_segment, kept, rest)
            pending = self._replacement(key, info.etag, data=(old, data), tables=(table, rest))
            if self._options.dry_run:
                self._count(STAGING, pending, None)
                return
            await self._put(self._record(pending))
            etag = await put_for_etag(self._store, key, data, info.etag)
            if etag is not None:
                self._count(STAGING, pending, etag)
                return
        raise StoreError(f"{key}: others replaced it {MOST_CONFLICTS} times meanwhile; forget again")

    def _doubt(
        self, place: str, table: pa.Table, grain: GrainId, customer_columns: Sequence[str], *, found: bool
    ) -> None:
        """Note where the person may be without having been found."""
        if found:
            self._proven.add(grain)
        elif reason := why_unsearched(table, grain, customer_columns, self._grains):
            self._unsearched[place, grain] = reason

    def _count(self, place: str, replaced: Replaced | None, etag: str | None) -> None:
        """One object was searched, and is without the person now."""
        if replaced:
            self._replaced.append(replace(replaced, after=replace(replaced.after, etag=etag)))
        rows_removed = replaced.rows_removed if replaced else 0
        self._searched[place] = self._searched.get(place, Searched(place=place)).add(rows_removed)

    def _replacement(
        self, key: str, etag: str, *, data: tuple[bytes, bytes], tables: tuple[pa.Table, pa.Table]
    ) -> Replaced:
        """What is to be done to the object *key*; *data* and *tables* are those before and after."""
        (old, new), (before, after) = data, tables
        return Replaced(
            key=key,
            rows_removed=before.num_rows - after.num_rows,
            rows_left=after.num_rows,
            before=Version(sha256=sha256(old), bytes=len(old), etag=etag),
            after=Version(sha256=sha256(new), bytes=len(new)),
            replaced_at=self._doors.clock(),
        )

    def _record(self, pending: Replaced | None = None, *, ended: bool = False) -> Receipt:
        doubts = {place: why for (place, grain), why in self._unsearched.items() if grain not in self._proven}
        return replace(
            self._receipt,
            ended_at=self._doors.clock() if ended else None,
            searched=tuple(self._searched[place] for place in sorted(self._searched)),
            unsearched=tuple(Unsearched(place=place, reason=doubts[place]) for place in sorted(doubts)),
            replaced=(*self._replaced, *([pending] if pending else ())),
        )

    async def _put(self, receipt: Receipt) -> None:
        await put_surely(self._store, receipt_key(receipt.receipt_id), receipt.to_json())

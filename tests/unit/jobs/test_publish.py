"""What a swap reports, also where the answer to its put is lost and somebody else publishes meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest

from exporter.core.ledger import Entry
from exporter.core.manifest import Change
from exporter.core.partition import partition_of
from exporter.errors import OutcomeUnknownError, StoreError
from exporter.jobs.publish import Publisher
from exporter.jobs.suppression import Suppression
from exporter.store.memory import MemoryStore
from exporter.tables.parquet import encode_part
from exporter.tables.swap import Swap
from tests.support.parts import EXPORTED_AT, STRIKES, decode_part, fetched, january, task

BAY = task("bay", january(1, 31))
PARTITION = partition_of(STRIKES.name, BAY[1])


async def at_once(_seconds):
    """Nobody waits in a test."""


def publisher(store, run_id):
    return Publisher(
        store=store,
        run_id=run_id,
        compression="zstd",
        clock=lambda: EXPORTED_AT,
        sleep=at_once,
        random=lambda: 0.0,
        suppression=Suppression(store),
    )


def swap(run_id, *counts, days=0):
    rows = [fetched(BAY, [{"customer_id": n, "count": count} for n, count in enumerate(counts)], run_id=run_id)]
    entry = Entry(
        studio=BAY[0],
        window=BAY[1],
        rows=len(counts),
        total=len(counts),
        measure=sum(counts),
        run_id=run_id,
        began_at=EXPORTED_AT + timedelta(days=days),
    )
    return Swap(partition=PARTITION, dataset=STRIKES, rows=rows, entries=(entry,))


async def publish(store, run_id, *counts, days=0):
    return await publisher(store, run_id).publish(swap(run_id, *counts, days=days))


async def test_what_was_never_published_has_no_change():
    publication = await publish(MemoryStore(), "first", 1, 2)
    assert (publication.changes, publication.confirmed, publication.record.unchanged) == ({}, (), False)


async def test_the_same_rows_are_confirmed_and_not_put_again():
    store = MemoryStore()
    first = await publish(store, "first", 1, 2)
    _, before = await store.get(PARTITION.key)
    again = await publish(store, "second", 1, 2, days=1)
    assert (await store.get(PARTITION.key))[1] == before
    assert again.record == replace(first.record, unchanged=True)
    assert again.changes == {BAY: Change()}
    (item,) = again.confirmed
    assert (item.published_by, item.run_id, item.began_at) == ("first", "second", EXPORTED_AT + timedelta(days=1))


async def test_an_earlier_fetch_neither_replaces_nor_confirms_a_later_one():
    store = MemoryStore()
    await publish(store, "later", 1, 2, days=1)
    publication = await publish(store, "earlier", 3)
    assert (publication.changes, publication.confirmed) == ({}, ())
    assert decode_part((await store.get(PARTITION.key))[0])[0].num_rows == 2


class LossyStore(MemoryStore):
    """The answer to one put of a part is lost, and then somebody else writes the part in another way."""

    loses = False

    async def put(self, key, data, *, condition=None):
        info = await super().put(key, data, condition=condition)
        if key == PARTITION.key and self.loses:
            self.loses = False
            table, ledger = decode_part(data)
            await super().put(key, encode_part(table, ledger, "snappy"))
            raise OutcomeUnknownError("the answer was lost")
        return info


async def test_what_a_put_changed_is_told_although_its_answer_was_lost_and_others_wrote_on_top():
    store = LossyStore()
    await publish(store, "first", 1, 2)
    store.loses = True
    publication = await publish(store, "second", 1, 5, 7, days=1)
    assert publication.changes == {BAY: Change(rows_added=1, rows_recounted=1, measure_change=10)}
    assert publication.confirmed == ()
    assert decode_part((await store.get(PARTITION.key))[0])[0]["count"].to_pylist() == [1, 5, 7]


class DeafStore(MemoryStore):
    """No put of a part lands, and nobody can tell."""

    tried = 0

    async def put(self, key, data, *, condition=None):
        if key != PARTITION.key:
            return await super().put(key, data, condition=condition)
        self.tried += 1
        raise OutcomeUnknownError("the request was lost")


async def test_a_part_that_is_never_put_although_nobody_replaced_it_is_given_up_as_such():
    store = DeafStore()
    with pytest.raises(StoreError, match=rf"{PARTITION.key}: was not written in 10 attempts.*run again"):
        await publish(store, "first", 1, 2)
    assert store.tried == 10

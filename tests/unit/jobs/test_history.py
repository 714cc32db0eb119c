"""What the sink tells of earlier runs, and what is said of records that cannot be read."""

import json
from random import Random

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import MANIFEST_VERSION
from exporter.core.partition import latest_key, manifest_key, partition_of
from exporter.core.report import DatasetName
from exporter.errors import ConfigError, DataError
from exporter.jobs.history import (
    BYTES_AT_ONCE,
    FOOTER_BYTES,
    READS_AT_ONCE,
    each_manifest,
    latest_manifests,
    read_ledgers,
)
from exporter.store.memory import MemoryStore
from exporter.tables.parquet import encode_part
from tests.support.exports import DATASET, bench
from tests.support.parts import STRIKES, january, ledger, part, task
from tests.support.run_events import make_manifest, make_record

NAME = DatasetName(DATASET)


async def test_manifests_come_oldest_first_and_the_copy_of_the_last_is_not_one_of_them():
    async with bench() as b:
        runs = [(await b.run(Choice(full=full)))[0].run_id for full in (False, True, False)]
        assert [m.run_id async for m in each_manifest(b.store, NAME)] == sorted(runs)
        assert [m.run_id async for m in each_manifest(b.store, NAME, last=2)] == sorted(runs)[-2:]


async def test_the_latest_manifest_is_the_last_run_s():
    async with bench() as b:
        (manifest,) = await b.run()
        (latest,) = await latest_manifests(b.store, [NAME, DatasetName("unheard_of")])
    assert latest.to_json() == manifest.to_json()


async def test_an_empty_sink_has_no_history():
    store = MemoryStore()
    assert [m async for m in each_manifest(store, NAME)] == []
    assert await latest_manifests(store, [NAME]) == ()
    assert await read_ledgers(store, [STRIKES]) == {}


def broken_manifests():
    newer = json.dumps({"manifest_version": MANIFEST_VERSION + 1}).encode()
    return {
        "empty": (b"", "Expecting value"),
        "cut short": (b'{"manifest_version": 1,', "Expecting"),
        "not UTF-8": (b"\xff\xfe\x00", "not a manifest"),
        "a list": (b"[]", "not a manifest"),
        "another document": (b'{"Statement": []}', "not a manifest"),
        "newer": (newer, "update this program"),
    }


@pytest.mark.parametrize(("data", "reason"), broken_manifests().values(), ids=broken_manifests())
async def test_a_manifest_that_cannot_be_read_is_named_with_the_way_out(data, reason):
    store, key = MemoryStore(), manifest_key(NAME, "20250101T000000Z-0000")
    await store.put(key, data)
    with pytest.raises(DataError, match=reason) as caught:
        await anext(each_manifest(store, NAME))
    assert str(caught.value).startswith(f"{key}: ")
    assert str(caught.value).endswith("move it away, then try again")


async def test_a_run_does_not_begin_over_a_latest_manifest_that_cannot_be_read():
    async with bench() as b:
        await b.store.put(latest_key(NAME), b"{}")
        with pytest.raises(ConfigError, match="not a manifest"):
            await b.run()
        assert b.asked() == 0


def many_tasks():
    """As many tasks as make a footer that is longer than what is read of a part at first."""
    rng = Random(1)
    return [task(f"{rng.getrandbits(256):x}", january(1)) for _ in range(3000)]


@pytest.mark.parametrize("tasks", [[task("cove", january(1))], many_tasks()], ids=["one-task", "many-tasks"])
async def test_a_ledger_of_any_length_is_read_from_the_end_of_its_part(tasks):
    store, written = MemoryStore(), ledger(*tasks)
    partition = partition_of(STRIKES.name, tasks[0][1])
    await store.put(partition.key, encode_part(part([(tasks[0], {})]), written, "zstd"))
    assert (len(written.to_text()) > FOOTER_BYTES) is (len(tasks) > 1)
    assert await read_ledgers(store, [STRIKES]) == {partition: written}


async def test_a_part_that_is_not_ours_is_named_with_the_way_out():
    store = MemoryStore()
    key = partition_of(STRIKES.name, january(1)).key
    await store.put(key, b"month,count\n2025-01,3\n")
    with pytest.raises(DataError, match=r"part-00000\.parquet: is no whole Parquet file.*move it away or restore it"):
        await read_ledgers(store, [STRIKES])


async def test_a_part_in_another_month_s_place_is_refused_before_anything_is_asked():
    async with bench() as b:
        await b.run()
        asked = b.asked()
        first, second = (info.key for info in (await b.store.list(f"{DATASET}/month="))[:2])
        copied, _ = await b.store.get(first)
        for place in (second, first.replace("/part-", ".bak/part-")):
            there = await b.store.get(place) if place == second else None
            await b.store.put(place, copied)
            with pytest.raises(
                ConfigError, match=r"holds rows of 2025-\d\d, as a copy of that part would; move it away"
            ):
                await b.run()
            await (b.store.put(place, there[0]) if there else b.store.delete(place))
        await b.run()
        assert b.asked() == asked


async def test_what_lies_beside_the_parts_is_no_part():
    store = MemoryStore()
    await store.put(f"{STRIKES.name}/month=2025-01/notes.txt", b"of a person")
    assert await read_ledgers(store, [STRIKES]) == {}


class ReadTogether(MemoryStore):
    """Counts the bytes and the objects that are asked for while no manifest is looked at."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    async def get(self, key):
        data, info = await super().get(key)
        self.sizes.append(len(data))
        return data, info


@pytest.mark.parametrize(
    ("size_bytes", "number", "most"),
    [(0, 3 * READS_AT_ONCE, READS_AT_ONCE), (BYTES_AT_ONCE // 3, 7, 3), (2 * BYTES_AT_ONCE, 3, 1)],
    ids=["small", "large", "huge"],
)
async def test_of_years_of_manifests_few_are_in_memory_at_once(size_bytes, number, most):
    store = ReadTogether()
    for n in range(number):
        manifest = make_manifest(make_record(), run_id=f"{n:04}", dataset=NAME).to_json()
        await store.put(manifest_key(NAME, f"{n:04}"), manifest + b" " * (size_bytes - len(manifest)))
    seen = 0
    async for manifest in each_manifest(store, NAME):
        assert manifest.run_id == f"{seen:04}"
        seen += 1
        assert len(store.sizes) - seen < most
    assert seen == number

"""`verify` finds nothing after good runs, and every kind of damage, with its place."""

import io
from dataclasses import replace
from datetime import date

import pyarrow.parquet as pq
import pytest

from exporter.app_choice import Choice
from exporter.core.ledger import Ledger
from exporter.core.manifest import parse_manifest
from exporter.errors import DataError
from exporter.sandbox.options import SandboxOptions
from exporter.tables.parquet import encode_part
from tests.support.exports import DATASET, bench, small_world
from tests.support.parts import decode_part

JANUARY = f"{DATASET}/month=2025-01/part-00000.parquet"
FEBRUARY = f"{DATASET}/month=2025-02/part-00000.parquet"


@pytest.fixture
async def lake():
    """Two studios and three months, as a good run left them."""
    async with bench() as b:
        await b.run()
        yield b


async def found(lake, *, source=False, **changes):
    (verified,) = await lake.app(**changes).verify(Choice(), source=source)
    return verified


async def differences(lake):
    return (await found(lake)).differences


async def change_part(lake, change, key=JANUARY, compression="zstd"):
    """Put what *change* makes of the part's table and ledger."""
    table, ledger = decode_part((await lake.store.get(key))[0])
    table, ledger = change(table, ledger)
    await lake.store.put(key, encode_part(table, ledger, compression))


async def test_nothing_is_found_after_a_good_run(lake):
    verified = await found(lake, source=True)
    assert verified.differences == ()
    assert (verified.parts, verified.measure) == (3, 900)
    assert [(total.studio, total.published, total.source) for total in verified.source] == [
        ("studio-1", 450, 450),
        ("studio-2", 450, 450),
    ]


async def test_rows_of_a_studio_that_was_renamed_or_taken_out_are_no_difference_and_are_told(lake):
    assert (await found(lake)).unconfigured == ()
    right = lake.config
    lake.config = lambda *given, **changes: right(*given, **changes).replace('id = "studio-1"', 'id = "renamed"')
    verified = await found(lake, source=True)
    assert (verified.differences, verified.unconfigured) == ((), ("studio-1",))


async def test_nothing_is_found_after_runs_that_replaced_and_added(lake):
    await lake.run(Choice(full=True, studios=("studio-1",)))
    await lake.run(end=date(2025, 5, 1))
    assert (await found(lake, source=True)).differences == ()


async def test_nothing_is_found_where_nothing_is_published():
    async with bench() as b:
        verified = await found(b, source=True)
        assert b.asked() == 0
    assert (verified.parts, verified.rows, verified.differences, verified.source) == (0, 0, (), ())


async def test_nothing_is_asked_of_the_api_and_nothing_written_without_source(lake):
    asked, before = lake.asked(), await lake.store.list("")
    await found(lake)
    assert lake.asked() == asked
    assert await lake.store.list("") == before


async def test_a_part_that_is_gone_is_found(lake):
    rows = decode_part((await lake.store.get(JANUARY))[0])[0].num_rows
    await lake.store.delete(JANUARY)
    assert await differences(lake) == (f"{JANUARY}: is gone, the manifests say that it holds {rows} rows",)


async def test_a_part_whose_bytes_are_damaged_is_found(lake):
    data = bytearray((await lake.store.get(JANUARY))[0])
    data[200] ^= 1
    await lake.store.put(JANUARY, bytes(data))
    (difference,) = await differences(lake)
    assert difference.startswith(f"{JANUARY}: is not whole")
    assert "restore it, or delete it and run with --full" in difference


async def test_a_part_that_was_cut_short_is_found(lake):
    await lake.store.put(JANUARY, (await lake.store.get(JANUARY))[0][:-20])
    (difference,) = await differences(lake)
    assert difference.startswith(f"{JANUARY}: is no whole Parquet file")


async def test_a_part_that_was_written_again_with_other_bytes_is_found(lake):
    await change_part(lake, lambda table, ledger: (table, ledger), compression="snappy")
    (difference,) = await differences(lake)
    assert difference.startswith(f"{JANUARY}: its bytes are not those that were published at 20")


async def test_a_part_of_another_month_is_found(lake):
    await lake.store.put(FEBRUARY, (await lake.store.get(JANUARY))[0])
    bytes_differ, *misplaced = await differences(lake)
    assert bytes_differ.startswith(f"{FEBRUARY}: its bytes are not those")
    assert misplaced == [
        f"{FEBRUARY}: studio-1 2025-01: belongs to another partition; move the part away and run again",
        f"{FEBRUARY}: studio-2 2025-01: belongs to another partition; move the part away and run again",
    ]


async def test_rows_that_are_missing_are_found(lake):
    await change_part(lake, lambda table, ledger: (table.slice(1), ledger))
    rows = decode_part((await lake.store.get(JANUARY))[0])[1].entries[0].rows
    assert f"{JANUARY}: studio-1 2025-01: {rows - 1} rows instead of {rows}" in await differences(lake)


async def test_a_task_whose_rows_are_all_missing_is_found(lake):
    await change_part(lake, lambda table, ledger: (table.slice(table.num_rows), ledger))
    found_now = await differences(lake)
    assert [" 0 rows instead of " in difference for difference in found_now] == [False, True, True]


async def test_rows_of_a_task_that_the_ledger_does_not_know_are_found(lake):
    await change_part(lake, lambda table, ledger: (table, Ledger(grain=ledger.grain, entries=ledger.entries[1:])))
    assert any(
        difference.startswith(f"{JANUARY}: studio-1 2025-01: ") and difference.endswith("its ledger does not know")
        for difference in await differences(lake)
    )


async def test_a_part_without_a_ledger_is_found(lake):
    table, _ = decode_part((await lake.store.get(JANUARY))[0])
    stranger = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), stranger)
    await lake.store.put(JANUARY, stranger.getvalue())
    (difference,) = await differences(lake)
    assert difference.startswith(f"{JANUARY}: was not written by this program")


async def test_a_task_whose_manifest_tells_of_other_rows_is_found(lake):
    def one_less(table, ledger):
        entry = ledger.entries[0]
        return table.slice(1), Ledger(
            grain=ledger.grain, entries=(replace(entry, rows=entry.rows - 1), *ledger.entries[1:])
        )

    await change_part(lake, one_less)
    _, difference = await differences(lake)
    assert difference.startswith(f"{JANUARY}: studio-1 2025-01: ")
    (manifest,) = [m async for m in lake.app().history(Choice(), 1)]
    assert f"the manifest of {manifest.run_id} says" in difference


@pytest.mark.parametrize("name", ["notes.txt", "part-00001.parquet", "deeper/part-00000.parquet"])
async def test_an_object_that_is_not_ours_is_found(lake, name):
    key = f"{DATASET}/month=2025-01/{name}"
    await lake.store.put(key, (await lake.store.get(JANUARY))[0])
    assert await differences(lake) == (f"{key}: is no object of this dataset; move it away",)


async def test_a_part_that_no_manifest_tells_of_is_found(lake):
    for info in await lake.store.list(f"{DATASET}/_manifests/"):
        await lake.store.delete(info.key)
    assert [d.partition(": ")[2] for d in await differences(lake)] == [
        "is in no manifest; run again to record it, with --full where the days are settled"
    ] * 3


async def test_a_manifest_that_cannot_be_read_is_named(lake):
    await lake.store.put(f"{DATASET}/_manifests/20990101T000000Z-00000000.json", b"{")
    with pytest.raises(DataError, match=r"_manifests/20990101T000000Z-00000000\.json: .*move it away"):
        await found(lake)


async def test_a_source_that_has_changed_is_told_by_studio(lake):
    studio = lake.world.studios[1]
    studio.remove(next(i.id for i in studio.infractions if (i.starts_at.year, i.starts_at.month) == (2025, 2)))
    verified = await found(lake, source=True)
    assert [(total.published, total.source) for total in verified.source] == [(450, 450), (450, 449)]
    (difference,) = verified.differences
    assert "studio-2 2025-01-01..2025-04-01: 450 are published, the API counts 449 now; run again" in difference


async def test_the_source_is_asked_once_for_each_unbroken_range(lake):
    await lake.run(Choice(start=date(2025, 4, 15), end=date(2025, 5, 1), studios=("studio-2",)))
    asked = lake.asked()
    verified = await found(lake, source=True)
    assert lake.asked() - asked == len(verified.source) == 3
    assert [(total.studio, str(total.days)) for total in verified.source] == [
        ("studio-1", "2025-01-01..2025-04-01"),
        ("studio-2", "2025-01-01..2025-04-01"),
        ("studio-2", "2025-04-15..2025-05-01"),
    ]
    assert verified.differences == ()


async def test_the_source_s_totals_are_of_the_filtered_rows():
    async with bench() as b:
        report = 'status = ["open"]\npivot = "week"\nmax_pivot_columns = 6'
        await b.run(report=report)
        verified = await found(b, source=True, report=report)
    assert verified.differences == ()
    assert 0 < sum(total.source for total in verified.source) < 900


async def test_the_source_s_totals_are_right_where_the_api_insists_on_other_columns():
    # More rows than fit on a page, so an order that is not total would lose and repeat some.
    options = SandboxOptions(rate=None, required_columns=("customer_id", "status"))
    async with bench(small_world(per_month=300), options) as b:
        await b.run()
        verified = await found(b, source=True)
    assert verified.differences == ()
    assert [total.source for total in verified.source] == [900, 900]


async def test_a_manifest_tells_what_its_objects_are(lake):
    data, _ = await lake.store.get(f"{DATASET}/_manifests/latest.json")
    record = parse_manifest(data).objects[0]
    part, _ = await lake.store.get(record.key)
    assert (record.key, record.bytes, record.rows) == (JANUARY, len(part), decode_part(part)[0].num_rows)

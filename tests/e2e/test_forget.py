"""A person is removed from the sink, stays out of it, and everything that is counted knows the difference."""

import json
from datetime import date

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.core.partition import pepper_key, receipts_prefix, suppressed_key
from exporter.errors import DataError, UsageError
from exporter.jobs.history import read_receipts
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.store.memory import MemoryStore
from tests.support.api_answers import http, json_page, tiny_server
from tests.support.command import Exporter
from tests.support.exports import (
    DATASET,
    app_for,
    bench,
    config_for,
    expected,
    groups,
    months,
    published,
    small_world,
    tokens_of,
)
from tests.support.forgotten import forget, holding, rest, somebody
from tests.support.s3_servers import moto_server
from tests.support.sources import columns_key
from tests.support.watched import WatchedStore

HASHED = 'hash = ["customer_id"]\nhash_key = "env:HASH_KEY"'
DROPPED = 'drop = ["customer_id"]'
FULL = Choice(full=True)


async def bytes_of(store):
    return {info.key: (await store.get(info.key))[0] for info in await store.list("")}


async def assert_agrees(running, **changes):
    """Manifests, ledgers, parts, receipts and the API's own totals tell the same."""
    for source in (False, True):
        (verified,) = await running.app(**changes).verify(Choice(), source=source)
        assert verified.differences == ()
        assert verified.withheld > 0


@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_a_person_goes_from_every_part_and_later_runs_leave_them_out(api):
    store = WatchedStore()
    async with bench(store=store) as running:
        await running.run(api=api)
        customer = somebody(running.world)
        assert await holding(store, customer)
        asked = running.asked()

        receipt = await forget(running, customer, api=api)
        assert running.asked() == asked
        assert receipt.rows_removed == len(expected(running.world, months())) - len(rest(running, customer))
        assert groups(await published(store)) == rest(running, customer)
        assert await holding(store, customer) == []
        await assert_agrees(running)

        since = len(store.puts)
        (manifest,) = await running.run(FULL, api=api)
        assert manifest.state is RunState.OK
        assert manifest.totals.withheld == receipt.rows_removed
        assert manifest.totals.rows + manifest.totals.withheld == len(expected(running.world, months()))
        assert groups(await published(store)) == rest(running, customer)
        # Not staged either, not for a moment; and what is as it was is not put again.
        assert not [key for key, _ in store.puts[since:] if key.endswith(".parquet")]
        assert await holding(store, customer) == []
        assert manifest.objects
        assert all(record.unchanged for record in manifest.objects)
        assert not any(task.changed for task in manifest.tasks)
        await assert_agrees(running)


async def test_nothing_that_is_stored_names_the_person_at_any_moment_of_later_runs():
    store = WatchedStore()
    async with bench(store=store) as running:
        customer = somebody(running.world)
        await forget(running, customer)
        await running.run()
        watched = WatchedStore()
        for number, (key, data) in enumerate(store.puts):
            await watched.put(f"{number}/{key}", data)
        assert await holding(watched, customer) == []
        assert groups(await published(store)) == rest(running, customer)


async def test_only_the_studio_s_customer_goes_where_a_studio_is_named():
    async with bench() as running:
        await running.run()
        ours, theirs = somebody(running.world, 0), somebody(running.world, 1)
        assert (await forget(running, ours, "studio-2")).rows_removed == 0
        assert groups(await published(running.store)) == expected(running.world, months())
        assert (await forget(running, theirs, "studio-2")).rows_removed > 0
        await running.run(FULL)
        assert groups(await published(running.store)) == rest(running, theirs)


async def test_a_studio_that_is_configured_no_more_is_searched_and_one_that_nobody_knows_is_refused():
    async with bench() as running:
        await running.run()
        customer = somebody(running.world, 1)
        app = running.app()
        app.studios = app.studios[:1]
        before = await bytes_of(running.store)
        with pytest.raises(UsageError, match="neither configured nor published"):
            await app.forget(customer, "studio-3", dry_run=False)
        assert await bytes_of(running.store) == before
        assert (await app.forget(customer, "studio-2", dry_run=False)).rows_removed > 0


async def test_a_dry_run_tells_what_would_go_and_changes_nothing():
    async with bench() as running:
        await running.run()
        customer = somebody(running.world)
        before = await bytes_of(running.store)
        tried = await running.app().forget(customer, None, dry_run=True)
        assert await bytes_of(running.store) == before
        done = await forget(running, customer)
        assert (tried.rows_removed, tried.subjects) == (done.rows_removed, ())
        assert [item.key for item in tried.replaced] == [item.key for item in done.replaced]


async def test_a_part_without_the_person_is_left_alone_and_forgetting_again_finds_nothing():
    async with bench() as running:
        await running.run()
        customer = somebody(running.world)
        before = await bytes_of(running.store)
        receipt = await forget(running, customer)
        after = await bytes_of(running.store)
        replaced = {item.key for item in receipt.replaced}
        assert replaced
        assert {key for key in before if before[key] != after[key]} == replaced
        again = await forget(running, customer)
        assert (again.rows_removed, again.replaced, again.subjects) == (0, (), receipt.subjects)
        assert {key for key, data in after.items() if (await running.store.get(key))[0] != data} == set()


async def test_the_receipt_tells_what_was_searched_and_what_became_of_it_and_names_nobody():
    async with bench() as running:
        await running.run()
        customer = somebody(running.world)
        before = await bytes_of(running.store)
        receipt = await forget(running, customer)
        assert await read_receipts(running.store) == (receipt,)
        (searched,) = receipt.searched
        assert (searched.place, searched.objects) == (DATASET, 3)
        assert searched.rows_removed == receipt.rows_removed == sum(item.rows_removed for item in receipt.replaced)
        for item in receipt.replaced:
            data, info = await running.store.get(item.key)
            assert (item.after.etag, item.after.bytes) == (info.etag, len(data))
            assert item.before.bytes == len(before[item.key])
        assert str(customer) not in receipt.to_json().decode()
        assert receipt.ended_at


async def test_a_part_whose_every_row_goes_keeps_its_ledger():
    async with bench() as running:
        report = 'attendance_status = ["no_show"]'
        customer = somebody(running.world)
        only = f"{report}\ncustomers = [{customer}]"
        await running.run(report=only)
        await forget(running, customer, report=only)
        assert (await published(running.store)).num_rows == 0
        asked = running.asked()
        (manifest,) = await running.run(report=only)
        assert (running.asked(), manifest.totals.settled) == (asked, 6)
        (manifest,) = await running.run(FULL, report=only)
        assert (manifest.state, manifest.totals.rows) == (RunState.OK, 0)
        await assert_agrees(running, report=only)


@pytest.mark.parametrize("pivot", ["all", "month"])
async def test_a_hashed_person_is_found_by_the_hash_and_left_out_under_any_later_key(pivot):
    report = f'pivot = "{pivot}"'
    async with bench() as running:
        await running.run(report=report, privacy=HASHED)
        rows = (await published(running.store)).num_rows
        customer = somebody(running.world)
        receipt = await forget(running, customer, report=report, privacy=HASHED)
        assert receipt.unsearched == ()
        assert receipt.rows_removed > 0
        assert await holding(running.store, customer) == []
        await assert_agrees(running, report=report, privacy=HASHED)
        # Another grain: the person comes with their plain id again, and is known by it.
        await running.run(Choice(rewrite=True), report=report)
        assert (await published(running.store)).num_rows == rows - receipt.rows_removed
        assert await holding(running.store, customer) == []
        await assert_agrees(running, report=report)


async def test_a_dataset_that_was_hashed_with_another_key_is_told_and_the_others_are_searched():
    async with bench() as running:
        other = 'dataset = "other"'
        await running.run(report=other)
        await running.run(privacy=HASHED)
        customer = somebody(running.world)
        app = running.app(report=other)
        receipt = await app.forget(customer, None, dry_run=False)
        (unsearched,) = receipt.unsearched
        assert unsearched.place == DATASET
        assert "hashed" in unsearched.reason
        assert receipt.rows_removed > 0
        assert all(key.startswith(f"{DATASET}/") for key in await holding(running.store, customer))


async def test_a_dataset_without_ids_is_told_and_its_next_rows_are_without_the_person_all_the_same():
    columns = columns_key(("customer_id", "status", "count"))
    async with bench() as running:
        (before,) = await running.run(report=columns, privacy=DROPPED)
        customer = somebody(running.world)
        receipt = await forget(running, customer, report=columns, privacy=DROPPED)
        assert [item.place for item in receipt.unsearched] == [DATASET]
        (after,) = await running.run(FULL, report=columns, privacy=DROPPED)
        wanted = expected(running.world, months(), ("customer_id", "status", "count"))
        kept = [(*row[:2], *row[3:]) for row in wanted if row[2] != customer]
        assert groups(await published(running.store), ("status", "count")) == sorted(kept, key=repr)
        assert after.totals.rows < before.totals.rows
        assert after.totals.rows + after.totals.withheld == before.totals.rows


async def test_groups_of_nobody_in_particular_need_no_search():
    columns = columns_key(("venue_id", "status", "count"))
    async with bench() as running:
        await running.run(report=columns)
        receipt = await forget(running, somebody(running.world), report=columns)
        assert (receipt.unsearched, receipt.rows_removed) == ((), 0)


async def test_what_moved_and_the_api_s_totals_know_the_difference():
    strict = 'reconcile = "fail"'
    async with bench() as running:
        await running.run()
        customer = somebody(running.world)
        await forget(running, customer)
        studio = running.world.studios[0]
        theirs = next(
            i for i in studio.infractions if i.customer.id == customer and i.starts_at.date() >= date(2025, 2, 1)
        )
        others = next(
            i for i in studio.infractions if i.customer.id != customer and i.starts_at.date() >= date(2025, 3, 5)
        )
        studio.remove(theirs.id)
        studio.remove(others.id)
        (manifest,) = await running.run(FULL, run=strict)
        assert manifest.state is RunState.OK
        assert all(record.agrees for record in manifest.reconciled)
        changed = [task.changed for task in manifest.tasks if task.changed]
        assert [change.measure_change for change in changed] == [-1]
        assert groups(await published(running.store)) == rest(running, customer)
        await assert_agrees(running)
        # Settled windows are counted with what is withheld of them, too.
        (manifest,) = await running.run(Choice(full=True, studios=("studio-1",), start=date(2025, 3, 1)), run=strict)
        assert manifest.state is RunState.OK


async def test_verify_still_finds_what_was_not_removed_by_forget():
    async with bench() as running:
        await running.run()
        before = await bytes_of(running.store)
        receipt = await forget(running, somebody(running.world))
        key = receipt.replaced[0].key
        await running.store.put(key, before[key])
        (verified,) = await running.app().verify(Choice(), source=False)
        assert any("bytes are not those" in difference for difference in verified.differences)


async def test_without_the_list_s_key_nothing_is_published_that_might_name_somebody():
    async with bench() as running:
        await forget(running, somebody(running.world))
        await running.store.delete(pepper_key())
        with pytest.raises(UsageError, match="restore it"):
            await running.run()
        with pytest.raises(DataError, match="restore it"):
            await forget(running, somebody(running.world))
        assert running.asked() == 0


async def test_the_command_tells_what_it_did_and_never_who(tmp_path):
    world = small_world()
    customer = somebody(world)
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        text = config_for(sandbox.base_url, world).replace('url = "./lake"', 'url = "./lake"\nreadable_by = "all"')
        (tmp_path / "exporter.toml").write_text(text)
        program = Exporter(tmp_path, tokens_of(world))
        assert (await program("run", "--json")).code == 0
        tried = await program("forget", "--customer", str(customer), "--dry-run")
        done = await program("forget", "--customer", str(customer), "--json")
        again = await program("forget", "--customer", str(customer))
        verified = await program("verify", "--source")
        rerun = await program("run", "--full")
        bad = [
            await program("forget", *words)
            for words in ((), ("--customer", "0"), ("--customer", "jane"), ("--customer", "7", "--studio", "nowhere"))
        ]
    assert [ended.code for ended in (tried, done, again, verified, rerun)] == [0] * 5, done.stderr
    assert "nothing was changed" in tried.stdout
    assert done.document["rows_removed"] > 0
    receipt = tmp_path / "lake" / done.document["receipt"]
    assert json.loads(receipt.read_text())["ended_at"]
    assert "0 rows removed" in again.stdout
    assert "withheld" in rerun.stdout
    assert [ended.code for ended in bad] == [2] * 4
    for ended in (tried, done, again, verified, rerun):
        assert str(customer) not in ended.stdout + ended.stderr
    secret = [path for path in (tmp_path / "lake" / "_erasure").rglob("*") if path.stat().st_mode & 0o077]
    assert secret == []
    assert (tmp_path / "lake" / DATASET).stat().st_mode & 0o044


@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_a_column_that_only_the_headers_tell_holds_ids_of_customers_is_searched_too(api):
    headers = [{"key": key, "label": label} for key, label in (("customer.id", "Customer"), ("count", "Count"))]
    headers.append({"key": "booked_by.id", "label": "Booked by", "holds_customer_id": True, "required": True})
    rows = [{"customer": {"id": n}, "count": n, "booked_by": {"id": 40 + n}} for n in range(1, 4)]
    csv = "Customer,Count,Booked by\n1,1,41\n2,2,42\n3,3,43\n"

    async def answer(writer):
        if "format=csv" in server.heads[-1]:
            writer.write(http(200, csv.encode(), "Content-Type: text/csv"))
        else:
            writer.write(json_page(total=3, rows=rows, column_headers=headers))
        await writer.drain()

    report = columns_key(("customer_id", "count"))
    world, store = small_world(1), MemoryStore()
    async with tiny_server(answer) as server:
        text = config_for(server.url, world, end=date(2025, 2, 1), report=report, api=api)
        app = app_for(text, tokens_of(world), store)
        await app.run(Choice(), lambda _: None)
        receipt = await app.forget(42, None, dry_run=False)
        assert receipt.rows_removed == 1
        assert (await published(store))["booked_by_id"].to_pylist() == ["41", "43"]
        (manifest,) = await app.run(FULL, lambda _: None)
    assert (manifest.totals.rows, manifest.totals.withheld) == (2, 1)
    assert (await published(store))["booked_by_id"].to_pylist() == ["41", "43"]


@pytest.mark.xdist_group("s3")
async def test_a_person_goes_from_a_bucket(tmp_path):
    world = small_world(per_month=60)
    customer = somebody(world)
    with moto_server(tmp_path) as bucket:
        async with serve(world, SandboxOptions(rate=None)) as sandbox:
            text = config_for(sandbox.base_url, world, sink=f"s3://{bucket.bucket}/lake")
            (tmp_path / "exporter.toml").write_text(f'{text}endpoint_url = "{bucket.endpoint_url}"\n')
            program = Exporter(tmp_path, bucket.environment | tokens_of(world))
            assert (await program("run")).code == 0
            done = await program("forget", "--customer", str(customer), "--json")
            assert (await program("run", "--full", "--json")).document["totals"]["withheld"]
            verified = await program("verify", "--source", "--json")
            again = await program("forget", "--customer", str(customer), "--json")
    assert (done.code, verified.code, again.code) == (0, 0, 0), done.stderr
    assert done.document["rows_removed"] > 0
    assert verified.document["datasets"][0]["withheld"] == done.document["rows_removed"]
    assert again.document["rows_removed"] == 0


async def test_the_list_and_its_key_are_made_by_the_first_forget_alone():
    async with bench() as running:
        await running.run()
        assert [info.key for info in await running.store.list("_erasure/")] == []
        await forget(running, somebody(running.world))
        keys = [info.key for info in await running.store.list("_erasure/")]
        assert keys[0] == pepper_key()
        assert keys[1].startswith(receipts_prefix())
        assert keys[2] == suppressed_key()

"""Columns that are dropped or hashed never reach the sink in clear, staging included."""

import hashlib
import hmac

import pytest

from exporter.app_choice import Choice
from exporter.core.manifest import RunState
from exporter.sandbox.faults import parse_faults
from exporter.sandbox.options import SandboxOptions
from tests.support.exports import DATASET, bench, expected, groups, months, published, small_world
from tests.support.sources import ALL_COLUMNS, columns_key
from tests.support.watched import WatchedStore, values_in

REPORT = columns_key(ALL_COLUMNS)
PRIVACY = """\
drop = ["customer_email", "customer.name"]
hash = ["customer_id", "membership_id"]
hash_key = "env:HASH_KEY"
"""
KEPT = tuple(name for name in ALL_COLUMNS if name not in {"customer_email", "customer_name"})


def hashed(value):
    """HMAC-SHA-256 under the key of the tests' environment."""
    return value if value is None else hmac.new(b"made-up-hash-key", str(value).encode(), hashlib.sha256).hexdigest()


def hidden_values(world):
    """What must occur nowhere: names, addresses and ids of people."""
    customers = [i.customer for studio in world.studios for i in studio.infractions]
    return {text for c in customers for text in (c.name, c.email, str(c.id))}


@pytest.mark.parametrize("api", ['format = "json"', 'format = "csv"'])
async def test_hidden_values_occur_nowhere_in_the_store_at_any_moment(api):
    store = WatchedStore()
    # Failures and changing reports make the run write, read and delete more of what it stages.
    options = SandboxOptions(rate=None, faults=parse_faults("500:0.1,drift:0.05", seed=5))
    async with bench(options=options, store=store) as b:
        await b.run(report=REPORT, privacy=PRIVACY, api=api)
        hidden = hidden_values(b.world)
    assert {key.rpartition(".")[2] for key, _ in store.puts} == {"json", "arrow", "parquet", f"{DATASET}/_SUCCESS"}
    for key, data in store.puts:
        assert not values_in(key, data) & hidden


async def test_hidden_values_would_be_found_if_they_were_there():
    store = WatchedStore()
    async with bench(store=store) as b:
        await b.run(report=REPORT)
        hidden = hidden_values(b.world)
    with_hidden = {key.rpartition(".")[2] for key, data in store.puts if values_in(key, data) & hidden}
    assert with_hidden == {"arrow", "parquet"}


async def test_dropped_columns_are_gone_and_hashed_ones_are_keyed_hashes():
    async with bench() as b:
        await b.run(report=REPORT, privacy=PRIVACY)
        table = await published(b.store)
    assert not {"customer_email", "customer_name"} & set(table.column_names)
    wanted = []
    for studio, start, *values in expected(b.world, months(), ALL_COLUMNS):
        row = dict(zip(ALL_COLUMNS, values, strict=True))
        row |= {name: hashed(row[name]) for name in ("customer_id", "membership_id")}
        wanted.append((studio, start, *(row[name] for name in KEPT)))
    assert groups(table, KEPT) == sorted(wanted, key=repr)
    assert table["membership_id"].null_count == table["membership_name"].null_count > 0


async def test_hashes_are_the_same_in_every_run():
    async with bench() as b:
        await b.run(report=REPORT, privacy=PRIVACY)
        first = groups(await published(b.store), KEPT)
        (manifest,) = await b.run(Choice(full=True), report=REPORT, privacy=PRIVACY)
        assert manifest.totals.published == 6
        assert groups(await published(b.store), KEPT) == first


async def test_rows_that_become_alike_when_their_key_is_dropped_all_stay():
    columns = ("customer_id", "status", "count")
    async with bench() as b:
        (manifest,) = await b.run(report=columns_key(columns), privacy='drop = ["customer_id"]')
        rows = groups(await published(b.store), ("status", "count"))
    assert manifest.state is RunState.OK
    assert rows == sorted(((a, b, *rest) for a, b, _, *rest in expected(b.world, months(), columns)), key=repr)
    assert len(rows) > len(set(rows))


async def test_a_required_column_is_hidden_as_if_it_had_been_asked_for():
    store = WatchedStore()
    columns = ("customer_id", "status", "count")
    options = SandboxOptions(rate=None, required_columns=("customer_email", "customer_name"))
    privacy = 'drop = ["customer_email"]\nhash = ["customer_id", "customer_name"]\nhash_key = "env:HASH_KEY"\n'
    async with bench(options=options, store=store) as b:
        await b.run(report=columns_key(columns), privacy=privacy)
        hidden = hidden_values(b.world)
        table = await published(b.store)
    assert table.num_rows == len(expected(b.world, months(), columns))
    assert table.column_names[3:-2] == [*columns, "customer_name"]
    assert not any(values_in(key, data) & hidden for key, data in store.puts)


async def test_a_required_column_that_tells_rows_apart_may_be_dropped():
    columns = ("status", "count")
    options = SandboxOptions(rate=None, required_columns=("customer_email",))
    async with bench(small_world(per_month=60), options=options) as b:
        (manifest,) = await b.run(report=columns_key(columns), privacy='drop = ["customer_email"]')
        rows = groups(await published(b.store), columns)
    assert manifest.state is RunState.OK
    wanted = expected(b.world, months(), ("customer_email", *columns))
    assert rows == sorted(((studio, start, *rest) for studio, start, _, *rest in wanted), key=repr)


@pytest.mark.parametrize("report", [REPORT, columns_key(["customer_id", "count"])])
async def test_the_source_s_totals_still_agree(report):
    async with bench() as b:
        await b.run(report=report, privacy=PRIVACY)
        (verified,) = await b.app(report=report, privacy=PRIVACY).verify(Choice(), source=True)
    assert verified.differences == ()
    assert [total.published for total in verified.source] == [total.source for total in verified.source] == [450, 450]

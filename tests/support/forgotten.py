"""A made-up person, and where a sink holds them."""

import hashlib
import hmac
from collections import Counter

from exporter.core.receipt import Receipt
from exporter.sandbox.studios import World
from exporter.store.base import ObjectStore
from tests.support.exports import DEFAULT_COLUMNS, END, START, Bench, expected, months
from tests.support.watched import values_in

Rows = list[tuple[object, ...]]

#: Where `groups` has the id of a row's customer.
_ID = 2 + DEFAULT_COLUMNS.index("customer_id")


def somebody(world: World, studio: int = 0) -> int:
    """The id of the customer of the most groups in the months that tests export."""
    infractions = (i for i in world.studios[studio].infractions if START <= i.starts_at.date() < END)
    return Counter(i.customer.id for i in infractions).most_common(1)[0][0]


def hashed(customer: int) -> str:
    """The keyed hash of an id, under the key of the tests' environment."""
    return hmac.new(b"made-up-hash-key", str(customer).encode(), hashlib.sha256).hexdigest()


def without(rows: Rows, *customers: int) -> Rows:
    """*rows*, as `groups` shows them, of everybody else."""
    return [row for row in rows if row[_ID] not in customers]


def rest(bench: Bench, *customers: int) -> Rows:
    """What the source holds of everybody else."""
    rows = expected(bench.world, months())
    others = without(rows, *customers)
    assert len(others) < len(rows)
    return others


async def holding(store: ObjectStore, customer: int) -> list[str]:
    """Keys of the objects that hold the id, or its hash."""
    found = []
    for info in await store.list(""):
        data, _ = await store.get(info.key)
        if {str(customer), hashed(customer)} & values_in(info.key, data):
            found.append(info.key)
    return found


async def forget(
    bench: Bench, customer: int, studio: str | None = None, *, store: ObjectStore | None = None, **changes: object
) -> Receipt:
    """Have *customer* forgotten."""
    return await bench.app(store, **changes).forget(customer, studio, dry_run=False)

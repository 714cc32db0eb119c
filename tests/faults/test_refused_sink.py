"""Buckets that are not what a run needs: somebody else's, without rights on one prefix, or without conditions on puts.

Each is told with the mend, and what is published stays whole.
"""

import pytest
from botocore.exceptions import ClientError

from exporter.errors import ConfigError, StoreError
from exporter.store.base import Absent
from exporter.store.memory import MemoryStore
from exporter.store.s3_errors import Verb, explain
from tests.support.careless_store import IgnoresConditions, IgnoresEtags
from tests.support.exports import DATASET, bench, expected, groups, months, published
from tests.support.lives import assert_sound

MEND = (
    "allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload"
    " below the prefix"
)


class Refusing(MemoryStore):
    """A bucket whose policy denies *verb* below *prefix*, until it is mended."""

    def __init__(self, verb, prefix):
        super().__init__(url="s3://made-up/lake")
        self.denied = (verb, prefix)
        self.refused = 0

    def mend(self):
        self.denied = None

    def _check(self, verb, key):
        if self.denied and verb is self.denied[0] and key.startswith(self.denied[1]):
            self.refused += 1
            answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise explain(ClientError(answer, "Made up"), where=f"{self.url}/{key}", verb=verb)

    async def get(self, key):
        self._check(Verb.READ, key)
        return await super().get(key)

    async def put(self, key, data, *, condition=None):
        self._check(Verb.WRITE, key)
        return await super().put(key, data, condition=condition)

    async def list(self, prefix):
        self._check(Verb.LIST, prefix)
        return await super().list(prefix)


@pytest.mark.parametrize(
    ("verb", "prefix"),
    [
        (Verb.WRITE, ""),
        (Verb.READ, ""),
        (Verb.LIST, ""),
        (Verb.WRITE, "_staging/"),
        (Verb.LIST, "_staging/"),
        (Verb.READ, "_erasure/"),
        (Verb.READ, "_leases/"),
        (Verb.LIST, DATASET),
        (Verb.READ, f"{DATASET}/_manifests/"),
    ],
)
async def test_a_right_that_is_missing_from_the_start_is_told_before_anything_is_asked(verb, prefix):
    store = Refusing(verb, prefix)
    async with bench(store=store) as b:
        with pytest.raises(ConfigError, match=MEND):
            await b.run()
        assert b.asked() == 0
        store.mend()
        # Who may not list cannot clear up: the record of the run itself is left to the next one.
        assert [info.key for info in await store.list("") if not info.key.endswith("/run.json")] == []
        await b.run()
        assert groups(await published(store)) == expected(b.world, months())


@pytest.mark.parametrize("prefix", ["_leases/", f"{DATASET}/month=", f"{DATASET}/_manifests/", f"{DATASET}/_SUCCESS"])
async def test_a_prefix_that_may_not_be_written_stops_the_run_and_once_it_may_nothing_is_asked_twice(prefix):
    store = Refusing(Verb.WRITE, prefix)
    async with bench(store=store) as b:
        with pytest.raises(StoreError, match=MEND) as caught:
            await b.run()
        assert f"s3://made-up/lake/{prefix}" in str(caught.value)
        assert store.refused
        rows = groups(await published(store))
        assert rows in ([], expected(b.world, months())), "what is published is whole"
        store.mend()
        await b.run()
        await assert_sound(b, store, expected(b.world, months()))
        paths = [(served.provider_id, served.params) for served in b.sandbox.requests if served.status == 200]
        assert len(paths) == len(set(paths))


@pytest.mark.parametrize("store", [IgnoresConditions(), IgnoresEtags()], ids=lambda store: type(store).__name__)
async def test_a_store_that_ignores_conditions_is_refused_before_anything_is_asked_or_kept(store):
    async with bench(store=store) as b:
        for _ in range(2):
            with pytest.raises(ConfigError, match="use a store that honours If-Match and If-None-Match"):
                await b.run()
        assert b.asked() == 0
        assert await store.list("") == []


class CountsLooks(MemoryStore):
    """Counts puts of a run's record that must not succeed."""

    looks = 0

    async def put(self, key, data, *, condition=None):
        self.looks += key.endswith("run.json") and isinstance(condition, Absent)
        return await super().put(key, data, condition=condition)


async def test_a_sink_is_looked_at_once():
    store = CountsLooks()
    async with bench(store=store) as b:
        await b.run()
        await b.run()
    assert store.looks == 1

"""`doctor` says of sink, clock and credentials what is wrong with each, and leaves nothing behind."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from exporter.app import utc_now
from exporter.core.answer import Page, PageRequest
from exporter.errors import RejectedError, StoreError
from exporter.jobs.doctor import examine
from exporter.sandbox.options import SandboxOptions
from exporter.store.memory import MemoryStore
from tests.support.careless_store import IgnoresConditions, IgnoresEtags
from tests.support.exports import bench, small_world
from tests.support.parts import STRIKES
from tests.support.tasks import make_studio


class KeepsTheFirst(MemoryStore):
    """Takes a replacement and does not carry it out."""

    async def get(self, key):
        data, info = await super().get(key)
        return data.replace(b"second", b"first"), info


class LosesObjects(MemoryStore):
    async def put(self, key, data, *, condition=None):
        info = await super().put(key, data, condition=condition)
        await self.delete(key)
        return info


class RefusesPuts(MemoryStore):
    async def put(self, key, data, *, condition=None):
        raise StoreError(f"{key}: cannot write: AccessDenied (403)")


class RefusesDeletes(MemoryStore):
    async def delete(self, key):
        raise StoreError(f"{key}: cannot delete: AccessDenied (403)")


class LivesInThePast(MemoryStore):
    async def list(self, prefix):
        return [
            replace(info, modified_at=info.modified_at - timedelta(minutes=6)) for info in await super().list(prefix)
        ]


async def examined(store=None, world=None, options=None, revoked=(), **changes):
    """Name and detail of each check, by whether it is as it should be."""
    async with bench(world, options, store) as b:
        for token in revoked:
            b.sandbox.revoke(token)
        checks = await b.app(**changes).doctor()
        requests = b.asked()
    found = {True: {}, False: {}}
    for check in checks:
        found[check.ok][check.name] = check.detail
    return found[True], found[False], requests


async def test_all_is_well_and_costs_one_request_for_each_credential():
    store = MemoryStore()
    good, bad, requests = await examined(store)
    assert bad == {}
    assert set(good) == {
        "sink: put",
        "sink: conditional put",
        "sink: get",
        "clock",
        "sink: delete",
        "credential of studio-1",
        "credential of studio-2",
    }
    assert requests == 2
    assert await store.list("") == []


async def test_studios_that_share_a_credential_cost_one_request_together():
    good, _, requests = await examined(world=small_world(5, credentials=2))
    assert {"credential of studio-1 and 2 more", "credential of studio-2 and 1 more"} <= set(good)
    assert requests == 2


@pytest.mark.parametrize("store", [IgnoresConditions(), IgnoresEtags()], ids=lambda store: type(store).__name__)
async def test_a_store_that_ignores_conditions_is_refused_with_the_reason(store):
    _, bad, _ = await examined(store)
    assert "two runs could lose each other's rows" in bad["sink: conditional put"]
    assert "use a store that honours If-Match and If-None-Match" in bad["sink: conditional put"]
    assert await store.list("") == []


async def test_a_store_that_gives_back_other_bytes_is_refused():
    _, bad, _ = await examined(KeepsTheFirst())
    assert bad == {"sink: get": "memory:: does not give back what was put; use another store"}


async def test_a_store_that_loses_objects_is_refused():
    good, bad, _ = await examined(LosesObjects())
    assert set(bad) == {"sink: conditional put", "sink: get", "clock"}
    assert "does not list what was put" in bad["clock"]
    assert {"sink: put", "sink: delete"} <= set(good)


async def test_a_sink_that_takes_nothing_is_told_once_and_the_credentials_are_tried_all_the_same():
    good, bad, requests = await examined(RefusesPuts())
    assert list(bad) == ["sink: put"]
    assert "AccessDenied" in bad["sink: put"]
    assert requests == len(good) == 2


async def test_a_sink_from_which_nothing_can_be_deleted_is_told():
    _, bad, _ = await examined(RefusesDeletes())
    assert list(bad) == ["sink: delete"]


async def test_a_clock_that_differs_from_the_sink_s_is_told():
    _, bad, _ = await examined(LivesInThePast())
    assert list(bad) == ["clock"]
    assert "differ by 0:0" in bad["clock"]
    assert bad["clock"].endswith("set this one by NTP")


async def test_a_refused_credential_is_named_and_the_others_are_accepted():
    world = small_world(3)
    good, bad, requests = await examined(world=world, revoked=world.tokens[1:2])
    assert list(bad) == ["credential of studio-2"]
    assert "401" in bad["credential of studio-2"]
    assert world.tokens[1] not in bad["credential of studio-2"]
    assert {"credential of studio-1", "credential of studio-3"} <= set(good)
    assert requests == 3


async def test_a_wrong_scheme_is_told_with_the_setting_to_change():
    _, bad, _ = await examined(options=SandboxOptions(rate=None, schemes=frozenset({"jwt"})))
    assert "auth_scheme" in bad["credential of studio-1"]


async def test_a_wrong_list_style_is_told_with_the_setting_to_change():
    _, bad, _ = await examined(api='list_style = "repeat"')
    assert "list_style" in bad["credential of studio-1"]


async def test_credentials_are_tried_side_by_side():
    """A thousand of them one after the other would take as many times the API's latency."""
    studios = [make_studio(f"studio-{n}", credential=f"credential-{n}") for n in range(20)]
    together = asyncio.Barrier(len(studios))

    class Waits:
        async def fetch(self, request: PageRequest) -> Page:
            await together.wait()
            raise RejectedError(f"{request.studio.id}: no")

    async with asyncio.timeout(10):
        checks = await examine(MemoryStore(), Waits(), [STRIKES], studios, now=utc_now, probe_id="probe")
    assert [check.detail for check in checks if not check.ok] == [f"studio-{n}: no" for n in range(20)]

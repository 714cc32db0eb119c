from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from exporter.core.partition import STAGING, owner_key, segment_key
from exporter.core.staged import SegmentRecord, StagedFetch, StagedPage
from exporter.jobs.resume import Owner, pick, take_over
from exporter.store.memory import MemoryStore
from exporter.tables.segment import encode_segment
from tests.support.tasks import LATER, make_dataset, make_scope, make_studio, make_task, month

ME = Owner(run_id="new", began_at=LATER, seen_at=LATER, full=False, host="here", process="2")
DYING = replace(ME, run_id="old", process="1")


def segment() -> bytes:
    dataset = make_dataset()
    record = SegmentRecord(
        dataset=dataset.name,
        grain=dataset.grain.id,
        run_id=DYING.run_id,
        began_at=LATER,
        full=False,
        pages=(),
        seals=(),
    )
    return encode_segment(record, pa.table({"customer_id": pa.array([], pa.int64())}))


class LastBreathStore(MemoryStore):
    """Another run writes one more segment, and dies, just after the staging area was listed."""

    breath = True

    async def list(self, prefix):
        found = await super().list(prefix)
        if self.breath:
            self.breath = False
            await self.put(segment_key(DYING.run_id, 1), segment())
        return found


async def test_what_a_run_stages_until_it_is_taken_over_is_taken_over_too():
    store = LastBreathStore()
    await store.put(owner_key(DYING.run_id), DYING.to_json())
    await store.put(segment_key(DYING.run_id, 0), segment())

    leftovers = await take_over(store, make_scope(month("2025-01")), ME, is_running=lambda _owner: False)

    assert sorted(leftovers.segments) == [segment_key(DYING.run_id, 0), segment_key(DYING.run_id, 1)]


async def test_what_doctor_tries_the_sink_with_is_not_taken_for_a_run():
    store = MemoryStore()
    await store.put(f"{STAGING}/doctor-0000abcd", b"probe")
    leftovers = await take_over(store, make_scope(month("2025-01")), ME, is_running=lambda _owner: False)
    assert leftovers.owners == ()
    assert [info.key for info in await store.list("")] == [f"{STAGING}/doctor-0000abcd"]


@pytest.mark.parametrize(("studios", "is_taken"), [((), True), (("cove", "harbour-yoga"), True), (("cove",), False)])
async def test_what_a_dead_run_over_other_studios_staged_is_left_to_its_own_shard(studios, is_taken):
    store = MemoryStore()
    await store.put(owner_key(DYING.run_id), replace(DYING, studios=studios).to_json())
    leftovers = await take_over(store, make_scope(month("2025-01")), ME, is_running=lambda _owner: False)
    assert [owner.run_id for owner in leftovers.owners] == (["old"] if is_taken else [])


async def test_what_a_run_over_other_studios_left_is_taken_by_anyone_after_a_week():
    store = MemoryStore()
    await store.put(owner_key(DYING.run_id), replace(DYING, studios=("cove",)).to_json())
    later = make_scope(month("2025-01"), began_at=LATER + timedelta(days=8))
    leftovers = await take_over(store, later, ME, is_running=lambda _owner: False)
    assert [owner.run_id for owner in leftovers.owners] == ["old"]


def test_a_fetch_is_gone_on_with_for_a_while_after_its_last_page_however_long_it_takes():
    fetch = staged(250, 250)
    key, last = fetch.pages[100]
    fetch.pages[100] = (key, last._replace(received_at=LATER + timedelta(hours=2)))
    task = make_task(make_studio(), month("2025-01"))

    def is_used(after):
        return pick([fetch], task, make_scope(month("2025-01"), began_at=LATER + after)) is fetch

    assert is_used(timedelta(hours=2, minutes=14))
    assert not is_used(timedelta(hours=2, minutes=16))
    fetch.pages[100] = (key, last._replace(received_at=LATER + timedelta(hours=13)))
    assert not is_used(timedelta(hours=13, minutes=1)), "what began half a day ago begins anew"


def staged(*totals: int | None) -> StagedFetch:
    """A fetch of January whose first pages told these totals, half a minute ago."""
    task = make_task(make_studio(), month("2025-01"))
    fetch = StagedFetch(studio=task.studio.id, window=task.window, fetch_id="old.1", began_at=LATER)
    for number, total in enumerate(totals):
        page = StagedPage(
            studio=task.studio.id,
            window=task.window,
            fetch_id="old.1",
            offset=100 * number,
            api_rows=100,
            rows=100,
            total=total,
            received_at=LATER,
        )
        fetch.pages[page.offset] = (segment_key("old", number), page)
    return fetch


@pytest.mark.parametrize(("zone", "is_used"), [("", True), ("Europe/London", True), ("Australia/Sydney", False)])
def test_what_was_staged_for_the_hours_of_another_zone_is_not_used(zone, is_used):
    task = make_task(make_studio(timezone="Europe/London"), month("2025-01"))
    fetch = staged(250)
    fetch.zone = zone
    used = pick([fetch], task, make_scope(month("2025-01")))
    assert used is (fetch if is_used else None)


@pytest.mark.parametrize(
    ("fetch", "is_used"),
    [(staged(250), True), (staged(None, 250), True), (staged(None), False), (staged(), False)],
    ids=["JSON", "CSV with its JSON page", "CSV alone", "no page is left"],
)
def test_pages_of_an_unfinished_fetch_are_used_only_where_one_of_them_told_the_total(fetch, is_used):
    task = make_task(make_studio(), month("2025-01"))
    used = pick([fetch], task, make_scope(month("2025-01")))
    assert used is (fetch if is_used else None)

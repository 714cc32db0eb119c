from dataclasses import replace

import pyarrow as pa

from exporter.core.partition import owner_key, segment_key
from exporter.core.staged import SegmentRecord
from exporter.jobs.resume import Owner, take_over
from exporter.store.memory import MemoryStore
from exporter.tables.segment import encode_segment
from tests.support.tasks import LATER, make_dataset, make_scope, month

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

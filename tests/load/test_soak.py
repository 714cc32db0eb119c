"""The soak itself: a cycle with the real program comes to a good end, and a lost row does not go unseen."""

import pytest

from exporter.core.partition import parse_partition
from tests.load.soak import DifferenceError, Kind, open_lane


async def test_a_cycle_ends_well_and_a_part_that_is_lost_ends_the_soak(tmp_path):
    async with open_lane("folder", tmp_path, seed=4, faults="reset:0.05,500:0.05") as lane:
        kind = await lane.cycle()
        assert isinstance(kind, Kind)
        tally = lane.tally
        assert (tally.kinds.total(), tally.differences) == (1, 0)
        assert tally.runs >= 1
        assert tally.rows > 0
        assert tally.faults > 0

        part = next(info.key for info in await lane.sink.store.list("") if parse_partition(info.key))
        await lane.sink.store.delete(part)
        with pytest.raises(DifferenceError, match="rows differ; both sides are in"):
            await lane.judge()
        sides = [(tmp_path / name).read_text().splitlines() for name in ("published.jsonl", "source.jsonl")]
        assert len(sides[0]) < len(sides[1])

"""A part that is too large for one put is replaced like any other, whatever happens to its pieces. On SeaweedFS."""

import os

import pyarrow as pa
import pytest

from exporter.core.partition import partition_of
from exporter.jobs.replace import Replacer
from exporter.store.base import Absent
from exporter.store.s3 import S3Store
from exporter.tables.parquet import encode_part
from tests.support.parts import EXPORTED_AT, RUN_ID, STRIKES, january, ledger, task
from tests.support.s3_servers import Fault, faulty_proxy, seaweedfs_server

pytestmark = pytest.mark.xdist_group("s3")

ROWS, PIECE = 700_000, 5 * 2**20
TASK = task("harbour-yoga", january(1, 31))
PARTITION = partition_of(STRIKES.name, TASK[1])


def large_part():
    """More than a piece, since its ids cannot be compressed."""
    columns = {
        "studio_id": pa.repeat(pa.scalar(TASK[0]), ROWS),
        "window_start": pa.repeat(pa.scalar(TASK[1].start), ROWS),
        "window_end": pa.repeat(pa.scalar(TASK[1].end), ROWS),
        "customer_id": pa.Array.from_buffers(pa.int64(), ROWS, [None, pa.py_buffer(os.urandom(8 * ROWS))]),
        "count": pa.repeat(pa.scalar(1), ROWS),
        "run_id": pa.repeat(pa.scalar(RUN_ID), ROWS),
        "exported_at": pa.repeat(pa.scalar(EXPORTED_AT, pa.timestamp("us", tz="UTC")), ROWS),
    }
    return encode_part(pa.table(columns), ledger(TASK), "zstd")


async def no_wait(_seconds):
    pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="module")
def data():
    return large_part()


@pytest.fixture
async def through_proxy(server, tmp_path):
    """The proxy, and a store of its own prefix behind it that knows that the server keeps to conditions."""
    with faulty_proxy(server) as proxy, server.client(proxy.endpoint_url) as client:
        store = S3Store(server.bucket, tmp_path.name, client=client, piece_bytes=PIECE, sleep=no_wait)
        await store.put("another", bytes(PIECE + 1), condition=Absent())
        yield proxy, store
        await store.close()


async def replaced(store, data):
    """Put *data* in place of what is there; how often it was made, when it is there."""
    seen = []

    async def make(old):
        seen.append(old)
        return data

    etag = await Replacer(store=store, sleep=no_wait, random=lambda: 0.5).replace(PARTITION, make)
    found, info = await store.get(PARTITION.key)
    assert (found, info.etag) == (data, etag)
    return len(seen)


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.INTERNAL_ERROR])
@pytest.mark.parametrize("exchange", [1, 3], ids=["begin", "second piece"])
async def test_what_is_lost_before_the_completion_is_sent_again(through_proxy, data, exchange, fault):
    proxy, store = through_proxy
    proxy.faults.extend([None] * exchange + [fault])
    assert await replaced(store, data) == 1


@pytest.mark.parametrize(
    ("fault", "made"),
    [(Fault.LOSE_ANSWER, 1), (Fault.INTERNAL_ERROR, 1), (Fault.LOSE_REQUEST, 2), (Fault.CONFLICT, 2)],
)
async def test_a_completion_whose_answer_is_lost_is_looked_at_and_made_again_only_where_it_did_not_land(
    through_proxy, data, fault, made
):
    proxy, store = through_proxy
    proxy.faults.extend([None] * 4 + [fault])
    assert await replaced(store, data) == made

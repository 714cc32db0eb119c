"""What fixed jobs cost in counts that no machine changes: requests, calls of the sink, allocations.

The bounds are what they cost when they were last looked at, with a little room. A change that needs more is either a
mistake, or says why it does.
"""

import gc
import tracemalloc

import pyarrow as pa
import pytest

from bench.server import KEYS, values
from exporter.core.answer import Format
from exporter.core.manifest import RunState
from exporter.core.partition import ERASURE, LEASES, STAGING
from exporter.sandbox.options import SandboxOptions
from exporter.tables.decode import decode_pages
from tests.support.counting_store import CountingStore
from tests.support.exports import DATASET, bench, small_world
from tests.support.pages import csv_page, csv_text, dataset_of, json_page, nested

#: Pages of the job below: two studios, three months, of some 150 groups a month in pages of twenty.
LEAST_REQUESTS = 46

COLUMNS = (
    "customer_id", "customer_name", "customer_email", "status", "attendance_status", "rule_applies_to",
    "offering_type_id", "offering_type_name", "venue_id", "venue_name", "membership_id", "membership_name",
    "day_of_week", "event_start_time", "count",
)  # fmt: skip
PAGES, PAGE_ROWS = 20, 100


@pytest.mark.parametrize(("kind", "more"), [("json", 0), ("csv", 6)])
async def test_a_fixed_job_costs_the_least_requests_and_few_calls_of_the_sink(kind, more):
    store = CountingStore()
    async with bench(small_world(), SandboxOptions(rate=None), store) as b:
        (manifest,) = await b.run(api=f'page_size = 20\nformat = "{kind}"')
        asked = b.asked()
        assert LEAST_REQUESTS <= asked <= LEAST_REQUESTS + more
        assert manifest.state is RunState.OK
    # Each of two leases is looked for, taken, and given back; a third object holds the salt of their names, and is
    # looked for before: without it, two puts of the run's own record show that the sink honours conditions.
    assert store.calls.pop(LEASES) <= 15
    # Segments are written, read for each of their partitions, and deleted; who is left out is looked at for each.
    assert store.calls.pop(STAGING) <= 50
    assert store.calls.pop(ERASURE) <= 32
    # Each of three parts is read and put; so is the manifest, and what the last ones say is read. In the end the parts
    # are listed, and their ledgers and what was confirmed read, for the marker, which is looked for and put.
    assert store.calls.pop(DATASET) <= 30
    assert store.calls.total() <= 2


def pages_of(kind, dataset):
    """The same rows in every run: pages of customers in order."""
    for number in range(1, PAGES + 1):
        rows = [values(row) for row in range((number - 1) * PAGE_ROWS, number * PAGE_ROWS)]
        if kind is Format.JSON:
            yield json_page(dataset, [nested(row) for row in rows], number=number)
        else:
            yield csv_page(dataset, csv_text(KEYS, rows), number=number)


@pytest.mark.parametrize("kind", Format)
def test_reading_pages_makes_no_python_object_for_each_value(kind):
    """Of 30,000 values in 2,000 rows; what Arrow itself holds is counted apart."""
    dataset = dataset_of(*COLUMNS)
    pages = list(pages_of(kind, dataset))
    decode_pages(pages, dataset)  # what is remembered from page to page is there now
    gc.collect()
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        table = decode_pages(pages, dataset).table
        kept = sum(trace.count for trace in tracemalloc.take_snapshot().statistics("filename"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table.num_rows == PAGES * PAGE_ROWS
    assert kept <= 1_000
    # JSON is put together and read in one call, so it is there more than once meanwhile.
    assert peak <= 3.5 * sum(len(page.body) for page in pages)
    assert pa.total_allocated_bytes() - arrow <= 1.2 * table.nbytes

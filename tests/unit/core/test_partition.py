"""Where things lie: data where every reader looks, all else where none does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.partition import (
    Partition,
    intent_key,
    latest_key,
    manifest_key,
    manifests_prefix,
    owner_key,
    parse_partition,
    partition_of,
    partitions_prefix,
    segment_key,
    staging_prefix,
)
from exporter.core.report import DatasetName
from tests.support.tasks import windows

STRIKES = DatasetName("strikes")
RUN = "20250301T120000Z-abcdef"

datasets = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).map(DatasetName)


@given(datasets, windows())
def test_a_window_lies_in_the_month_that_it_begins_in(dataset, window):
    partition = partition_of(dataset, window)
    assert partition.key == f"{dataset}/month={window.start.isoformat()[:7]}/part-00000.parquet"
    assert partition.key.startswith(partitions_prefix(dataset))
    assert parse_partition(partition.key) == partition


def test_a_partition_is_written_as_its_folder():
    assert str(Partition(STRIKES, "2025-01")) == "strikes/month=2025-01"


@pytest.mark.parametrize(
    "key",
    [
        "strikes/month=2025-01/part-00001.parquet",
        "strikes/month=2025-01/sub/part-00000.parquet",
        "strikes/month=2025-01/",
        "strikes/month=2025-01",
        "strikes/month=/part-00000.parquet",
        "/month=2025-01/part-00000.parquet",
        "strikes/part-00000.parquet",
        manifest_key(STRIKES, RUN),
        latest_key(STRIKES),
        owner_key(RUN),
        segment_key(RUN, 7),
        intent_key(RUN, Partition(STRIKES, "2025-01")),
        "",
    ],
)
def test_no_other_key_is_a_partitions(key):
    assert parse_partition(key) is None


def test_manifests_lie_beside_the_data_under_a_name_that_readers_skip():
    assert manifest_key(STRIKES, RUN) == f"strikes/_manifests/{RUN}.json"
    assert latest_key(STRIKES) == "strikes/_manifests/latest.json"
    assert manifest_key(STRIKES, RUN).startswith(manifests_prefix(STRIKES))


def test_all_that_a_run_stages_lies_under_a_name_that_readers_skip():
    keys = [owner_key(RUN), segment_key(RUN, 7), intent_key(RUN, Partition(STRIKES, "2025-01"))]
    assert keys == [
        f"_staging/{RUN}/run.json",
        f"_staging/{RUN}/00000007.arrow",
        f"_staging/{RUN}/put-strikes-2025-01.json",
    ]
    assert all(key.startswith(staging_prefix(RUN)) for key in keys)


@given(st.lists(st.integers(0, 10**8 - 1), min_size=2, max_size=5))
def test_segments_sort_as_they_were_numbered(numbers):
    assert sorted(segment_key(RUN, n) for n in numbers) == [segment_key(RUN, n) for n in sorted(numbers)]

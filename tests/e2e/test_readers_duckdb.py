"""DuckDB reads a lake by its path, and sees whole months at every moment."""

from datetime import date

import duckdb
import pytest

from exporter.app_choice import Choice
from exporter.store.local import LocalStore
from exporter.tables.ddl import Dialect, ddl
from tests.support.exports import DATASET, bench, months
from tests.support.s3_lake import strikes_by_month

COUNTS = "SELECT studio_id, month, count(*), sum(count)::BIGINT FROM {} GROUP BY ALL ORDER BY ALL"


def by_path(folder):
    return (
        f"read_parquet('{folder}/{DATASET}/month=*/part-*.parquet',"
        " hive_partitioning = true, hive_types = {'month': VARCHAR}, union_by_name = true)"
    )


def query(sql):
    # A reader of a lake needs no network: an extension that is missing must not be fetched.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
async def lake(tmp_path):
    """Two studios and three months in a folder, with the manifests beside them."""
    async with bench(store=LocalStore(tmp_path / "lake")) as b:
        await b.run()
        yield b


async def test_counts_and_sums_are_the_source_s(lake, tmp_path):
    assert query(COUNTS.format(by_path(tmp_path / "lake"))) == strikes_by_month(lake.world, months())


async def test_a_bare_path_will_do(lake, tmp_path):
    everything = f"'{tmp_path}/lake/{DATASET}/**/*.parquet'"
    assert query(COUNTS.format(everything)) == strikes_by_month(lake.world, months())


async def test_months_that_a_query_excludes_are_not_opened(lake, tmp_path):
    one_month = f"SELECT sum(count) FROM {by_path(tmp_path / 'lake')} WHERE month = '2025-02'"
    ((_, plan),) = query(f"EXPLAIN {one_month}")
    assert "month = '2025-02'" in plan
    assert "Scanning Files: 1/3" in plan


@pytest.mark.parametrize("every", ["month", "week"])
async def test_the_view_of_ddl_reads_the_same(every, tmp_path):
    async with bench(store=LocalStore(tmp_path / "it's a lake")) as b:
        await b.run(every=every)
        (dataset,) = b.app(every=every).datasets
        sums = dict(query(f"SELECT studio_id, sum(count)::BIGINT FROM {by_path(f'{tmp_path}/it*lake')} GROUP BY ALL"))
        view = ddl(dataset, str(tmp_path / "it's a lake"), Dialect.DUCKDB, "2025-01")
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            connection.execute(view)
            found = dict(
                connection.execute(f"SELECT studio_id, sum(count)::BIGINT FROM {DATASET} GROUP BY ALL").fetchall()
            )
    assert found == sums == {"studio-1": 450, "studio-2": 450}


class Looked(LocalStore):
    """A folder that is queried after everything that is done to it."""

    def __init__(self, root):
        super().__init__(root)
        self._root_path = root
        self.seen = []

    async def put(self, key, data, *, condition=None):
        info = await super().put(key, data, condition=condition)
        self._look()
        return info

    async def delete(self, key):
        await super().delete(key)
        self._look()

    def _look(self):
        if any(self._root_path.glob(f"{DATASET}/month=*/part-*.parquet")):
            self.seen.append(query(COUNTS.format(by_path(self._root_path))))


async def test_a_reader_sees_each_month_before_or_after_a_run_and_never_in_between(tmp_path):
    store = Looked(tmp_path / "lake")
    async with bench(store=store) as b:
        await b.run()
        before = strikes_by_month(b.world, months())
        store.seen.clear()
        for studio in b.world.studios:
            for infraction in [i for i in studio.infractions if i.starts_at.month in {1, 3}][::2]:
                studio.remove(infraction.id)
        after = strikes_by_month(b.world, months())
        await b.run(Choice(full=True, start=date(2025, 1, 1), end=date(2025, 4, 1)))

    def of_month(counts, month):
        return [row for row in counts if row[1] == month]

    assert store.seen[0] == before
    assert store.seen[-1] == after
    for seen in store.seen:
        for month in ("2025-01", "2025-02", "2025-03"):
            assert of_month(seen, month) in (of_month(before, month), of_month(after, month))

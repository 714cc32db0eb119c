"""The file of shards, wherever it lies."""

from datetime import UTC, date, datetime

import pytest

from exporter.core.shards import ShardedPlan
from exporter.errors import UsageError
from exporter.jobs.shards import read, write
from exporter.store.memory import MemoryStore
from exporter.store.open import open_store

PLAN = ShardedPlan(
    plan="plan-1",
    planned_at=datetime(2025, 3, 1, tzinfo=UTC),
    version="1.0",
    config="abc",
    datasets=(),
    start=date(2025, 1, 1),
    end=date(2025, 2, 1),
    full=False,
    shards=(),
)


@pytest.mark.parametrize("form", ["{folder}/new/plan.json", "file://{folder}/plan.json"])
async def test_what_is_written_into_a_folder_is_read_again(tmp_path, form):
    url = form.format(folder=tmp_path)
    await write(open_store, url, PLAN)
    assert await read(open_store, url) == PLAN
    assert [path.name for path in tmp_path.rglob("*.json")] == ["plan.json"]


async def test_a_name_alone_lies_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    await write(open_store, "plan.json", PLAN)
    assert (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("s3://bucket/plan.json", "s3://bucket"),
        ("s3://bucket/a/b/plan.json", "s3://bucket/a/b"),
        ("/plan.json", "/"),
        ("plan.json", "."),
    ],
)
async def test_the_file_is_looked_for_in_its_folder(url, folder):
    opened = []

    def open_folder(url):
        opened.append(url)
        return MemoryStore()

    with pytest.raises(UsageError, match="there is no such file; make one with"):
        await read(open_folder, url)
    assert opened == [folder]


@pytest.mark.parametrize("url", ["", "plans/", "s3://bucket", "file:///", "s3://bucket/plans/"])
async def test_what_names_no_file_is_refused(url):
    with pytest.raises(UsageError, match="names no file"):
        await write(open_store, url, PLAN)


@pytest.mark.parametrize("url", ["ftp://bucket/plan.json", "s3://user:word@bucket/plan.json"])
async def test_what_is_no_place_is_refused_without_its_password(url):
    with pytest.raises(UsageError, match="is no place") as caught:
        await write(open_store, url, PLAN)
    assert "word@" not in str(caught.value).replace(url, "")


async def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used for shards"):
        await write(open_store, f"{tmp_path}/file/plan.json", PLAN)


async def test_what_is_no_plan_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"plan\.json: is no plan in shards .*exporter plan --shards"):
        await read(open_store, f"{tmp_path}/plan.json")

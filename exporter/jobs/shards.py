"""Keeps the shards of a plan in one file, in a folder or on S3."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from exporter.core.shards import ShardedPlan, parse_sharded_plan
from exporter.errors import ConfigError, NotFoundError, StoreError, UsageError
from exporter.jobs.put import put_surely
from exporter.store.base import ObjectStore


async def write(open_folder: Callable[[str], ObjectStore], url: str, sharded: ShardedPlan) -> None:
    """Write *sharded* to the file *url*, in place of what is there.

    Raises:
        UsageError: that cannot be done.
    """
    async with _beside(open_folder, url) as (store, name):
        await put_surely(store, name, sharded.to_json())


async def read(open_folder: Callable[[str], ObjectStore], url: str) -> ShardedPlan:
    """The plan in the file *url*.

    Raises:
        UsageError: there is none.
    """
    async with _beside(open_folder, url) as (store, name):
        data, _ = await store.get(name)
    try:
        return parse_sharded_plan(data)
    except ValueError as error:
        raise UsageError(
            f'{url}: is no plan in shards that this version reads; make one with "exporter plan --shards N --out {url}"'
        ) from error


@asynccontextmanager
async def _beside(open_folder: Callable[[str], ObjectStore], url: str) -> AsyncIterator[tuple[ObjectStore, str]]:
    """The folder that a file lies in, and its name there."""
    folder, slash, name = url.rpartition("/")
    if not name or folder in {"s3:/", "file:", "file:/"}:
        raise UsageError(f"{url}: names no file; write a path, file:///folder/name or s3://bucket/prefix/name")
    try:
        store = open_folder(folder or slash or ".")
    except ConfigError as error:
        raise UsageError(f"{url}: is no place for a file of shards ({error})") from error
    try:
        yield store, name
    except NotFoundError as error:
        raise UsageError(
            f'{url}: there is no such file; make one with "exporter plan --shards N --out {url}"'
        ) from error
    except StoreError as error:
        raise UsageError(f"{url}: cannot be used for shards: {error}") from error
    finally:
        await store.close()

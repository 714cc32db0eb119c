"""Adds up what the shards of a plan did, once all of them have ended, and keeps it in the sink."""

from collections.abc import Mapping
from datetime import timedelta

from exporter.core.manifest import Manifest
from exporter.core.merged import Merged, merge_shards
from exporter.core.partition import plan_record_key
from exporter.core.reply import State
from exporter.core.shards import ShardedPlan
from exporter.jobs.history import each_manifest
from exporter.jobs.put import put_surely
from exporter.store.base import ObjectStore

#: Manifests from so long before the plan on are looked at, since their ids are made by other machines' clocks.
_CLOCKS = timedelta(hours=1)


async def merge(
    store: ObjectStore, sharded: ShardedPlan, *, errors: Mapping[int, str], verified: State | None
) -> tuple[Merged, tuple[Manifest, ...]]:
    """See `merge_shards`; what it says is written beside the datasets. Merging again gives the same.

    Raises:
        DataError, StoreError: a manifest cannot be read, or the sink not be written.
    """
    since = f"{sharded.planned_at - _CLOCKS:%Y%m%dT%H%M%S}"
    manifests = [m for name in sharded.datasets async for m in each_manifest(store, name, since=since)]
    merged, as_one = merge_shards(sharded, manifests, errors=errors, verified=verified)
    await put_surely(store, plan_record_key(sharded.plan), merged.to_json())
    return merged, as_one

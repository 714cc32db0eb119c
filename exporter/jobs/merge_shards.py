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

#: Manifests are looked at from so long before the plan on, since their ids come from other machines' clocks.
_CLOCKS = timedelta(hours=1)


async def merge(
    store: ObjectStore, sharded: ShardedPlan, *, errors: Mapping[int, str], verified: State | None
) -> tuple[Merged, tuple[Manifest, ...]]:
    """Read the manifests of all shards, add them up (`core.merged`), and keep the sum in the sink.

    Merging again gives the same.

    Args:
        store: the sink.
        sharded: the plan.
        errors: why shards were stopped, by their numbers, as far as that is known.
        verified: what came of holding the published data against the manifests; None where nobody looked.

    Returns:
        All of it; and one manifest for each dataset that has one, as a single run would have written it.

    Raises:
        DataError, StoreError: a manifest cannot be read, or the sink not be written.
    """
    since = f"{sharded.planned_at - _CLOCKS:%Y%m%dT%H%M%S}"
    manifests = [m for name in sharded.datasets async for m in each_manifest(store, name, since=since)]
    merged, as_one = merge_shards(sharded, manifests, errors=errors, verified=verified)
    await put_surely(store, plan_record_key(sharded.plan), merged.to_json())
    return merged, as_one

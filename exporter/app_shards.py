"""A plan that is done in shards: cut, narrowed to one of them, and added up when all have ended.

Rules kept here: a shard is done only by the version and with the configuration that it was planned with.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace

from exporter import __version__
from exporter.app import App, new_run_id, open_place
from exporter.app_choice import Choice
from exporter.config import values
from exporter.core.merged import Merged
from exporter.core.notice import nothing_done, notice_of
from exporter.core.partition import plan_record_key
from exporter.core.reply import State
from exporter.core.shards import ShardedPlan, check_beside, check_made_by, cut, pick_shard, shard_name
from exporter.errors import UsageError
from exporter.jobs import merge_shards, shards
from exporter.jobs.events import Observer


async def plan_shards(app: App, choice: Choice, number: int, url: str) -> ShardedPlan:
    """Cut what a run of *choice* would do into at most *number* shards, and write them to the file *url*.

    Raises:
        UsageError: it cannot be written there, or the choice is wrong.
    """
    now, api = app.clock(), app.settings.api
    scope = app.scope(choice, now)
    plan = await app.plan_of(scope)
    sharded = ShardedPlan(
        plan=new_run_id(now),
        planned_at=now,
        version=__version__,
        config=values.fingerprint(app.settings),
        datasets=tuple(dataset.name for dataset in scope.datasets),
        start=scope.days.start,
        end=scope.days.end,
        until=scope.until,
        full=scope.full,
        shards=cut(plan, number, page_size=api.page_size, requests_per_minute=api.requests_per_minute),
    )
    await shards.write(functools.partial(open_place, app.settings), url, sharded)
    return sharded


async def choice_of_shard(app: App, url: str, index: int, choice: Choice) -> Choice:
    """What the shard *index* of the file *url* narrows a run to.

    Raises:
        UsageError: there is no such shard, it was planned by another version or with another configuration, or
            *choice* asks for something else.
    """
    where = f"{url}#{index}"
    if choice.rewrite:
        raise UsageError(f"{where}: a dataset is rewritten as a whole, not in shards; run without a shard")
    sharded = await shards.read(functools.partial(open_place, app.settings), url)
    shard = pick_shard(sharded, index, where=where, version=__version__, config=values.fingerprint(app.settings))
    check_beside(
        sharded,
        shard,
        where=where,
        start=choice.start,
        end=choice.end,
        studios=choice.studios,
        datasets=choice.datasets,
        full=choice.full,
    )
    return Choice(
        start=sharded.start,
        end=None if sharded.until else sharded.end,
        until=sharded.until,
        studios=shard.studios,
        datasets=sharded.datasets,
        full=sharded.full,
        shard=shard_name(sharded.plan, index),
    )


async def merge(
    app: App, url: str, *, errors: Mapping[int, str], verified: State | None, observer: Observer
) -> tuple[Merged, str]:
    """Add up what the shards of the file *url* did, and conclude as if one run had done it.

    Returns:
        All of it, and where it is kept.

    Raises:
        UsageError: there is no such plan, or it was made by another version or with another configuration.
    """
    sharded = await shards.read(functools.partial(open_place, app.settings), url)
    check_made_by(sharded, where=url, version=__version__, config=values.fingerprint(app.settings))
    merged, as_one = await merge_shards.merge(app.store, sharded, errors=errors, verified=verified)
    record = f"{app.store.url}/{plan_record_key(sharded.plan)}"
    told = {manifest.dataset: notice_of(manifest, record) for manifest in as_one}
    now = app.clock()
    await app.ending(observer).conclude(
        [
            replace(told.get(name) or nothing_done(merged.plan, name, now, record), state=merged.state)
            for name in sharded.datasets
        ]
    )
    return merged, record

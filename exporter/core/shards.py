"""A plan cut into shards, each of which one process can do without the others.

Rules kept here: a credential is never in two shards, since its rate limit is one; every studio with something to fetch
is in just one; the heaviest credentials are dealt first, each to the lightest shard, so that no shard has more than a
third above what the best cut could do. What is cut says what it was made of, so that shards of another configuration
are refused.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from heapq import heapreplace

from exporter.core.jsonable import jsonable, parse_moment
from exporter.core.plan import Plan
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey, StudioId
from exporter.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One part of a plan.

    Attributes:
        index: its number, from 0 on.
        studios: to be exported by it.
        requests: that it needs at the least.
        minutes: that the rate limit makes of them.
    """

    index: int
    studios: tuple[StudioId, ...]
    requests: int
    minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedPlan:
    """A plan in shards, and what it was made of.

    Attributes:
        plan: its id.
        planned_at: UTC.
        version: of this program.
        config: fingerprint of the configuration.
        datasets, start, end, full: asked for.
        until: see `Scope`.
        shards: none where there is nothing to do.
    """

    plan: str
    planned_at: datetime
    version: str
    config: str
    datasets: tuple[DatasetName, ...]
    start: date
    end: date
    full: bool
    until: datetime | None = None
    shards: tuple[Shard, ...]

    def to_json(self) -> bytes:
        """A line for each shard."""
        document = {**asdict(self), "shards": None}
        shards = ",\n".join(json.dumps(asdict(shard)) for shard in self.shards)
        return (json.dumps(document, default=jsonable).removesuffix("null}") + f"[\n{shards}\n]}}\n").encode()


def shard_name(plan: str, index: int) -> str:
    """What the manifests of a shard's runs call it."""
    return f"{plan}#{index}"


def deal(loads: Sequence[int], number: int) -> tuple[tuple[int, ...], ...]:
    """Deal things of these weights to *number* piles, or to as many as there are things.

    Returns:
        The positions of each pile, rising; no pile is empty.
    """
    piles: list[list[int]] = [[] for _ in range(min(number, len(loads)))]
    # Of piles that weigh the same the one with fewer things, so that none stays empty beside weights of 0.
    by_weight = [(0, 0, pile) for pile in range(len(piles))]
    for position in sorted(range(len(loads)), key=lambda position: -loads[position]):
        weight, things, lightest = by_weight[0]
        piles[lightest].append(position)
        heapreplace(by_weight, (weight + loads[position], things + 1, lightest))
    return tuple(tuple(sorted(pile)) for pile in piles)


def cut(plan: Plan, number: int, *, page_size: int, requests_per_minute: int) -> tuple[Shard, ...]:
    """*plan* in at most *number* shards, balanced by the requests that are expected; none where there is nothing to do.

    Args:
        plan: what is to be done.
        number: of shards, at least 1.
        page_size: rows of a page.
        requests_per_minute: allowed to each credential.
    """
    lanes = plan.lanes()
    requests = plan.least_requests(page_size)
    credentials = tuple(lanes)
    piles = deal([requests[credential] for credential in credentials], number)

    def shard(index: int, of: Sequence[CredentialKey]) -> Shard:
        tasks = tuple(task for credential in of for task in lanes[credential])
        return Shard(
            index=index,
            studios=tuple(dict.fromkeys(task.studio.id for task in tasks)),
            requests=sum(requests[credential] for credential in of),
            minutes=replace(plan, tasks=tasks).least_seconds(page_size, requests_per_minute) / 60,
        )

    return tuple(shard(index, [credentials[position] for position in pile]) for index, pile in enumerate(piles))


def parse_sharded_plan(data: bytes) -> ShardedPlan:
    """What `ShardedPlan.to_json` wrote; ValueError where it is none."""
    try:
        document = json.loads(data)
        return ShardedPlan(
            **{
                **document,
                "datasets": tuple(document["datasets"]),
                "planned_at": parse_moment(document["planned_at"]),
                "start": date.fromisoformat(document["start"]),
                "end": date.fromisoformat(document["end"]),
                "until": parse_moment(document["until"]) if document["until"] else None,
                "shards": tuple(Shard(**{**shard, "studios": tuple(shard["studios"])}) for shard in document["shards"]),
            }
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a plan in shards: {error}") from error


def pick_shard(sharded: ShardedPlan, index: int, *, where: str, version: str, config: str) -> Shard:
    """The shard of this *index*.

    Args:
        sharded: the whole plan.
        index: from 0 on.
        where: it was read, for messages.
        version: of this program.
        config: fingerprint of the configuration.

    Raises:
        UsageError: there is none, or the plan is of another version or configuration.
    """
    check_made_by(sharded, where=where, version=version, config=config)
    if not 0 <= index < len(sharded.shards):
        known = f"0 to {len(sharded.shards) - 1}" if sharded.shards else "none, since there was nothing to do"
        raise UsageError(f"{where}: there is no shard {index}; known are {known}")
    return sharded.shards[index]


def check_made_by(sharded: ShardedPlan, *, where: str, version: str, config: str) -> None:
    """See that a plan was made by this *version*, with this configuration.

    Raises:
        UsageError: it was not.
    """
    if sharded.version != version:
        raise UsageError(f"{where}: was planned by version {sharded.version} instead of {version}; plan again")
    if sharded.config != config:
        raise UsageError(
            f"{where}: was planned with another configuration ({sharded.config} instead of {config}); plan again, or"
            f" run it with that configuration"
        )


def check_beside(
    sharded: ShardedPlan,
    shard: Shard,
    *,
    where: str,
    start: date | None,
    end: date | None,
    studios: Collection[str],
    datasets: Collection[str],
    full: bool,
) -> None:
    """See that what is asked for beside a shard is what it was planned for; None, empty and False ask for nothing.

    Raises:
        UsageError: it is something else.
    """
    differs = {
        "start": start not in {None, sharded.start},
        "end": end not in {None, sharded.end},
        "studios": bool(studios) and not {*shard.studios} <= {*studios},
        "datasets": bool(datasets) and {*datasets} != {*sharded.datasets},
        "full": full and not sharded.full,
    }
    if found := [name for name, other in differs.items() if other]:
        raise UsageError(
            f"{where}: was planned with another {' and '.join(found)} than asked for; leave it out, or plan again"
        )

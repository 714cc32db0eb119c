"""A plan cut into shards, each of which one process can do without the others.

Rules kept here: a credential is never in two shards, since its rate limit is one; every studio with something to fetch
is in just one; the heaviest credentials are dealt first, each to the lightest shard, so that no shard has more than a
third above what the best cut could do. A shard says what it is of, so that one of another plan is refused.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from exporter.core.plan import Plan
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey, StudioId
from exporter.core.window import Window
from exporter.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a plan was made of.

    Attributes:
        plan: its id.
        url: where it is written.
        version: of this program.
        config: fingerprint of the configuration.
        datasets, days, full: asked for.
    """

    plan: str
    url: str
    version: str
    config: str
    datasets: tuple[DatasetName, ...]
    days: Window
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One part of a plan.

    Attributes:
        index, shards: its number from 0 on, of how many.
        studios: to be exported by it.
        requests: that it needs at the least.
        minutes: that the rate limit makes of them.
    """

    plan: str
    url: str
    index: int
    shards: int
    version: str
    config: str
    datasets: tuple[DatasetName, ...]
    start: date
    end: date
    full: bool
    studios: tuple[StudioId, ...]
    requests: int
    minutes: float


def deal(loads: Sequence[int], number: int) -> tuple[tuple[int, ...], ...]:
    """Deal things of these weights to *number* piles, or to as many as there are things.

    Returns:
        The positions of each pile, rising; no pile is empty.
    """
    piles: list[list[int]] = [[] for _ in range(min(number, len(loads)))]
    weights = [0] * len(piles)
    for position in sorted(range(len(loads)), key=lambda position: -loads[position]):
        # Of piles that weigh the same the one with fewer things, so that none stays empty beside weights of 0.
        lightest = min(range(len(piles)), key=lambda pile: (weights[pile], len(piles[pile])))
        piles[lightest].append(position)
        weights[lightest] += loads[position]
    return tuple(tuple(sorted(pile)) for pile in piles)


def cut_plan(plan: Plan, number: int, origin: Origin, *, page_size: int, requests_per_minute: int) -> tuple[Shard, ...]:
    """*plan* in at most *number* shards, balanced by the requests that are expected; none where there is nothing to do.

    Args:
        plan: what is to be done.
        number: of shards, at least 1.
        origin: what the plan was made of.
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
            plan=origin.plan,
            url=origin.url,
            index=index,
            shards=len(piles),
            version=origin.version,
            config=origin.config,
            datasets=origin.datasets,
            start=origin.days.start,
            end=origin.days.end,
            full=origin.full,
            studios=tuple(dict.fromkeys(task.studio.id for task in tasks)),
            requests=sum(requests[credential] for credential in of),
            minutes=replace(plan, tasks=tasks).least_seconds(page_size, requests_per_minute) / 60,
        )

    return tuple(shard(index, [credentials[position] for position in pile]) for index, pile in enumerate(piles))


def write_shards(shards: Sequence[Shard]) -> bytes:
    """One JSON array with a line for each shard: what AWS calls an item."""
    lines = ",\n".join(json.dumps(asdict(shard), default=date.isoformat) for shard in shards)
    return f"[\n{lines}\n]\n".encode()


def read_shard(data: bytes, where: str, index: int, *, plan: str = "") -> Shard:
    """The shard of this *index* from what `write_shards` wrote.

    Args:
        data: the file.
        where: it lies, for messages.
        index: from 0 on.
        plan: the id that its plan must have; empty for any.

    Raises:
        UsageError: it is no file of shards, or has no such shard.
    """
    way_out = 'make one with "exporter plan --shards N --out URL"'
    try:
        found = [
            Shard(
                **{
                    **item,
                    "datasets": tuple(item["datasets"]),
                    "studios": tuple(item["studios"]),
                    "start": date.fromisoformat(item["start"]),
                    "end": date.fromisoformat(item["end"]),
                }
            )
            for item in json.loads(data)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{where}: is no file of shards that this version of the program reads; {way_out}") from error
    if not 0 <= index < len(found):
        known = f"0 to {len(found) - 1}" if found else "none: there was nothing to do"
        raise UsageError(f"{where}: has no shard {index}; it has {known}")
    if plan and found[index].plan != plan:
        raise UsageError(
            f"{where}: holds plan {found[index].plan} instead of {plan}; another one was written over it: start with it"
        )
    return found[index]


def check_origin(shard: Shard, *, version: str, config: str) -> None:
    """See that *shard* is of this program and this configuration.

    Raises:
        UsageError: it is not.
    """
    where = f"{shard.url}#{shard.index}"
    if shard.version != version:
        raise UsageError(f"{where}: was planned by version {shard.version} instead of {version}; plan again")
    if shard.config != config:
        raise UsageError(
            f"{where}: was planned with another configuration ({shard.config} instead of {config}); plan again, or run"
            f" it with that configuration"
        )

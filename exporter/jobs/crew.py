"""Who works on a run: those who fetch, who stage and who publish, made once from what the run begins with.

Rules kept here: nobody is told of more than those they work with. Who begins when, and how a run ends, is in
`export.py`.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from exporter.api.base import ReportSource
from exporter.core.answer import Format
from exporter.core.reconcile import Reconcile
from exporter.jobs.account import Account
from exporter.jobs.beginning import Beginning
from exporter.jobs.brake import Brake
from exporter.jobs.confirm import confirm
from exporter.jobs.drive import AdmissionControl, Drivers, Halts
from exporter.jobs.events import Observer
from exporter.jobs.fetch import Fetcher
from exporter.jobs.inbox import Inbox
from exporter.jobs.meanwhile import Meanwhile
from exporter.jobs.publish import Publisher
from exporter.jobs.reconcile import Reconciler
from exporter.jobs.release import Release
from exporter.jobs.resume import Owner
from exporter.jobs.segments import Segments
from exporter.jobs.stage import RunStamp, Staging
from exporter.jobs.tally import Tally
from exporter.store.base import ObjectStore

#: Pages of a window, and open windows, for each connection: one that is asked for, one that waits to be, and one that
#: waits to be staged.
_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run goes about it.

    Attributes:
        format, page_size: of the answers.
        max_connections: requests in flight at most.
        compression: of the parts.
        hash_key: for the columns that are written as keyed hashes.
        version: of this program.
        config: the configuration without secrets, for the manifest.
        reconcile: what becomes of a studio whose sum is not the API's.
    """

    format: Format
    page_size: int
    max_connections: int
    compression: str
    hash_key: bytes
    version: str
    config: Mapping[str, object]
    reconcile: Reconcile = Reconcile.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Who stands behind the doors of this job.

    Attributes:
        source: the report API.
        gate: paces it.
        store: the sink.
        observer: looks on.
        clock: the time, UTC.
        monotonic: seconds.
        sleep, random: for waits.
        is_running: whether a run's process still lives; None where that cannot be told.
    """

    source: ReportSource
    gate: AdmissionControl
    store: ObjectStore
    observer: Observer
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    is_running: Callable[[Owner], bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who works on one run.

    Attributes:
        account: knows what became of each task.
        segments: knows what is staged where.
        staging: makes pages safe.
        drivers: open tasks, and have them fetched.
        reconciler: holds studios against the API's own totals.
        release: publishes what is decided.
        publisher: puts it into the sink.
    """

    account: Account
    segments: Segments
    staging: Staging
    drivers: Drivers
    reconciler: Reconciler
    release: Release
    publisher: Publisher


def make_crew(
    beginning: Beginning, me: Owner, options: Options, doors: Doors, tally: Tally, *, spared: frozenset[str]
) -> Crew:
    """Everybody, before anything is done.

    Args:
        beginning: what the run begins with.
        me: the run and its process.
        options: how to go about it.
        doors: who is asked.
        tally: counts what is sent.
        spared: keys of segments that other runs need too.
    """
    scope, plan = beginning.scope, beginning.plan
    account, segments = Account(plan, tally), Segments(spared)
    halts, brake = Halts(scope.studios), Brake(doors.gate.hold)
    inbox = Inbox(options.max_connections, brake.full)
    staging = Staging(
        doors.store,
        RunStamp(run_id=me.run_id, began_at=scope.began_at, full=scope.full),
        segments=segments,
        hash_key=options.hash_key,
        suppression=beginning.suppression,
        clock=doors.clock,
        on_sealed=halts.look_for_twins,
        inbox=inbox,
    )
    publisher = _make_publisher(beginning, me, options, doors)
    release = Release(
        scope=scope,
        plan=plan,
        published=beginning.ledgers,
        account=account,
        segments=segments,
        staging=staging,
        publisher=publisher,
        brake=brake,
        confirm=functools.partial(confirm, doors.store, run_id=me.run_id, sleep=doors.sleep, random=doors.random),
        withheld=halts.twins,
        observer=doors.observer,
    )
    reconciler = Reconciler(
        options.reconcile,
        scope=scope,
        plan=plan,
        account=account,
        fetched=segments,
        source=doors.source,
        withheld=halts.twins,
        release=release.decided,
        observer=doors.observer,
    )
    meanwhile = Meanwhile(
        doors.store,
        scope,
        beginning.published,
        account=account,
        on_decided=reconciler.decided,
        observer=doors.observer,
    )
    drivers = Drivers(
        gate=doors.gate,
        fetcher=_make_fetcher(me, options, doors, staging, inbox),
        account=account,
        tally=tally,
        on_decided=reconciler.decided,
        still_missing=meanwhile.still_missing,
        halts=halts,
        most_open=_AT_ONCE * options.max_connections,
        observer=doors.observer,
    )
    return Crew(
        account=account,
        segments=segments,
        staging=staging,
        drivers=drivers,
        reconciler=reconciler,
        release=release,
        publisher=publisher,
    )


def _make_fetcher(me: Owner, options: Options, doors: Doors, staging: Staging, inbox: Inbox) -> Fetcher:
    numbers = count(1)
    return Fetcher(
        source=doors.source,
        staging=staging,
        inbox=inbox,
        format=options.format,
        page_size=options.page_size,
        most_pages_at_once=_AT_ONCE * options.max_connections,
        new_id=lambda: f"{me.run_id}.{next(numbers)}",
        observer=doors.observer,
    )


def _make_publisher(beginning: Beginning, me: Owner, options: Options, doors: Doors) -> Publisher:
    return Publisher(
        store=doors.store,
        run_id=me.run_id,
        compression=options.compression,
        clock=doors.clock,
        sleep=doors.sleep,
        random=doors.random,
        after=max((record.published_at for record in beginning.recorded), default=None),
        suppression=beginning.suppression,
    )

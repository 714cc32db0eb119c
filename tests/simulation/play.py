"""Plays a scenario: every exporter's processes, one after the other, and a last one that puts all in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import aiohttp

from exporter.api.client import ReportClient
from exporter.api.limiter import Gate
from exporter.api.protocol import ApiOptions
from exporter.api.retry import RetryPolicy
from exporter.core.answer import Format
from exporter.core.lease import Lease
from exporter.core.lease import Process as Holder
from exporter.core.ledger import Entry
from exporter.core.manifest import Manifest, RunState
from exporter.core.pace import Pace
from exporter.core.partition import STAGING
from exporter.core.plan import Scope
from exporter.core.studio import Studio
from exporter.errors import ExporterError
from exporter.jobs import crew, export, leases
from exporter.jobs.events import Event, Planned, Waiting
from exporter.jobs.resume import Owner
from exporter.jobs.tally import Tally
from exporter.jobs.tenure import Surroundings
from tests.simulation.chance import Chance
from tests.simulation.judge import Judge, from_epoch
from tests.simulation.network import BASE_URL, Api, FakeSession
from tests.simulation.process import Died, Process
from tests.simulation.record import BrokenPromiseError, Record
from tests.simulation.scenario import HASH_KEY, ExporterPlan, LifePlan, Scenario, TaskKey, make_scenario
from tests.simulation.sink import TroubledSink, WatchedSink
from tests.support.virtual_time import run_virtual

#: No process takes longer than this in virtual time, whatever happens to it.
PATIENCE_S = 8 * 3600

#: After so long a process that shows no sign of life is taken for dead from another machine, with some to spare.
FORGOTTEN_S = 300

#: How often the reports change between two processes.
_CHANGES = 0.15


@dataclass(slots=True)
class Played:
    """What came of a scenario.

    Attributes:
        lives: how each process ended.
        requests: sent by all.
    """

    lives: list[str] = field(default_factory=list)
    requests: int = 0


def play(seed: int, *, log: list[str] | None = None) -> Played:
    """Play the scenario of *seed*.

    Args:
        seed: decides everything.
        log: gets a line for each thing that happens, also where it ends badly.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    scenario = make_scenario(seed)

    async def go() -> Played:
        return await _Play(scenario, [] if log is None else log).go()

    try:
        return run_virtual(go)
    except BaseExceptionGroup as group:
        raise _leaves(group)[0] from group


@dataclass(slots=True)
class _Asking:
    """What is known of a process that matters when it has waited for a credential.

    Attributes:
        record: of its requests.
        studios: of its scope.
        full: whether it asks for everything all the same.
        planned: what was published when it had planned.
        waits: for which credentials.
    """

    record: Record
    studios: Sequence[Studio]
    full: bool
    planned: Mapping[TaskKey, Entry] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)


class _Play:
    def __init__(self, scenario: Scenario, log: list[str]) -> None:
        self._log = log
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # what dead processes leave behind
        self._clock = loop.time
        self._scenario = scenario
        self._chance = Chance(f"{scenario.seed}")
        self._judge = Judge(scenario, self._now)
        self._judge.on_lease = self._taken
        self._judge.runs = lambda process: self._processes[process].alive
        self._judge.planned = lambda run_id: self._asking[run_id].planned
        self._sink = WatchedSink(self._judge)
        self._api = Api(scenario, self._judge)
        self._processes: dict[str, Process] = {}
        self._asking: dict[str, _Asking] = {}
        self._played = Played()

    def _now(self) -> datetime:
        return from_epoch(self._clock(), self._scenario.begins_at)

    async def go(self) -> Played:
        """Everybody at once; then, when all are gone, one alone without troubles, which must end well."""
        alone = len(self._scenario.exporters) == 1
        async with asyncio.TaskGroup() as group:
            for exporter in self._scenario.exporters:
                group.create_task(self._exporter(exporter, alone=alone))
        last = self._chance.once("last")
        await asyncio.sleep(last.choice((FORGOTTEN_S, 4 * 3600, 30 * 86400)))
        calm = replace(self._scenario, faults={}, drifts=0.0, troubles=0.0)
        exporter = ExporterPlan(name="last", host="elsewhere", studios=self._scenario.studios, lives=())
        began_at = self._now()
        manifest = await self._live(calm, exporter, LifePlan(after_s=0), name="last", alone=True)
        await self._in_order(manifest, began_at)
        return self._played

    async def _exporter(self, exporter: ExporterPlan, *, alone: bool) -> None:
        for number, life in enumerate(exporter.lives, 1):
            await asyncio.sleep(life.after_s)
            self._change_reports(f"{exporter.name}/{number}")
            await self._live(self._scenario, exporter, life, name=f"{exporter.name}-{number}", alone=alone)

    def _change_reports(self, when: str) -> None:
        """What is past may change between two runs; but not where CSV is paged, which may be gone on with later."""
        if self._scenario.format is Format.CSV:
            return
        for task in self._scenario.tasks:
            if self._chance.once(f"{when}/{task}").random() < _CHANGES:
                self._judge.change_report(task)

    async def _live(
        self, scenario: Scenario, exporter: ExporterPlan, life: LifePlan, *, name: str, alone: bool
    ) -> Manifest | None:
        """One process from its start to whatever end; its manifest where it came to one."""
        task = asyncio.create_task(self._process(scenario, exporter, life, name=name, alone=alone))
        stop = asyncio.get_running_loop().call_later(life.stops_after_s, task.cancel) if life.stops_after_s else None
        manifest, ending = None, "ended"
        try:
            async with asyncio.timeout(PATIENCE_S):
                manifest = await asyncio.shield(task)
        except TimeoutError:
            raise BrokenPromiseError(f"{name}: is still at it after {PATIENCE_S} s") from None
        except BaseException as error:  # noqa: BLE001 - a process may end in any way; `_ending` tells which are allowed
            ending = self._ending(name, error, stopped=life.stops_after_s is not None)
        finally:
            if stop:
                stop.cancel()
            self._processes[name].alive = False
        if self._judge.broken:
            raise self._judge.broken
        self._note(f"{name}: {ending}" + (f", {manifest.state}" if manifest else ""))
        self._played.lives.append(ending)
        return manifest

    def _ending(self, name: str, error: BaseException, *, stopped: bool) -> str:
        """How a process ended that raised *error*; whatever is none of the ways to end is raised again."""
        if self._judge.broken:
            raise self._judge.broken
        for broken in _leaves(error):
            if isinstance(broken, BrokenPromiseError):
                raise broken
        if not self._processes[name].alive:
            return "died"
        if isinstance(error, asyncio.CancelledError) and stopped:
            return "was stopped"
        if isinstance(error, ExporterError):
            return f"gave up: {type(error).__name__}: {error}"
        raise error

    async def _process(
        self, scenario: Scenario, exporter: ExporterPlan, life: LifePlan, *, name: str, alone: bool
    ) -> Manifest | None:
        process = Process(name, exporter.host, dies_at=life.dies_at)
        self._processes[name] = process
        began_at = self._now()
        me = Owner(
            run_id=f"{began_at:%Y%m%dT%H%M%S%fZ}-{name}",
            began_at=began_at,
            seen_at=began_at,
            full=life.full,
            host=exporter.host,
            process=name,
        )
        scope = Scope(
            datasets=(scenario.dataset,),
            studios=exporter.studios,
            days=scenario.days,
            lookback_days=scenario.lookback_days,
            began_at=began_at,
            full=life.full,
            rewrite=life.rewrite,
        )
        record = Record(
            max_connections=scenario.max_connections,
            done=await self._done(exporter, life, alone=alone),
            task_of=self._judge.task_of,
            may_ask=lambda credential: self._judge.leases[credential].run_id == me.run_id,
            clock=self._clock,
        )
        self._note(f"{name}: begins, {len(record.done)} tasks are done")
        tally = Tally()
        self._asking[me.run_id] = _Asking(record, exporter.studios, full=life.full or life.rewrite)
        sink = TroubledSink(
            self._sink,
            process,
            self._chance.part(name),
            usual_s=scenario.sink_s,
            troubles=scenario.troubles,
            cut_off=life.cut_off,
        )
        permits = self._leases(scenario, process, me, life, sink)
        doors = self._doors(scenario, process, record, tally, sink=sink, permits=permits, run_id=me.run_id)
        options = crew.Options(
            format=scenario.format,
            page_size=scenario.page_size,
            max_connections=scenario.max_connections,
            compression="none",
            hash_key=HASH_KEY,
            version="simulated",
            config={},
        )
        try:
            (manifest,) = await export.export(scope, me, options, doors, tally)
        except Died:
            return None
        finally:
            if process.alive:
                await permits.close()
            self._played.requests += record.sent.total()
        if manifest.totals.requests != record.sent.total():
            raise BrokenPromiseError(f"{name}: sent {record.sent.total()} requests, told of {manifest.totals.requests}")
        return manifest

    def _leases(
        self, scenario: Scenario, process: Process, me: Owner, life: LifePlan, sink: TroubledSink
    ) -> leases.Leases:
        """The exporter's own leases, on a machine whose clock may be a little wrong; see `app_api.py`."""
        ahead = timedelta(seconds=scenario.ahead_s.get(process.host, 0.0))
        jitter = self._chance.part(process.name).once("leases").random
        return leases.Leases(
            Surroundings(
                me=me,
                limit=scenario.limit,
                store=sink,
                clock=lambda: self._now() + ahead,
                monotonic=self._clock,
                sleep=asyncio.sleep,
                is_running=lambda holder: self._runs(holder, process),
            ),
            leases.Doors(
                observer=lambda event: self._observe(process, event, me.run_id),
                name_of=lambda credential, _salt: credential,
                where=str,
                make_pace=lambda _: Pace(scenario.limit, random=jitter),
                random=jitter,
            ),
            leases.WhenBusy.SKIP if life.skips else leases.WhenBusy.WAIT,
        )

    def _doors(
        self,
        scenario: Scenario,
        process: Process,
        record: Record,
        tally: Tally,
        *,
        sink: TroubledSink,
        permits: leases.Leases,
        run_id: str,
    ) -> crew.Doors:
        """The exporter's own client, gate and retries over what is simulated; see `app_api.py`."""
        chance = self._chance.part(process.name)
        jitter = chance.once("jitter").random
        session = FakeSession(
            api=self._api,
            process=process,
            chance=chance,
            faults=scenario.faults,
            drifts=scenario.drifts,
            judge=self._judge,
            record=record,
        )
        gate = Gate(
            make_pace=permits.pace,
            max_connections=scenario.max_connections,
            clock=self._clock,
            permits=permits,
        )

        client = ReportClient(
            cast(aiohttp.ClientSession, session),
            ApiOptions(base_url=BASE_URL, page_size=scenario.page_size),
            {studio.credential: _returns(str(studio.credential)) for studio in scenario.studios},
            gate,
            retry=RetryPolicy(max_attempts=8, clock=self._clock, random=jitter),
            now=self._now,
            on_attempt=tally.note_attempt,
        )
        return crew.Doors(
            source=client,
            gate=gate,
            store=sink,
            observer=lambda event: self._observe(process, event, run_id),
            clock=self._now,
            monotonic=self._clock,
            sleep=asyncio.sleep,
            random=jitter,
            is_running=lambda owner: self._runs(owner, process),
        )

    def _runs(self, owner: Holder, asking: Process) -> bool | None:
        """What a process can find out about another."""
        return self._processes[owner.process].alive if owner.host == asking.host else None

    async def _done(self, exporter: ExporterPlan, life: LifePlan, *, alone: bool) -> dict[TaskKey, str]:
        """What a process that begins now must not ask for."""
        if life.full or life.rewrite:
            return {}
        done = dict(self._judge.settled())
        if alone:
            staged = {info.key: (await self._sink.get(info.key))[0] for info in await self._sink.list(f"{STAGING}/")}
            names = {studio.id for studio in exporter.studios}
            done |= {task: why for task, why in self._judge.fetched_whole(staged).items() if task[0] in names}
        return done

    async def _in_order(self, manifest: Manifest | None, began_at: datetime) -> None:
        """After a last process without troubles, all is published and nothing else is left."""
        if manifest is None or manifest.state is not RunState.OK:
            raise BrokenPromiseError(f"the last process did not end well: {manifest and manifest.tasks}")
        if missing := set(self._scenario.tasks) - self._judge.entries.keys():
            raise BrokenPromiseError(f"never published: {missing}")
        known = {manifest.run_id, *manifest.continues}
        settled = self._judge.settled()
        for task, entry in self._judge.entries.items():
            if task not in settled and entry.run_id not in known and entry.began_at < began_at:
                raise BrokenPromiseError(f"{task}: may have changed, and was not fetched again")
        if left := await self._sink.list(f"{STAGING}/"):
            raise BrokenPromiseError(f"left in staging: {[info.key for info in left]}")

    def _observe(self, process: Process, event: Event, run_id: str) -> None:
        if not process.alive:
            return
        self._note(f"{process.name}: {type(event).__name__}")
        if isinstance(event, Planned):
            self._asking[run_id].planned = dict(self._judge.entries)
        if isinstance(event, Waiting):
            self._asking[run_id].waits.add(event.where)

    def _taken(self, credential: str, lease: Lease) -> None:
        """A lease is written: who has waited for it must not ask for what was published meanwhile."""
        asking = self._asking[lease.run_id]
        if credential not in asking.waits or asking.full:
            return
        asking.waits.remove(credential)
        mine = {studio.id for studio in asking.studios if studio.credential == credential}
        for task, entry in self._judge.entries.items():
            before = asking.planned.get(task)
            if task[0] in mine and (before is None or entry.began_at > before.began_at):
                asking.record.done.setdefault(task, f"it was published by {entry.run_id} meanwhile")

    def _note(self, what: str) -> None:
        self._log.append(f"{self._clock():12.3f} {what}")


def _returns(token: str) -> Callable[[], str]:
    return lambda: token


def _leaves(error: BaseException) -> Sequence[BaseException]:
    """The errors of a group, or the one that it is."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]

"""One credential as one run has it: its record in the sink, taken, renewed, given back or lost.

Rules kept here:

- The record is replaced only on condition that nobody else did meanwhile.
- Nothing is sent that the record in the sink does not hold as pending: a reserve is written first, then used up.
- A run that finds another's record in place of its own, or cannot renew its own in time, stops asking.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from exporter.core.lease import (
    CLOCKS_S,
    GUARD_S,
    LEASE_S,
    RENEW_S,
    Lease,
    Process,
    Reserve,
    in_seconds,
    parse_lease,
    unknown_usage,
)
from exporter.core.pace import Pace
from exporter.errors import NotFoundError, StoreError
from exporter.jobs.put import PUT_ATTEMPTS, put_for_etag
from exporter.jobs.resume import Owner
from exporter.store.base import Absent, Condition, ObjectStore

logger = logging.getLogger(__name__)

#: How long to wait before a renewal that failed is tried again.
RETRY_S = 1.0


class LostError(Exception):
    """Another record stands in place of ours, or may do so by now; says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all tenures of a run share.

    Attributes:
        me: this run and its process.
        limit: requests of a credential in any sliding minute at most.
        store: the sink.
        clock: the time, UTC.
        monotonic: seconds, on the clock of the paces and of the running loop.
        sleep: for waits.
        is_running: whether the process that wrote a record still lives; None where that cannot be told.
    """

    me: Owner
    limit: int
    store: ObjectStore
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    is_running: Callable[[Process], bool | None]


class Tenure:
    """One credential.

    Attributes:
        pace: of it.
        key: of its record; empty until it is wanted.
        refused: why it is not to be asked with any more; empty while it is.
        taking: held while it is taken or given back.
        shared: whether another run may have used it since this one began.
    """

    def __init__(self, around: Surroundings, pace: Pace) -> None:
        """Not ours yet.

        Args:
            around: what the run's tenures share.
            pace: goes on from where the last holder was, once the credential is ours.
        """
        self.pace = pace
        self.key = ""
        self.refused = ""
        self.taking = asyncio.Lock()
        self.shared = False
        self._around = around
        self._reserve = Reserve(around.limit)
        self._etag: str | None = None
        self._asked_until = 0.0
        self._expires_at: datetime | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._leaving = False
        self._again: Callable[[], None] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it was taken and not given back."""
        return self._renewing is not None

    @property
    def stands(self) -> bool:
        """Whether nobody can have taken it from us yet."""
        return not self.refused and not self._is_stale()

    def use(self, again: Callable[[], None]) -> bool:
        """Use one request of the reserve; where there is none, *again* is called once there is, or never will be."""
        used = not self._is_stale() and self._reserve.take()
        if not used:
            self._again = again
        if not used or self._reserve.is_low:
            self._wanted.set()
        return used

    async def read(self) -> tuple[Lease, Condition]:
        """What stands in the sink, and the condition that it still does."""
        try:
            data, info = await self._around.store.get(self.key)
        except NotFoundError:
            return Lease(), Absent()
        try:
            return parse_lease(data), info.etag
        except ValueError:
            return unknown_usage(self._around.limit, self._around.clock()), info.etag

    def is_free(self, lease: Lease) -> bool:
        """Whether *lease* is nobody's any more."""
        if lease.expires_at is None or lease.run_id == self._around.me.run_id:
            return True
        return self._around.is_running(lease) is False or self._around.clock() >= lease.expires_at

    async def begin(self, found: Lease, condition: Condition, where: str) -> bool:
        """Put our record in place of *found*, go on from what that tells, and keep ours; False where it changed."""
        now, monotonic = self._around.clock(), self._around.monotonic()
        clocks_s = 0.0 if found.host == self._around.me.host else CLOCKS_S
        self.pace.take_up(monotonic + moment for moment in found.usage(now, self._around.limit, clocks_s=clocks_s))
        record, mark = self._record()
        etag = await put_for_etag(self._around.store, self.key, record.to_json(), condition)
        if etag is None:
            return False
        self._stands(record, mark, etag, monotonic)
        self._wanted.clear()
        self._renewing = asyncio.create_task(self._keep(where))
        return True

    async def end(self) -> None:
        """Give it back, with nothing in flight; where the sink does not take that, the lease runs out by itself."""
        if self._renewing is None:
            return
        self._leaving = True
        self._wanted.set()
        try:
            await self._renewing
            if not self.refused:
                await self._give_back()
        finally:
            self._etag, self._renewing, self._leaving = None, None, False

    def _record(self, *, held: bool = True) -> tuple[Lease, int]:
        """What is true now, and the mark of the reserve that is in it."""
        now, monotonic = self._around.clock(), self._around.monotonic()
        ended = (moment - monotonic for moment in self.pace.ended(monotonic))
        record = Lease(
            run_id=self._around.me.run_id,
            host=self._around.me.host,
            process=self._around.me.process,
            expires_at=now + timedelta(seconds=LEASE_S) if held else None,
            ended=in_seconds(ended, now),
            pending=self.pace.in_flight + (self._reserve.size if held else 0),
        )
        return record, self._reserve.mark()

    def _stands(self, record: Lease, mark: int, etag: str, made_at: float) -> None:
        """Our *record* stands in the sink."""
        self._etag = etag
        self._reserve.renew(mark)
        self._asked_until = made_at + LEASE_S - GUARD_S
        self._expires_at = record.expires_at

    def _is_stale(self) -> bool:
        """Whether others may take our lease for dead; by two clocks, of which one stands while the machine sleeps."""
        if self._expires_at is None or self._around.monotonic() >= self._asked_until:
            return True
        return self._around.clock() >= self._expires_at - timedelta(seconds=GUARD_S)

    async def _keep(self, where: str) -> None:
        """Renew the lease until it is given back or lost."""
        try:
            while not self._leaving:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_S):
                        await self._wanted.wait()
                while not self._leaving and not await self._renewed():
                    await self._around.sleep(RETRY_S)
        except LostError as lost:
            self.refused = f"{where}: its lease {lost}, so this run asks nothing more with it; run again to retry"
            logger.info("%s", self.refused)
        except BaseException:
            self.refused = f"{where}: its lease could not be kept; run again to retry"
            raise
        finally:
            self._reserve.void()
            self._tell()

    async def _renewed(self) -> bool:
        """Write our record anew, with a whole reserve; False where that is to be tried again.

        Raises:
            LostError: somebody else has it, or may have it by now.
        """
        began = self._around.monotonic()
        record, mark = self._record()
        try:
            etag = await self._replace(record)
        except StoreError as error:
            logger.info("%s: not renewed, tried again: %s", self.key, error)
            etag = None
        if etag is None:
            if self._around.monotonic() >= self._asked_until:
                raise LostError(f"could not be renewed for {LEASE_S - GUARD_S:.0f} s")
            return False
        self._stands(record, mark, etag, began)
        self._wanted.clear()
        self._tell()
        return True

    async def _replace(self, record: Lease) -> str | None:
        """Put *record* in place of our last one; None where it did not land and ours still stands."""
        etag = await put_for_etag(self._around.store, self.key, record.to_json(), self._etag)
        if etag is not None:
            return etag
        found, condition = await self.read()
        if found.run_id != self._around.me.run_id or not isinstance(condition, str):
            raise LostError(f"was taken by run {found.run_id}" if found.run_id else "is gone from the sink")
        self._etag = condition
        return None

    async def _give_back(self) -> None:
        with suppress(StoreError, LostError):
            for _ in range(PUT_ATTEMPTS):
                record, _ = self._record(held=False)
                if await self._replace(record):
                    return

    def _tell(self) -> None:
        """Let whoever waits for a reserve ask again."""
        again, self._again = self._again, None
        if again:
            again()

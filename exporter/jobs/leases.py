"""Takes credentials for a run, so that no two runs use one at once, and hands on how much of the last minute is used.

Rules kept here:

- A credential's lease is one object in the sink (`tenure.py`). Its name says nothing of the credential.
- It is taken before the first request and given back after the last; a run that asks nothing takes nothing.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from exporter.core.lease import LEASE_S
from exporter.core.pace import Pace
from exporter.core.partition import lease_key, salt_key
from exporter.core.studio import CredentialKey
from exporter.errors import CredentialError
from exporter.jobs.events import Observer, Waiting
from exporter.jobs.put import PUT_ATTEMPTS, get_or_put, never_written
from exporter.jobs.tenure import Surroundings, Tenure
from exporter.store.base import Condition

#: How long to wait before looking again whether a credential is free: at first, and at most.
FIRST_POLL_S = 0.25
LONGEST_POLL_S = 5.0

_SALT_BYTES = 32


class WhenBusy(StrEnum):
    """What to do about a credential that another run uses."""

    WAIT = "wait"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What is known of credentials, and who looks on.

    Attributes:
        observer: is told once of each credential that is waited for.
        name_of: a credential's name in the sink, made with the sink's salt.
        where: what a person calls a credential.
        make_pace: the pace of a credential that nobody has used yet.
        random: for waits.
    """

    observer: Observer
    name_of: Callable[[CredentialKey, bytes], str]
    where: Callable[[CredentialKey], str]
    make_pace: Callable[[CredentialKey], Pace]
    random: Callable[[], float]


class Leases:
    """The leases of one run; the permits of its gate."""

    def __init__(self, around: Surroundings, doors: Doors, when_busy: WhenBusy) -> None:
        """None is taken.

        Args:
            around: this run and the sink.
            doors: what is known of credentials.
            when_busy: what to do about a credential that another run uses.
        """
        self._around = around
        self._doors = doors
        self._when_busy = when_busy
        self._tenures: dict[CredentialKey, Tenure] = {}
        self._salt: bytes | None = None
        self._salting = asyncio.Lock()

    def pace(self, credential: CredentialKey) -> Pace:
        """The pace of *credential*, which goes on from where the last run was."""
        return self._tenure(credential).pace

    async def held(self, credential: CredentialKey) -> bool:
        """Wait until the credential is ours; whether another run may have used it since this one began.

        Raises:
            CredentialError: another run uses it and is not waited for, or it was ours and is not any more.
            StoreError: the sink is not readable, or takes no record.
        """
        tenure = self._tenure(credential)
        if not tenure.is_ours and not tenure.refused:
            async with tenure.taking:
                if not tenure.is_ours and not tenure.refused:
                    await self._take(credential, tenure)
        if tenure.refused:
            raise CredentialError(tenure.refused)
        return tenure.shared

    def take(self, credential: CredentialKey, again: Callable[[], None]) -> bool:
        """Whether a request may be sent now; where not, *again* is called when it is worth asking again.

        Raises:
            CredentialError: the credential is not ours any more.
        """
        tenure = self._tenure(credential)
        if tenure.refused:
            raise CredentialError(tenure.refused)
        return tenure.use(again)

    def stands(self, credential: CredentialKey) -> bool:
        """Whether a request that was let through some time ago may still be sent."""
        return self._tenure(credential).stands

    async def leave(self, credential: CredentialKey) -> None:
        """Give the credential back."""
        tenure = self._tenure(credential)
        async with tenure.taking:
            await tenure.end()

    async def close(self) -> None:
        """Give back whatever is still ours."""
        await asyncio.gather(*(self.leave(credential) for credential in self._tenures))

    def _tenure(self, credential: CredentialKey) -> Tenure:
        tenure = self._tenures.get(credential)
        if tenure is None:
            pace = self._doors.make_pace(credential)
            tenure = self._tenures[credential] = Tenure(self._around, pace)
        return tenure

    async def _take(self, credential: CredentialKey, tenure: Tenure) -> None:
        tenure.key = lease_key(self._doors.name_of(credential, await self._read_salt()))
        where, wait_s = self._doors.where(credential), FIRST_POLL_S
        seen: Condition = None
        seen_at, told = 0.0, False
        tried: Condition = None
        misses = 0
        while True:
            lease, condition = await tenure.read()
            now = self._around.monotonic()
            if condition != seen:
                seen, seen_at = condition, now
            # A record that nobody has renewed for so long is dead whatever the clocks of others say.
            if tenure.is_free(lease) or now - seen_at >= LEASE_S:
                if await tenure.begin(lease, condition, where):
                    tenure.shared = told or lease.used_since(self._around.me.began_at)
                    return
                # Somebody was quicker, or the sink says that puts may have landed, and they never do.
                misses = misses + 1 if condition == tried else 1
                if misses == PUT_ATTEMPTS:
                    raise never_written(tenure.key)
                tried = condition
                await self._around.sleep(misses * FIRST_POLL_S * (0.5 + self._doors.random()))
                continue
            if self._when_busy is WhenBusy.SKIP:
                tenure.refused = (
                    f"{where}: busy: run {lease.run_id} uses the same credential; run again when it has ended, or set"
                    f' run.when_busy to "wait"'
                )
                return
            if not told:
                told = True
                self._doors.observer(Waiting(where=where, holder=lease.run_id))
            await self._around.sleep(wait_s * (0.5 + self._doors.random()))
            wait_s = min(2 * wait_s, LONGEST_POLL_S)

    async def _read_salt(self) -> bytes:
        """The sink's salt, the object as it is, made by whoever comes first."""
        async with self._salting:
            if self._salt is None:
                made = json.dumps({"salt": secrets.token_hex(_SALT_BYTES)}).encode()
                self._salt = await get_or_put(self._around.store, salt_key(), made)
            return self._salt

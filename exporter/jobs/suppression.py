"""The list of people who are left out of the sink, as it stands there: read by every run, added to by `forget`."""

import secrets
from collections.abc import Awaitable, Callable

from exporter.core.erasure import (
    PEPPER_BYTES,
    Person,
    Suppressed,
    parse_pepper,
    parse_subjects,
    pepper_to_json,
    subjects_to_json,
)
from exporter.core.partition import pepper_key, suppressed_key
from exporter.errors import DataError, NotFoundError, StoreError
from exporter.jobs.conflict import MOST_CONFLICTS, back_off
from exporter.jobs.put import get_or_put, put_if
from exporter.store.base import Absent, Condition, ObjectStore


class Suppression:
    """The list of one sink."""

    def __init__(self, store: ObjectStore) -> None:
        """Nothing is read yet."""
        self._store = store
        self._etag: Condition = Absent()
        self._latest = Suppressed()

    async def read(self) -> Suppressed:
        """The list as it is now; equal to the one before where nothing changed.

        Raises:
            DataError: it cannot be read, or its key is gone: then nobody can be told who is on it.
            StoreError: the sink cannot be read.
        """
        try:
            data, info = await self._store.get(suppressed_key())
        except NotFoundError:
            self._etag, self._latest = Absent(), Suppressed()
            return self._latest
        if info.etag != self._etag:
            try:
                subjects = parse_subjects(data)
            except ValueError as error:
                raise DataError(f"{suppressed_key()}: {error}; restore it") from error
            pepper = await self._pepper()
            if pepper is None:
                raise DataError(
                    f"{pepper_key()}: is gone, so that nobody can tell who is on the list beside it; restore it, or"
                    f" delete {suppressed_key()} and forget everybody again"
                )
            self._etag, self._latest = info.etag, Suppressed(pepper=pepper, subjects=subjects)
        return self._latest

    async def add(
        self, person: Person, *, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float]
    ) -> frozenset[str]:
        """Put *person* on the list.

        Returns:
            How they stand on it.

        Raises:
            DataError, StoreError: it could not be read or written.
        """
        await self.read()
        made = pepper_to_json(secrets.token_bytes(PEPPER_BYTES))
        subjects = person.subjects(_parsed(await get_or_put(self._store, pepper_key(), made)))
        for conflicts in range(MOST_CONFLICTS):
            await back_off(conflicts, sleep=sleep, random=random)
            known = (await self.read()).subjects
            if subjects <= known:
                return subjects
            if await put_if(self._store, suppressed_key(), subjects_to_json(known | subjects), self._etag):
                return subjects
        raise StoreError(f"{suppressed_key()}: others replaced it {MOST_CONFLICTS} times meanwhile; run again")

    async def _pepper(self) -> bytes | None:
        try:
            data, _ = await self._store.get(pepper_key())
        except NotFoundError:
            return None
        return _parsed(data)


def _parsed(pepper: bytes) -> bytes:
    try:
        return parse_pepper(pepper)
    except ValueError as error:
        raise DataError(f"{pepper_key()}: {error}; restore it") from error

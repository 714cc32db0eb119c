"""Which fetches are staged in which segments, and which segments nobody needs any more.

Rules kept here: a segment stays while any fetch in it is neither published nor given up; one that is spared stays
whatever becomes of them. Nothing is read or written here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from exporter.core.plan import Task
from exporter.core.report import DatasetName
from exporter.core.staged import Seal, StagedFetch, StagedPage
from exporter.errors import DataError


class Use(NamedTuple):
    """A segment, and a fetch that is staged in it."""

    segment: str
    dataset: DatasetName
    fetch_id: str


class Segments:
    """The segments of a run, and those of earlier runs that it goes on with."""

    def __init__(self, spared: frozenset[str] = frozenset()) -> None:
        """There are none yet.

        Args:
            spared: keys of segments that are never unused: they hold what others need too.
        """
        self._fetches: dict[tuple[DatasetName, str], StagedFetch] = {}
        self._users: dict[str, set[tuple[DatasetName, str]]] = {}
        self._spared = spared

    def adopt(self, dataset: DatasetName, fetch: StagedFetch) -> None:
        """Go on with what an earlier run staged."""
        self._fetches[dataset, fetch.fetch_id] = fetch
        for key in fetch.segments:
            self._users.setdefault(key, set()).add((dataset, fetch.fetch_id))

    def add(self, dataset: DatasetName, key: str, page: StagedPage, began_at: datetime) -> None:
        """*page* is staged in the segment *key*.

        Args:
            dataset: whose page.
            key: of the segment.
            page: one of its pages.
            began_at: when the run began that asked for it, UTC.
        """
        fetch = self._fetches.setdefault(
            (dataset, page.fetch_id),
            StagedFetch(studio=page.studio, window=page.window, fetch_id=page.fetch_id, began_at=began_at),
        )
        fetch.pages[page.offset] = (key, page)
        self._users.setdefault(key, set()).add((dataset, page.fetch_id))

    def seal(self, dataset: DatasetName, seal: Seal) -> None:
        """A fetch, of which a page was added, is whole."""
        self._fetches[dataset, seal.fetch_id].seal = seal

    def fetch(self, task: Task, fetch_id: str) -> StagedFetch:
        """What is staged of a fetch of *task*."""
        return self._fetches[task.dataset.name, fetch_id]

    def measure(self, task: Task, fetch_id: str) -> int:
        """What the rows of the whole fetch of *task* add up to.

        Raises:
            DataError: it is not whole.
        """
        return seal_of(self.fetch(task, fetch_id)).measure

    def unsealed(self) -> set[str]:
        """Ids of the fetches that are not whole yet."""
        return {fetch_id for (_, fetch_id), fetch in self._fetches.items() if not fetch.seal}

    def forget(self, dataset: DatasetName, fetch_id: str) -> Sequence[Use]:
        """Forget a fetch; where it is known, the segments that it is staged in."""
        fetch = self._fetches.pop((dataset, fetch_id), None)
        return [Use(key, dataset, fetch_id) for key in fetch.segments] if fetch else []

    def unused(self, uses: Iterable[Use]) -> Sequence[str]:
        """Keys of the segments that nobody needs any more once these fetches do not."""
        unused: list[str] = []
        for key, dataset, fetch_id in uses:
            users = self._users.get(key, set())
            users.discard((dataset, fetch_id))
            if not users and key not in self._spared:
                self._users.pop(key, None)
                unused.append(key)
        return unused


def seal_of(fetch: StagedFetch) -> Seal:
    """What says that *fetch* is whole.

    Raises:
        DataError: it is not.
    """
    if fetch.seal is None:
        raise DataError(f"{fetch.studio} {fetch.window}: is not whole")
    return fetch.seal

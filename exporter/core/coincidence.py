"""Finds studios of one credential that are answered with each other's rows.

Source: CONTRACT section 6, "Studio headers on reports": a studio header that the API ignores would give every studio
the same data under a wrong name. Ids belong to one studio alone, so two studios with the same ids are one.
"""

from exporter.core.plan import Task
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey, StudioId
from exporter.core.window import Window

#: Ids that two sketches must share at the least, and their share of the larger one.
FEWEST_SHARED = 3
SHARED = 0.9


class Coincidence:
    """The sketches of the windows seen so far, of credentials with several studios."""

    def __init__(self) -> None:
        self._seen: dict[tuple[CredentialKey, DatasetName, Window], dict[StudioId, frozenset[int]]] = {}

    def add(self, task: Task, ids: frozenset[int]) -> StudioId | None:
        """Another studio of the same credential that has the same *ids* in the same window, if there is one."""
        key = (task.studio.credential, task.dataset.name, task.window)
        others = self._seen.setdefault(key, {})
        twin = next((s for s, theirs in others.items() if s != task.studio.id and _coincide(ids, theirs)), None)
        others[task.studio.id] = ids
        return twin


def _coincide(a: frozenset[int], b: frozenset[int]) -> bool:
    shared = len(a & b)
    return shared >= FEWEST_SHARED and shared >= SHARED * max(len(a), len(b))

"""Finds studios of one credential that are answered with each other's rows.

Source: docs/api.md section 5, "Studio headers on reports": a studio header that the API ignores would give every studio
the same data under a wrong name. Ids belong to one studio alone, so two studios with the same ids are one.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from math import ceil

from exporter.core.plan import Task
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey, StudioId
from exporter.core.window import Window

#: Ids that two sketches must share at the least, and their share of the larger one.
FEWEST_SHARED = 3
SHARED = 0.9


@dataclass(slots=True)
class _Window:
    """The sketches of one window: the ids of each studio, packed, and the studios that a small id is of."""

    ids: dict[StudioId, "array[int]"] = field(default_factory=dict)
    of: dict[int, list[StudioId]] = field(default_factory=dict)


class Coincidence:
    """The sketches of the windows seen so far, of credentials with several studios.

    A credential may have a thousand studios, so that a window is not held against each of the others: where two have
    enough ids in common, one of them is among the smallest of both.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[CredentialKey, DatasetName, Window], _Window] = {}

    def add(self, task: Task, ids: frozenset[int]) -> StudioId | None:
        """Another studio of the same credential that has the same *ids* in the same window, if there is one.

        Args:
            task: whose ids.
            ids: integers of 64 bits.
        """
        seen = self._seen.setdefault((task.studio.credential, task.dataset.name, task.window), _Window())
        studio, marks = task.studio.id, _marks(ids)
        alike = dict.fromkeys(other for mark in marks for other in seen.of.get(mark, ()))
        twin = next((other for other in alike if other != studio and _coincide(ids, seen.ids[other])), None)
        seen.ids[studio] = array("q", ids)
        for mark in marks:
            seen.of.setdefault(mark, []).append(studio)
        return twin


def _marks(ids: frozenset[int]) -> Sequence[int]:
    """The smallest *ids*, one more than may be missing in those of a twin."""
    return nsmallest(len(ids) - ceil(SHARED * len(ids)) + 1, ids)


def _coincide(a: frozenset[int], b: "array[int]") -> bool:
    shared = sum(number in a for number in b)
    return shared >= FEWEST_SHARED and shared >= SHARED * max(len(a), len(b))

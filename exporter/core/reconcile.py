"""Holding what is published of a studio against the API's own totals."""

from dataclasses import dataclass
from enum import StrEnum


class Reconcile(StrEnum):
    """What becomes of a studio whose sum is not the API's."""

    WARN = "warn"  # it is published, and told
    FAIL = "fail"  # its published rows stay as they were, and its tasks fail
    OFF = "off"  # nobody asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One studio's sum over a range of days, and the API's own.

    Attributes:
        studio: whose.
        start, end: the days as YYYY-MM-DD, the end not included.
        published: what the rows add up to once the run is through, including those of people who are left out; where
            they were not published because the sums differ, what they would have added up to.
        source: what the API says; None where it did not tell.
        agrees: whether the two are one.
        error: why the API did not tell.
    """

    studio: str
    start: str
    end: str
    published: int
    source: int | None
    agrees: bool
    error: str | None = None

    def __str__(self) -> str:
        where = f"{self.studio} {self.start}..{self.end}"
        if self.source is None:
            return f"{where}: the API did not tell its total ({self.error})"
        if self.agrees:
            return f"{where}: {self.published} are published, as the API counts them"
        return f"{where}: the API counts {self.source}, the rows add up to {self.published}"

"""The door to the report API: what a job may ask of whoever stands behind it."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from exporter.core.answer import Page, PageRequest


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    OK = "ok"
    THROTTLED = "throttled"
    FAILED = "failed"
    #: The API does not sort this report as asked; from now on it is asked for it as it comes.
    UNSORTED = "unsorted"


class Attempt(NamedTuple):
    """One request that had its turn.

    Attributes:
        request: what was asked.
        number: which attempt; counts from 1.
        outcome: how it ended.
        status: of the answer; None where none came.
        size_bytes: of its body, as it came over the network.
        seconds: from the sending to the end.
    """

    request: PageRequest
    number: int
    outcome: AttemptOutcome
    status: int | None
    size_bytes: int
    seconds: float


class ReportSource(Protocol):
    """Where pages come from."""

    async def fetch(self, request: PageRequest) -> Page:
        """One page, after as many attempts as the retry policy allows, each within the credential's pace.

        Raises:
            UnavailableError: still no usable answer after the last attempt.
            RejectedError: the request will never be answered; this task fails.
            StudioError: nothing of this studio will be answered.
            CredentialError: nothing of this credential will be answered.
        """
        ...

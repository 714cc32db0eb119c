"""What the simulated API is asked and what it answers, before any socket sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from exporter.errors import ExporterError

JSON_TYPE = "application/json"
CSV_TYPE = "text/csv; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request.

    Attributes:
        method: in capitals.
        path: decoded, from the root of the server.
        params: decoded pairs, in order, repeated names kept.
        headers: found whatever the case of the name.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]


class Delivery(Enum):
    """How an answer leaves the server."""

    WHOLE = auto()
    LATE = auto()
    CUT = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response.

    Attributes:
        body: as it would be without compression.
        provider_id: the studio whose report it is; None where it is no report.
        rows: how many rows it holds; None where it is no report.
        fault: name of the fault that shaped it.
        delivery: what the connection does to it.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    provider_id: int | None = None
    rows: int | None = None
    fault: str | None = None
    delivery: Delivery = Delivery.WHOLE


class RefusalError(ExporterError):
    """A request that is answered with an error, in the form the API documents.

    Source: API reference, "Errors"; the codes are listed in its public documentation or were seen in use.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        field_errors: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field_errors = dict(field_errors or {})
        self.headers = dict(headers or {})

    def answer(self, *, fault: str | None = None) -> Answer:
        """The response that says so."""
        document = {
            "code": self.code,
            "field_errors": self.field_errors,
            "message": str(self),
            "type": "invalid_request_error",
        }
        return Answer(
            status=self.status,
            content_type=JSON_TYPE,
            body=msgspec.json.encode(document),
            headers=self.headers,
            fault=fault,
        )


def invalid_parameters(field_errors: Mapping[str, list[str]]) -> RefusalError:
    """400, naming every parameter that is missing or not acceptable."""
    names = ", ".join(sorted(field_errors))
    return RefusalError(
        f"These parameters are not acceptable: {names}.",
        status=400,
        code="parameter_invalid",
        field_errors=field_errors,
    )

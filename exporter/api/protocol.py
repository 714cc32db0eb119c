"""The report API's language: a page's request in words. Never sees a socket; what answers mean is in `answers.py`.

Rules kept here: a request names everything it depends on (format, order, paging), so that no default of the API can
change a result.

Source: docs/api.md, sections 1, 3 and 5, unless a line says otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote, urlencode

from exporter import __version__
from exporter.core.answer import Format, PageRequest
from exporter.core.report import Pivot
from exporter.core.window import last_instant
from exporter.errors import CredentialError

#: Words before the token that integrations of this API are seen to use. Source: docs/api.md section 3.
AUTH_SCHEMES = ("Bearer", "Token", "JWT")


class Pagination(StrEnum):
    """How a page is named: by its first row, or by its number."""

    OFFSET = "offset"
    PAGE = "page"


class ListStyle(StrEnum):
    """How a list stands in a query: `a,b`, the name once for each value, or the name with brackets for each."""

    COMMA = "comma"
    REPEAT = "repeat"
    BRACKETS = "brackets"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """How the API is spoken to.

    Attributes:
        base_url: everything before a report's path.
        auth_scheme: the word before the token.
        timeout_s: time for one attempt, from its connection to the last byte.
        max_attempts: per page, for errors that may pass.
        page_size: rows in a page, 1 to 100; whoever makes the requests counts in it.
        pagination: how a page is named.
        list_style: how lists are written.
        studio_headers: whether the studio is chosen by headers.
        max_body_bytes: size of an answer at most, unpacked.
    """

    base_url: str
    auth_scheme: str = "Bearer"
    timeout_s: float = 30.0
    max_attempts: int = 8
    page_size: int = 100
    pagination: Pagination = Pagination.OFFSET
    list_style: ListStyle = ListStyle.COMMA
    studio_headers: bool = True
    max_body_bytes: int = 16 * 1024 * 1024


def build_stem(request: PageRequest, options: ApiOptions, *, is_sorted: bool = True) -> str:
    """What the addresses of all pages of one window begin with, percent-encoded; equal windows have equal ones.

    With *is_sorted*, an order is asked for.
    """
    dataset = request.dataset
    spec = dataset.spec
    start, end = request.window.instants(request.studio.timezone)
    pairs = list(_listed("columns", (c.asked_as for c in dataset.columns), options.list_style))
    for known in spec.filters:
        values = [str(value) for value in dataset.filters.get(known.name, ())]
        pairs += _listed(known.name, values, options.list_style) if known.many else [(known.name, v) for v in values]
    pairs += [(spec.since, _utc(start)), (spec.until, _utc(last_instant(end))), ("format", request.format.value)]
    pairs += _listed("sort", dataset.sort_keys if is_sorted else (), options.list_style)
    if spec.pivots:
        pairs.append(("pivot", dataset.pivot.value))
        if dataset.pivot is not Pivot.ALL:
            pairs.append(("max_pivot_columns", str(dataset.max_pivot_columns)))
    return f"{options.base_url.rstrip('/')}{spec.path}?{urlencode(pairs, quote_via=quote, safe=',:')}"


def _listed(name: str, values: Iterable[str], style: ListStyle) -> list[tuple[str, str]]:
    """A list as pairs of a query, each value once; none for an empty list."""
    distinct = list(dict.fromkeys(values))
    if not distinct:
        return []
    match style:
        case ListStyle.COMMA:
            return [(name, ",".join(distinct))]
        case ListStyle.REPEAT:
            return [(name, value) for value in distinct]
        case ListStyle.BRACKETS:
            return [(f"{name}[]", value) for value in distinct]
        case _:
            assert_never(style)


def page_query(request: PageRequest, options: ApiOptions) -> str:
    """What tells one page of a window from another; goes behind `build_stem`."""
    match options.pagination:
        case Pagination.OFFSET:
            return f"&limit={request.limit}&offset={request.offset}"
        case Pagination.PAGE:
            return f"&page={request.offset // request.limit + 1}&page_size={request.limit}"
        case _:
            assert_never(options.pagination)


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def build_headers(request: PageRequest, options: ApiOptions, token: str) -> dict[str, str]:
    """The headers of one page's request, the credential among them.

    Raises:
        CredentialError: *token* is empty or cannot stand in a header.
    """
    if not token or not all("!" <= character <= "~" for character in token):
        raise CredentialError(
            f"{request}: the token of {request.studio.credential} is empty or holds blanks, line ends or letters that "
            "no header can carry; check the secret that it is read from"
        )
    headers = {
        "Authorization": f"{options.auth_scheme} {token}",
        "Accept": "text/csv" if request.format is Format.CSV else "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"studio-exporter/{__version__}",
    }
    if options.studio_headers:
        headers["TeamUp-Request-Mode"] = "provider"
        if request.studio.provider_id is not None:
            headers["TeamUp-Provider-ID"] = str(request.studio.provider_id)
    return headers

"""What an answer of the report API means: a `Page`, or the error whose class says what to do. Never sees a socket.

Rules kept here: what may pass is told from what will not; a text of the server is shown only as a short line without
control characters, e-mail addresses and the credential.

Source: docs/api.md, sections 2 to 5, unless a line says otherwise.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec

from exporter.api.envelope import EnvelopeReader, TooManyHeadersError
from exporter.api.protocol import AUTH_SCHEMES, ApiOptions
from exporter.core.answer import MOST_COLUMNS, Format, Page, PageRequest
from exporter.core.text import excerpt
from exporter.errors import (
    CredentialError,
    DataError,
    RateLimitedError,
    RejectedError,
    SourceError,
    StudioError,
    UnavailableError,
)

#: A wait that the server asks for is never taken to be longer than this.
_LONGEST_RETRY_AFTER_S = 3600.0

#: Characters of a server's text that are looked at.
_READ_CHARS = 2000

#: Bytes of an error's body that are looked at.
_LONGEST_COMPLAINT = 64 * 1024

#: What separates the values of a body: there are at most so many more values than separators.
_SEPARATORS = (b",", b"\n", b"\r")

#: Charsets that a body is read in. Python knows many more, of which some take time without end for a long text.
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSETS = _UTF8 | {"iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"}

#: What CSV is served as. Source: none; the API names no content type for it.
_CSV_TYPES = frozenset({"text/csv", "application/csv", "text/plain", "application/octet-stream", ""})

#: Statuses below 500 that speak of the moment and not of the request. Source: RFC 9110 15.5.9, RFC 8470 5.2.
_PASSING = frozenset({408, 425})

_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
#: The one parameter that can be left out, in a complaint without a list of parameters.
_SORT = re.compile(r"\bsort\b")
_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What came for one request.

    Attributes:
        status: of HTTP.
        headers: names in any case.
        body: unpacked.
        received_at: when the body was complete, UTC.
        size_bytes: of the body as it travelled.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    received_at: datetime
    size_bytes: int

    def header(self, name: str) -> str:
        """The value under *name* in whatever case; empty where there is none."""
        value = self.headers.get(name)
        if value is not None:
            return value
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    @property
    def media_type(self) -> str:
        """The content type in lower case without its parameters; empty where none is named."""
        return self.header("Content-Type").partition(";")[0].strip().lower()


def parse_answer(
    request: PageRequest,
    answer: RawAnswer,
    options: ApiOptions,
    *,
    secret: str = "",
    envelopes: EnvelopeReader | None = None,
) -> Page:
    """The page that *answer* is.

    Args:
        request: what was asked.
        answer: what came.
        options: how it was asked, for the way out in a message.
        secret: the token; masked where the server repeats it.
        envelopes: remembers the envelopes of answers before; None where there are none.

    Raises:
        UnavailableError: no usable answer; may pass.
        RateLimitedError: too many requests.
        RejectedError: this request will never be answered.
        StudioError: nothing of this studio will be answered.
        CredentialError: nothing of this credential will be answered.
        DataError: a report, but not in the documented shape.
    """
    if answer.status != 200:  # noqa: PLR2004 - a status is best known by its number
        raise _refusal(request, answer, options, secret)
    body = _to_utf8(request, answer)
    media_type, first = answer.media_type, body[:_READ_CHARS].lstrip()[:1]
    if not first:
        raise UnavailableError(f"{request}: an empty answer", status=answer.status)
    if media_type == "text/html" or first == b"<":
        raise UnavailableError(f"{request}: an HTML page instead of {_name(request.format)}", status=answer.status)
    if "json" in media_type or (first == b"{" and media_type != "text/csv"):
        return _parse_json(request, answer, body, envelopes or EnvelopeReader())
    if request.format is Format.CSV and media_type in _CSV_TYPES:
        _refuse_overfull(request, body)
        return Page(
            request=request,
            format=Format.CSV,
            headers=(),
            total=None,
            body=body,
            received_at=answer.received_at,
            size_bytes=answer.size_bytes,
        )
    way_out = '; set api.format to "csv" if this API has nothing else' if media_type == "text/csv" else ""
    shown = _excerpt(media_type) or "an answer without content type"
    raise UnavailableError(f"{request}: {shown} instead of {_name(request.format)}{way_out}", status=answer.status)


def _refuse_overfull(request: PageRequest, body: bytes) -> None:
    """Refuse a body of more values than any page has, before each of them becomes an object in memory.

    Raises:
        DataError: the body holds too many separators.
    """
    most = MOST_COLUMNS * (request.limit + 1)
    if len(body) > most and sum(body.count(separator) for separator in _SEPARATORS) > most:
        raise DataError(f"{request}: the answer holds more than {most} values; the API may have changed")


def _name(kind: Format) -> str:
    return kind.value.upper()


def _to_utf8(request: PageRequest, answer: RawAnswer) -> bytes:
    """The body in UTF-8 without a byte order mark."""
    named = _CHARSET.search(answer.header("Content-Type"))
    charset = named.group(1) if named else "utf-8"
    if charset.lower() not in _CHARSETS:
        raise _unreadable(request, answer, charset)
    if charset.lower() in _UTF8 and answer.body.isascii():
        return answer.body
    try:
        text = answer.body.decode(charset)
    except ValueError as error:
        raise _unreadable(request, answer, charset) from error
    if charset.lower() in _UTF8 and not text.startswith("\ufeff"):
        return answer.body
    return text.removeprefix("\ufeff").encode()


def _unreadable(request: PageRequest, answer: RawAnswer, charset: str) -> UnavailableError:
    return UnavailableError(f"{request}: the answer is no text in {_excerpt(charset)}", status=answer.status)


def _parse_json(request: PageRequest, answer: RawAnswer, body: bytes, envelopes: EnvelopeReader) -> Page:
    if not body[:_READ_CHARS].lstrip().startswith(b"{"):
        raise UnavailableError(f"{request}: the answer is no JSON object", status=answer.status)
    try:
        total, headers, rows = envelopes.read(body, request.limit)
    except TooManyHeadersError:
        raise DataError(
            f"{request}: the answer describes its columns in too many bytes; the API may have changed"
        ) from None
    except msgspec.ValidationError as error:
        raise DataError(
            f"{request}: the answer is no report as documented ({error}); the API may have changed"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnavailableError(f"{request}: the answer is no complete JSON", status=answer.status) from error
    if rows == b"null" and total == 0:
        rows = b"[]"
    if not rows.startswith(b"["):
        raise DataError(f"{request}: the answer holds no list of rows; the API may have changed")
    _refuse_overfull(request, rows)
    return Page(
        request=request,
        format=Format.JSON,
        headers=headers,
        total=total,
        body=rows,
        received_at=answer.received_at,
        size_bytes=answer.size_bytes,
    )


def _refusal(request: PageRequest, answer: RawAnswer, options: ApiOptions, secret: str) -> SourceError:
    """What an answer other than 200 means."""
    status = answer.status
    complaint = _parse_complaint(answer, secret)
    said = f": {complaint.text}" if complaint.text else ""
    if status == 401 or (status == 403 and complaint.code == "authentication_failed"):  # noqa: PLR2004 - as above
        others = " or ".join(scheme for scheme in AUTH_SCHEMES if scheme != options.auth_scheme)
        return CredentialError(
            f"{request}: the API refused the credential ({status}){said}; check the token of this studio, or set "
            f"api.auth_scheme to {others} instead of {options.auth_scheme}",
            status=status,
        )
    if 300 <= status < 400:  # noqa: PLR2004 - as above
        return RejectedError(
            f"{request}: the API points to {_host(answer.header('Location'))} ({status}), and the credential is not "
            "taken there; set api.base_url to where the API is",
            status=status,
        )
    retry_after_s = parse_retry_after(answer.header("Retry-After"), answer.received_at)
    match status:
        case 403:
            return StudioError(
                f"{request}: the API refused this studio (403){said}; check its provider_id and the rights of its "
                "token",
                status=status,
            )
        case 404:
            return StudioError(
                f"{request}: the API knows no such report or studio (404){said}; check provider_id and api.base_url",
                status=status,
            )
        case 429:
            return RateLimitedError(
                f"{request}: too many requests (429){said}; lower api.requests_per_minute",
                status=status,
                retry_after_s=retry_after_s,
            )
        case _ if 400 <= status < 500 and status not in _PASSING:  # noqa: PLR2004 - as above
            return RejectedError(
                f"{request}: the API refused the request ({status}){said}; check this report's columns and filters, "
                "and api.list_style",
                status=status,
                fields=complaint.fields,
            )
        case _:
            return UnavailableError(
                f"{request}: the API answered {status}{said}", status=status, retry_after_s=retry_after_s
            )


def _host(location: str) -> str:
    """Where a redirect leads, without the path and query, which may hold secrets."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return _excerpt(host) if host else "another place of the same host" if location else "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Complaint:
    """What an error's body says; *text* is fit to be shown, *fields* are the parameters that it complains of."""

    text: str = ""
    code: str = ""
    fields: tuple[str, ...] = ()


def _parse_complaint(answer: RawAnswer, secret: str) -> _Complaint:
    """The documented error body, `{"detail": ...}`, an HTML page, plain text or nothing."""
    try:
        # What is cut is no JSON any more, and is shown as text.
        document: object = msgspec.json.decode(answer.body[:_LONGEST_COMPLAINT])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return _Complaint(text=_excerpt(_without_tags(answer.body), secret))
    message = next((m for key in ("message", "detail", "error") if isinstance(m := document.get(key), str)), "")
    errors = document.get("field_errors")
    by_field = {k: v if isinstance(v, list) else [v] for k, v in errors.items()} if isinstance(errors, dict) else {}
    details = [f"{name}: {m}" for name, messages in by_field.items() for m in messages if isinstance(m, str)]
    code = document.get("code")
    return _Complaint(
        text=_excerpt(" - ".join(filter(None, (message, ", ".join(details)))), secret),
        code=code if isinstance(code, str) else "",
        fields=tuple(by_field) or tuple(_SORT.findall(message)[:1]),
    )


def _without_tags(body: bytes) -> str:
    """The readable part of a page: its title, else its text."""
    text = body[: 8 * _READ_CHARS].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return html.unescape(title.group(1) if title else _TAG.sub(" ", text))


def _excerpt(text: str, secret: str = "") -> str:
    """One short printable line; semicolons become commas, since they part a message from its way out."""
    masked = text.replace(secret, "***") if secret else text
    return excerpt(_EMAIL.sub("***", masked[:_READ_CHARS].replace(";", ",")))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from a number or an HTTP date.

    Args:
        value: the header; None or empty where there was none.
        now: aware; what a date is held against.

    Returns:
        0.0 for a moment that is over, an hour at most, None for what is neither number nor date.
    """
    text = (value or "").strip()
    if _DECIMAL.fullmatch(text):
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        wait_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser's ways to say no
        return None
    return min(max(wait_s, 0.0), _LONGEST_RETRY_AFTER_S)

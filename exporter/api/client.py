"""The report API over aiohttp: moves bytes and keeps time; what they mean is in `protocol.py` and `answers.py`.

Rules kept here: one turn at the gate is one request on the wire; redirects are not followed, so the credential stays
with the host it was given for; foreign exceptions end here.
"""

import asyncio
import errno
import ssl
import urllib.request
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.api.answers import RawAnswer, parse_answer
from exporter.api.base import Attempt, AttemptOutcome
from exporter.api.body import Body, TooLargeError
from exporter.api.envelope import EnvelopeReader
from exporter.api.protocol import ApiOptions, build_headers, build_stem, page_query
from exporter.api.retry import RetryPolicy
from exporter.core.answer import Format, Page, PageRequest
from exporter.core.loopback import is_loopback
from exporter.core.report import DatasetName
from exporter.core.studio import CredentialKey
from exporter.errors import RateLimitedError, RejectedError, UnavailableError

#: Windows whose addresses and headers are remembered; more than are open at a time.
_MOST_REMEMBERED = 1024

#: How long a looked-up address is used.
_DNS_CACHE_S = 300


class RateLimiter(Protocol):
    """Who lets requests of a credential through, in its pace: what the gate is to the client."""

    def turn(self, credential: CredentialKey, day: date) -> AbstractAsyncContextManager[None]:
        """One request's time on the wire; the error that leaves the block tells the gate how it went.

        Of those that wait, the one whose first *day* is the earliest goes first.
        """
        ...


#: Told of each attempt that had its turn, at its end.
OnAttempt = Callable[[Attempt], None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _tell_nobody(_attempt: Attempt) -> None:
    pass


class ReportClient:
    """A `ReportSource` that asks over the network.

    Args:
        session: from `open_session`; stays the caller's.
        options: how the API is spoken to.
        tokens: gives each credential's token, anew for each attempt.
        gate: paces the credentials.
        retry: how long to insist; by default `options.max_attempts` in real time.
        now: aware; stamps the pages.
        on_attempt: must not block or raise.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        options: ApiOptions,
        tokens: Mapping[CredentialKey, Callable[[], str]],
        gate: RateLimiter,
        *,
        retry: RetryPolicy | None = None,
        now: Callable[[], datetime] = _utc_now,
        on_attempt: OnAttempt = _tell_nobody,
    ) -> None:
        self._session = session
        self._options = options
        self._tokens = tokens
        self._gate = gate
        self._retry = retry or RetryPolicy(max_attempts=options.max_attempts)
        self._now = now
        self._on_attempt = on_attempt
        self._envelopes = EnvelopeReader()
        self._remembered: dict[tuple[int, int, int, bool], _Common] = {}
        self._unsorted: set[DatasetName] = set()

    async def fetch(self, request: PageRequest) -> Page:
        """One page; see `ReportSource`. `DataError` where a report came in another shape than documented."""
        common = self._common(request)
        try:
            return await self._insist(request, common)
        except RejectedError as error:
            if not (common.is_sorted and _is_about_sort(error)):
                raise
        return await self._insist(request, self._common(request))

    async def _insist(self, request: PageRequest, common: "_Common") -> Page:
        url = URL(common.stem + page_query(request, self._options), encoded=True)
        return await self._retry.run(request, partial(self._attempt, request, url, common))

    def _common(self, request: PageRequest) -> "_Common":
        """What does not change from page to page, remembered: a window may have many."""
        key = (id(request.dataset), id(request.studio), id(request.window), request.format is Format.CSV)
        common = self._remembered.get(key)
        if common is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            is_sorted = request.dataset.name not in self._unsorted
            stem = build_stem(request, self._options, is_sorted=is_sorted)
            common = self._remembered[key] = _Common(request, stem, is_sorted)
        return common

    async def _attempt(self, request: PageRequest, url: URL, common: "_Common", number: int) -> Page:
        credential = request.studio.credential
        async with self._gate.turn(credential, request.window.start):
            token = self._tokens[credential]()
            if token != common.token:
                common.token, common.headers = token, CIMultiDict(build_headers(request, self._options, token))
            body = Body(self._options.max_body_bytes)
            outcome, status = AttemptOutcome.FAILED, None
            clock = asyncio.get_running_loop().time
            began = clock()
            try:
                answer = await self._ask(request, url, common.headers, body)
                status = answer.status
                page = parse_answer(request, answer, self._options, secret=token, envelopes=self._envelopes)
                outcome = AttemptOutcome.OK
                return page
            except RateLimitedError:
                outcome = AttemptOutcome.THROTTLED
                raise
            except RejectedError as error:
                if _is_about_sort(error) and request.dataset.name not in self._unsorted:
                    outcome = AttemptOutcome.UNSORTED
                    self._unsorted.add(request.dataset.name)
                    self._remembered.clear()
                raise
            finally:
                self._on_attempt(
                    Attempt(
                        request=request,
                        number=number,
                        outcome=outcome,
                        status=status,
                        size_bytes=body.size_bytes,
                        seconds=clock() - began,
                    )
                )

    async def _ask(self, request: PageRequest, url: URL, headers: CIMultiDict[str], body: Body) -> RawAnswer:
        """One exchange, within the time limit."""
        seconds = self._options.timeout_s
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                whole = await _receive(response, body)
                return RawAnswer(
                    status=response.status,
                    headers=response.headers,
                    body=whole,
                    received_at=self._now(),
                    size_bytes=body.size_bytes,
                )
        except TooLargeError as error:
            raise RejectedError(
                f"{request}: the answer is larger than {self._options.max_body_bytes} bytes; lower api.page_size"
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or "not valid"
            raise RejectedError(
                f"{request}: the TLS certificate of {error.host} was refused ({reason}); check api.base_url and the "
                "certificate authorities that this machine trusts"
            ) from error
        except _BREAKS as error:
            raise _translate(request, error, seconds) from error


@dataclass(slots=True, repr=False)
class _Common:
    """What the requests for all pages of one window have in common.

    Attributes:
        first: of them; kept, so that the ids of what it names belong to nothing else meanwhile.
        stem: what their addresses begin with.
        is_sorted: whether they ask for an order.
        token: that *headers* hold.
        headers: of each.
    """

    first: PageRequest
    stem: str
    is_sorted: bool
    token: str | None = None
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)


def _is_about_sort(error: RejectedError) -> bool:
    """Whether the API complains of the order that it is asked for, and of nothing else.

    Its pages are held against each other anyway. Source: docs/api.md section 5, "Order".
    """
    return bool(error.fields) and all(name.startswith("sort") for name in error.fields)


#: What an exchange ends in when the network or the body's packing fails.
_BREAKS = (aiohttp.ClientError, OSError, zlib.error, EOFError)


async def _receive(response: aiohttp.ClientResponse, body: Body) -> bytes:
    """The whole body; nothing where an error's body is broken, since the status alone says what to do."""
    try:
        body.begin(response.headers.get("Content-Encoding", ""))
        while chunk := await response.content.readany():
            body.feed(chunk)
        return body.end()
    except (TooLargeError, *_BREAKS):
        if response.ok:
            raise
        return b""


def _translate(request: PageRequest, error: Exception, timeout_s: float) -> UnavailableError:
    """A failure of the network that may pass; foreign texts are left out, since an address in them may hold secrets."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            what = f"no address for the host {error.host} (DNS); check api.base_url and the network"
        case aiohttp.ClientProxyConnectionError():
            what = f"no connection to the proxy ({_errno(error)}); check HTTPS_PROXY"
        case aiohttp.ClientHttpProxyError():
            what = f"a refusal by the proxy ({error.status}); check HTTPS_PROXY"
        case ssl.SSLError() | aiohttp.ClientSSLError():
            what = "no TLS connection"
        case aiohttp.ClientConnectorError():
            what = f"no connection to {error.host}:{error.port} ({_errno(error)})"
        case TimeoutError():
            what = f"no whole answer within {timeout_s:g} s"
        case aiohttp.ClientPayloadError() | EOFError():
            what = "an answer that was cut off"
        case zlib.error():
            what = "an answer with damaged compression"
        case aiohttp.ServerDisconnectedError() | _LostError() | OSError():
            what = f"a lost connection ({_errno(error)})"
        case _:
            what = f"no HTTP answer ({type(error).__name__})"
    return UnavailableError(f"{request}: {what}")


def _errno(error: BaseException) -> str:
    """The system's name for what went wrong, as ECONNREFUSED."""
    cause = error.__cause__ if isinstance(error, _LostError) and error.__cause__ else error
    number = cause.errno if isinstance(cause, OSError) else None
    return errno.errorcode.get(number or 0, "closed by the server")


class _LostError(aiohttp.ClientConnectionError):
    """A connection broke before the answer began."""


async def _ask_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request a second time, past the gate, where a kept connection was lost.

    Source: test_a_lost_connection_costs_one_request_a_turn; aiohttp repeats after exactly these two errors.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


@asynccontextmanager
async def open_session(options: ApiOptions, max_connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """The session that a `ReportClient` needs, closed at the end.

    It keeps no cookies and reads no netrc file. A proxy is taken from the environment (HTTPS_PROXY, HTTP_PROXY,
    NO_PROXY), but never for a loopback address. It has a connection for each request that the gate lets through, so
    that none spends its time limit on waiting for one.
    """
    proxy = _proxy(URL(options.base_url))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, limit_per_host=0, ttl_dns_cache=_DNS_CACHE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
        auto_decompress=False,
        middlewares=(_ask_once,),
        proxy=proxy.with_user(None) if proxy else None,
        proxy_auth=aiohttp.BasicAuth(proxy.user, proxy.password or "") if proxy and proxy.user else None,
    ) as session:
        yield session


def _proxy(base_url: URL) -> URL | None:
    """The proxy that the environment names for this address."""
    host = base_url.host or ""
    address = urllib.request.getproxies().get(base_url.scheme)
    if not address or is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return URL(address if "//" in address else f"http://{address}")

"""`ReportClient` against single answers: made ones (aioresponses), and real ones of tiny servers on loopback."""

import asyncio
import gzip
import logging
import os
import re
import socket
import ssl
import traceback
import tracemalloc
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses

from exporter.api.base import AttemptOutcome
from exporter.api.client import ReportClient, open_session
from exporter.api.protocol import ApiOptions
from exporter.api.retry import RetryPolicy
from exporter.core.answer import Format
from exporter.errors import (
    CredentialError,
    DataError,
    ExporterError,
    RateLimitedError,
    RejectedError,
    StudioError,
    UnavailableError,
)
from tests.support.api_answers import (
    CREDENTIAL,
    NOW,
    TOKEN,
    breaks_off,
    envelope,
    http,
    json_page,
    make_request,
    resets,
    says,
    tiny_server,
    waits_for,
)
from tests.support.tls import self_signed

BASE = "http://127.0.0.1:9/api/v2"
ANY = re.compile(r"^http://127\.0\.0\.1:9/api/v2/reports/.*")
KEY = ConnectionKey("api.example.test", 443, True, True, None, None, None)
REQUEST = make_request()
OK, FAILED, THROTTLED = AttemptOutcome.OK, AttemptOutcome.FAILED, AttemptOutcome.THROTTLED


class RecordingGate:
    """Lets everybody through and writes down with what error each turn ended."""

    def __init__(self):
        self.turns = []

    @asynccontextmanager
    async def turn(self, credential, day):
        assert credential == CREDENTIAL
        try:
            yield
        except BaseException as error:
            self.turns.append(type(error))
            raise
        self.turns.append(None)


class Setting:
    """A client and all that can be seen of it."""

    def __init__(self, session, options, *, token=TOKEN):
        self.token = token
        self.gate = RecordingGate()
        self.waits = []
        self.attempts = []
        retry = RetryPolicy(max_attempts=options.max_attempts, sleep=self.sleep, random=lambda: 1.0)
        self.client = ReportClient(
            session,
            options,
            {CREDENTIAL: lambda: self.token},
            self.gate,
            retry=retry,
            now=lambda: NOW,
            on_attempt=lambda attempt: self.attempts.append((attempt.number, attempt.outcome, attempt.size_bytes)),
        )

    async def sleep(self, seconds):
        self.waits.append(seconds)

    @property
    def outcomes(self):
        return [outcome for _, outcome, _ in self.attempts]

    async def fetch(self):
        return await self.client.fetch(REQUEST)

    async def refused(self, error):
        with pytest.raises(error) as caught:
            await self.fetch()
        assert type(caught.value) is error
        return str(caught.value)


@asynccontextmanager
async def setting(base_url=BASE, *, connections=4, token=TOKEN, **changes):
    options = ApiOptions(base_url=base_url, **({"max_attempts": 3} | changes))
    async with open_session(options, connections) as session:
        yield Setting(session, options, token=token)


@pytest.fixture
async def made():
    """A client whose answers are made."""
    async with setting() as given:
        yield given


@pytest.fixture
def answers():
    with aioresponses() as mocked:
        yield mocked


# Made answers


async def test_a_page_is_fetched_in_one_turn_and_counted(made, answers):
    answers.get(ANY, body=envelope())
    page = await made.fetch()
    assert (page.request, page.total, page.received_at) == (REQUEST, 1, NOW)
    assert page.size_bytes == len(envelope())
    assert made.attempts == [(1, OK, len(envelope()))]
    assert (made.gate.turns, made.waits) == ([None], [])


MAY_PASS = {
    "no connection": {"exception": aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "no"))},
    "no name": {"exception": aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown"))},
    "no proxy": {"exception": aiohttp.ClientProxyConnectionError(KEY, OSError(111, "no"))},
    "proxy refuses": {"exception": aiohttp.ClientHttpProxyError(None, (), status=502)},
    "no TLS": {"exception": aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "bad"))},
    "disconnected": {"exception": aiohttp.ServerDisconnectedError()},
    "reset": {"exception": ConnectionResetError(104, "reset")},
    "time-out": {"exception": TimeoutError()},
    "cut off": {"exception": aiohttp.ClientPayloadError("cut")},
    "no HTTP": {"exception": aiohttp.ClientResponseError(None, (), status=400, message="bad")},
    "HTML": {"body": "<html>soon</html>", "content_type": "text/html"},
    "half JSON": {"body": envelope()[:20]},
    "empty": {"body": b""},
    "half gzip": {"body": gzip.compress(envelope())[:-9], "headers": {"Content-Encoding": "gzip"}},
    "no gzip": {"body": envelope(), "headers": {"Content-Encoding": "gzip"}},
    "unknown packing": {"body": envelope(), "headers": {"Content-Encoding": "br"}},
    **{str(status): {"status": status} for status in (408, 500, 502, 503, 504)},
}

WILL_NOT_PASS = {
    "certificate": (
        RejectedError,
        {"exception": aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("bad"))},
    ),
    "redirect": (RejectedError, {"status": 302, "headers": {"Location": "https://other.example.test/x"}}),
    "request": (RejectedError, {"status": 400, "payload": {"message": f"Bearer {TOKEN} says nonsense"}}),
    "credential": (CredentialError, {"status": 401, "body": f"{TOKEN}?"}),
    "studio": (StudioError, {"status": 403}),
    "address": (StudioError, {"status": 404}),
    "shape": (DataError, {"payload": {"total": True, "rows": []}}),
}


@pytest.mark.parametrize("failure", MAY_PASS.values(), ids=MAY_PASS)
async def test_a_failure_that_may_pass_is_followed_by_success(made, answers, failure):
    answers.get(ANY, **failure)
    answers.get(ANY, body=envelope())
    assert (await made.fetch()).total == 1
    assert made.outcomes == [FAILED, OK]
    assert made.gate.turns == [UnavailableError, None]
    assert made.waits == [0.5]


@pytest.mark.parametrize(("error", "failure"), WILL_NOT_PASS.values(), ids=WILL_NOT_PASS)
async def test_a_failure_that_will_not_pass_costs_one_request(made, answers, error, failure):
    answers.get(ANY, **failure)
    answers.get(ANY, body=envelope())
    assert (await made.refused(error)).startswith(f"{REQUEST}: ")
    assert made.outcomes == [FAILED]
    assert (made.gate.turns, made.waits) == ([error], [])


@pytest.mark.parametrize(
    "complaint",
    [
        {"code": "parameter_invalid", "field_errors": {"sort": ["is not sortable"]}},
        {"field_errors": {"sort[]": ["is unknown"]}},
        {"code": "parameter_invalid", "message": "The parameter 'sort' is unknown", "field_errors": {}},
        {"detail": "sort: is not sortable"},
    ],
)
async def test_a_report_that_the_api_refuses_to_sort_is_asked_for_as_it_comes(made, answers, complaint):
    answers.get(re.compile(r".*[?&]sort="), status=400, payload=complaint, repeat=True)
    answers.get(ANY, body=envelope(), repeat=True)
    assert [(await made.fetch()).request for _ in range(2)] == [REQUEST] * 2
    assert made.outcomes == [AttemptOutcome.UNSORTED, OK, OK]


async def test_a_complaint_of_more_than_the_sort_is_a_refusal(made, answers):
    answers.get(ANY, status=400, payload={"field_errors": {"sort": ["?"], "columns": ["?"]}})
    await made.refused(RejectedError)
    assert made.outcomes == [FAILED]


async def test_throttling_is_told_to_the_gate_and_not_waited_for_here(made, answers):
    answers.get(ANY, status=429, headers={"Retry-After": "20"}, repeat=4)
    answers.get(ANY, body=envelope())
    await made.fetch()
    assert made.gate.turns == [RateLimitedError] * 4 + [None]
    assert made.attempts == [(n, THROTTLED, 0) for n in range(1, 5)] + [(5, OK, len(envelope()))]
    assert not any(made.waits)


async def test_the_last_attempt_ends_in_an_error_that_says_how_it_went(made, answers):
    answers.get(ANY, status=503, repeat=3)
    text = await made.refused(UnavailableError)
    assert text == f"{REQUEST}: still 503 after 3 attempts in 0 s; run again to retry just this task"
    assert made.attempts == [(1, FAILED, 0), (2, FAILED, 0), (3, FAILED, 0)]


async def test_the_kind_of_failure_is_named(answers):
    expected = {
        "no connection": "no connection to api.example.test:443 (ECONNREFUSED)",
        "no name": "no address for the host api.example.test (DNS)",
        "no proxy": "no connection to the proxy (ECONNREFUSED)",
        "proxy refuses": "a refusal by the proxy (502)",
        "no TLS": "no TLS connection",
        "disconnected": "a lost connection (closed by the server)",
        "reset": "a lost connection (ECONNRESET)",
        "time-out": "no whole answer within 30 s",
        "cut off": "an answer that was cut off",
        "no HTTP": "no HTTP answer (ClientResponseError)",
        "half gzip": "an answer that was cut off",
        "no gzip": "an answer with damaged compression",
        "unknown packing": "an answer with damaged compression",
    }
    for kind, text in expected.items():
        async with setting(max_attempts=1) as given:
            answers.get(ANY, **MAY_PASS[kind])
            assert text in await given.refused(UnavailableError), kind


@pytest.mark.parametrize(
    "failure",
    [*MAY_PASS.values(), *(f for _, f in WILL_NOT_PASS.values()), {"status": 429}],
    ids=[*MAY_PASS, *WILL_NOT_PASS, "429"],
)
async def test_no_failure_shows_the_token(made, answers, caplog, failure):
    caplog.set_level(logging.DEBUG)
    answers.get(ANY, **failure, repeat=True)
    with pytest.raises(ExporterError) as caught:
        await made.fetch()
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN not in caplog.text


async def test_pages_of_a_window_carry_the_token_of_their_time_and_what_they_accept(made, answers):
    answers.get(ANY, repeat=True, body=envelope())
    await made.fetch()
    await made.client.fetch(REQUEST._replace(format=Format.CSV))
    made.token = "another"
    await made.client.fetch(REQUEST._replace(offset=100))
    headers = [call.kwargs["headers"] for calls in answers.requests.values() for call in calls]
    seen = [(sent["Authorization"], sent["Accept"]) for sent in headers]
    assert seen == [
        (f"Bearer {TOKEN}", "application/json"),
        (f"Bearer {TOKEN}", "text/csv"),
        ("Bearer another", "application/json"),
    ]


async def test_a_token_that_no_header_can_carry_asks_nothing(answers):
    async with setting(token="line\nend") as given:
        await given.refused(CredentialError)
        assert given.attempts == []
    answers.assert_not_called()


async def test_a_gate_that_closes_ends_the_fetch_without_an_attempt(made, answers):
    @asynccontextmanager
    async def closed(credential, _day):
        raise CredentialError(f"{credential} was refused before")
        yield

    made.gate.turn = closed
    await made.refused(CredentialError)
    assert made.attempts == []
    answers.assert_not_called()


# Real answers


async def test_a_real_request_carries_the_exact_address_and_headers():
    async with tiny_server(says(json_page())) as server, setting(server.url) as given:
        assert (await given.fetch()).total == 1
    line, *headers = server.heads[0].rstrip().split("\r\n")
    assert line == (
        "GET /api/v2/reports/attendance_strikes.grouped/data?columns=customer.id,status,count"
        "&event_starts_at_gte=2025-03-01T00:00:00Z&event_starts_at_lte=2025-03-31T22:59:59.999999Z&format=json"
        "&sort=customer.id,status&pivot=all&limit=100&offset=300 HTTP/1.1"
    )
    assert f"Authorization: Bearer {TOKEN}" in headers
    assert "Accept: application/json" in headers
    assert "Accept-Encoding: gzip" in headers
    assert "TeamUp-Provider-ID: 5404319" in headers


async def test_pages_share_a_kept_connection():
    async with tiny_server(says(json_page())) as server, setting(server.url) as given:
        for _ in range(3):
            await given.fetch()
    assert server.connections == 1


@pytest.mark.parametrize("members", [1, 3])
async def test_a_packed_answer_is_unpacked_and_counted_as_it_travelled(members):
    body = envelope(filler="x" * 300_000)
    step = len(body) // members + 1
    packed = b"".join(gzip.compress(body[i : i + step]) for i in range(0, len(body), step))
    answer = http(200, packed, "Content-Type: application/json", "Content-Encoding: gzip")
    async with tiny_server(says(answer)) as server, setting(server.url) as given:
        page = await given.fetch()
    assert page.size_bytes == len(packed) < len(body)
    assert given.attempts == [(1, OK, len(packed))]


async def test_a_size_that_is_only_declared_takes_no_memory():
    answer = http(200, b"{", "Content-Type: application/json", length=2 * 1024**3)
    async with tiny_server(breaks_off(answer)) as server, setting(server.url, max_attempts=1) as given:
        tracemalloc.start()
        try:
            text = await given.refused(UnavailableError)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "cut off" in text
    assert peak < 8_000_000


async def test_a_gzip_bomb_is_refused_without_being_unpacked():
    bomb = gzip.compress(bytes(50_000_000))
    answer = http(200, bomb, "Content-Type: application/json", "Content-Encoding: gzip")
    async with tiny_server(says(answer)) as server, setting(server.url, max_body_bytes=1_000_000) as given:
        tracemalloc.start()
        try:
            text = await given.refused(RejectedError)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "larger than 1000000 bytes" in text
    assert peak < 8_000_000
    assert len(server.heads) == 1


@pytest.mark.parametrize("packed", [False, True])
async def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(packed):
    body = envelope()
    answer = http(200, gzip.compress(body), "Content-Encoding: gzip") if packed else http(200, body)
    async with tiny_server(says(answer)) as server:
        async with setting(server.url, max_body_bytes=len(body)) as given:
            assert (await given.fetch()).total == 1
        async with setting(server.url, max_body_bytes=len(body) - 1) as given:
            await given.refused(RejectedError)


HALF = http(200, envelope()[:20], "Content-Type: application/json", length=500)
BROKEN = {
    "closed before the answer": breaks_off(),
    "reset before the answer": resets(),
    "closed in the headers": breaks_off(HALF[:30]),
    "closed in the body": breaks_off(HALF),
    "reset in the body": resets(HALF),
    "closed in a chunk": breaks_off(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"),
    "a chunk of no length": breaks_off(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
    "no HTTP": breaks_off(b"220 mail.example.test ESMTP\r\n\r\n"),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_followed_by_success(reply):
    async with tiny_server(reply, says(json_page())) as server, setting(server.url) as given:
        assert (await given.fetch()).total == 1
    assert given.outcomes == [FAILED, OK]
    assert len(server.heads) == 2


REFUSED_IN_A_BROKEN_BODY = {
    "cut off": breaks_off(http(401, b"{", length=500)),
    "reset": resets(http(401, b"{", length=500)),
    "unknown packing": says(http(401, b"{", "Content-Encoding: br")),
    "damaged packing": says(http(401, b"{", "Content-Encoding: gzip")),
    "too large": says(http(401, b"{" * 2000)),
}


@pytest.mark.parametrize("reply", REFUSED_IN_A_BROKEN_BODY.values(), ids=REFUSED_IN_A_BROKEN_BODY)
async def test_a_status_that_says_it_all_needs_no_whole_body(reply):
    async with tiny_server(reply) as server, setting(server.url, max_body_bytes=1000) as given:
        await given.refused(CredentialError)
    assert len(server.heads) == 1


@pytest.mark.parametrize("reply", [breaks_off(), resets()], ids=["closed", "reset"])
async def test_a_lost_connection_costs_one_request_a_turn(reply):
    async with tiny_server(says(json_page()), reply, says(json_page())) as server, setting(server.url) as given:
        await given.fetch()
        await given.fetch()
    assert given.outcomes == [OK, FAILED, OK]
    assert len(server.heads) == len(given.gate.turns) == 3


async def test_an_answer_that_does_not_come_is_not_waited_for():
    never = asyncio.Event()
    async with (
        tiny_server(waits_for(never), says(json_page())) as server,
        setting(server.url, timeout_s=0.05, max_attempts=1) as given,
    ):
        assert "still no whole answer within 0.05 s" in await given.refused(UnavailableError)
    assert given.outcomes == [FAILED]


async def test_a_body_that_stops_coming_is_not_waited_for():
    async with tiny_server(says(HALF)) as server, setting(server.url, timeout_s=0.05, max_attempts=1) as given:
        assert "still no whole answer within 0.05 s" in await given.refused(UnavailableError)
    assert given.attempts == [(1, FAILED, 20)]


async def test_cancelling_ends_an_attempt_at_once_and_counts_it():
    never = asyncio.Event()
    async with tiny_server(waits_for(never)) as server, setting(server.url) as given:
        fetching = asyncio.create_task(given.fetch())
        while not server.heads:
            await asyncio.wait({fetching}, timeout=0.01)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert given.outcomes == [FAILED]
        assert given.gate.turns == [asyncio.CancelledError]


async def test_a_redirect_to_another_host_never_gets_the_credential():
    async with tiny_server(says(json_page())) as other:
        moved = http(307, b"", f"Location: {other.url}/elsewhere")
        async with tiny_server(says(moved)) as server, setting(server.url) as given:
            assert "points to 127.0.0.1 (307)" in await given.refused(RejectedError)
    assert (len(server.heads), other.heads) == (1, [])


async def test_a_refused_connection_may_pass():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with setting(f"http://127.0.0.1:{port}", max_attempts=2) as given:
            text = await given.refused(UnavailableError)
    assert f"still no connection to 127.0.0.1:{port} (ECONNREFUSED) after 2 attempts" in text


@pytest.fixture
def untrusted(tmp_path):
    """A server's TLS context whose certificate nobody signed but itself."""
    return self_signed(tmp_path / "untrusted.pem")


async def test_an_untrusted_certificate_is_refused_before_anything_is_sent(untrusted):
    async with tiny_server(says(json_page()), tls=untrusted) as server, setting(server.url) as given:
        assert "the TLS certificate of 127.0.0.1 was refused (self-signed" in await given.refused(RejectedError)
    assert server.heads == []


async def test_a_server_without_tls_may_pass():
    async with tiny_server(at_once=breaks_off(b"no TLS here")) as server:
        url = server.url.replace("http:", "https:")
        async with setting(url, max_attempts=1) as given:
            assert "still no TLS connection" in await given.refused(UnavailableError)


@pytest.fixture
def no_proxy_settings(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxy_settings")
async def test_a_proxy_of_the_environment_is_used_with_its_own_credential(monkeypatch):
    async with tiny_server(says(json_page())) as proxy:
        address = proxy.url.removesuffix("/api/v2").replace("http://", "http://someone:something@")
        monkeypatch.setenv("HTTP_PROXY", address)
        async with setting("http://api.example.test/api/v2") as given:
            assert (await given.fetch()).total == 1
    assert proxy.heads[0].startswith("GET http://api.example.test/api/v2/reports/")
    assert "Proxy-Authorization: Basic c29tZW9uZTpzb21ldGhpbmc=" in proxy.heads[0]
    assert f"Authorization: Bearer {TOKEN}\r\n" in proxy.heads[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "[::1]"])
@pytest.mark.usefixtures("no_proxy_settings")
async def test_no_loopback_address_is_asked_through_a_proxy(monkeypatch, host):
    async with tiny_server(says(json_page())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with setting(f"http://{host}:9/api/v2", max_attempts=1) as given:
            await given.refused(UnavailableError)
    assert proxy.heads == []


@pytest.mark.usefixtures("no_proxy_settings")
async def test_a_proxy_is_not_asked_for_loopback_nor_for_a_host_that_is_exempt(monkeypatch):
    async with tiny_server(says(json_page())) as server, tiny_server(says(json_page())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with setting(server.url) as given:
            assert (await given.fetch()).total == 1
        monkeypatch.setenv("NO_PROXY", "exempt.example.test")
        async with setting("http://exempt.example.test/api/v2") as given:
            assert given.client._session._default_proxy is None
    assert proxy.heads == []


@pytest.mark.usefixtures("no_proxy_settings")
async def test_a_netrc_file_does_not_replace_the_credential(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with tiny_server(says(json_page())) as server, setting(server.url) as given:
        assert (await given.fetch()).total == 1
    assert f"Authorization: Bearer {TOKEN}\r\n" in server.heads[0]


async def test_cookies_are_not_kept():
    with_cookie = http(200, envelope(), "Set-Cookie: studio=other; Path=/")
    async with (
        tiny_server(says(with_cookie)) as server,
        # A jar would take no cookie from an address without a name.
        setting(server.url.replace("127.0.0.1", "localhost")) as given,
    ):
        await given.fetch()
        await given.fetch()
    assert "cookie" not in server.heads[1].lower()

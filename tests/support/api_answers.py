"""Requests, answers, and tiny real servers for the tests of the API client."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from exporter.api.answers import RawAnswer
from exporter.core.answer import PageRequest
from exporter.core.catalogue import REPORTS
from exporter.core.report import Dataset, DatasetName
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, Window

NOW = datetime(2025, 4, 1, 12, 0, tzinfo=UTC)
TOKEN = "made-up-token-Zk3vQ9"
CREDENTIAL = CredentialKey("env:TEAMUP_TOKEN_HARBOUR")
HARBOUR = Studio(id=StudioId("harbour-yoga"), credential=CREDENTIAL, provider_id=5404319, timezone="Europe/London")
MARCH = Window(date(2025, 3, 1), date(2025, 4, 1))


def make_dataset(*columns: str, report: str = "attendance_strikes.grouped", **changes: Any) -> Dataset:
    spec = REPORTS[report]
    chosen = spec.resolve(columns or ("customer_id", "status", "count"))
    return Dataset(name=DatasetName("strikes"), spec=spec, columns=chosen, every=Every.MONTH, **changes)


def make_request(dataset: Dataset | None = None, **changes: Any) -> PageRequest:
    """The fourth page of March at Harbour Yoga, unless told otherwise."""
    given: dict[str, Any] = {"studio": HARBOUR, "window": MARCH, "offset": 300} | changes
    return PageRequest(dataset=dataset or make_dataset(), **given)


def make_answer(status: int = 200, body: bytes = b"", **headers: str) -> RawAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawAnswer(status=status, headers=named, body=body, received_at=NOW, size_bytes=len(body))


def envelope(**changes: object) -> bytes:
    """A JSON answer of one row; a key given as `...` is left out."""
    document = {
        "total": 1,
        "column_headers": [{"label": "Customer ID", "key": "customer.id", "sortable": True}],
        "rows": [{"customer": {"id": 101}, "status": "open", "count": 3}],
    } | changes
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def http(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole answer as it travels; *length* is what it says of its body's size."""
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_page(**changes: object) -> bytes:
    return http(200, envelope(**changes), "Content-Type: application/json")


Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(data: bytes) -> Reply:
    """Send *data* and keep the connection."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return reply


def breaks_off(data: bytes = b"") -> Reply:
    """Send *data* and close the connection in good order."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        await says(data)(writer)
        writer.close()

    return reply


def resets(data: bytes = b"") -> Reply:
    """Send *data* and reset the connection."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        await says(data)(writer)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return reply


def waits_for(event: asyncio.Event, data: bytes = b"") -> Reply:
    """Send *data* once *event* is set."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await says(data)(writer)

    return reply


@dataclass
class TinyServer:
    """Answers the n-th request with the n-th reply, the last one again and again.

    Attributes:
        at_once: comes before any request.
        url: where it listens, with the API's path.
        heads: every request's line and headers.
        connections: how many were opened.
    """

    replies: tuple[Reply, ...]
    at_once: Reply | None = None
    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.at_once:
                await self.at_once(writer)
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode())
                await self.replies[min(len(self.heads), len(self.replies)) - 1](writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, as clients do
        finally:
            writer.close()


@asynccontextmanager
async def tiny_server(
    *replies: Reply, at_once: Reply | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[TinyServer]:
    """A real server on a free loopback port."""
    tiny = TinyServer(replies, at_once)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await tiny.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    tiny.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/api/v2"
    try:
        yield tiny
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

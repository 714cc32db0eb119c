"""The simulated API on a loopback port: moves bytes between aiohttp and `Simulation`, and mistreats connections."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from exporter.sandbox.messages import Answer, Asked, Delivery
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.simulation import BASE_PATH, Served, Simulation
from exporter.sandbox.studios import World

SIMULATION = web.AppKey("SIMULATION", Simulation)

_HOST = "127.0.0.1"
_WORTH_COMPRESSING = 1024
_SHUTDOWN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A simulated API that is being served.

    Attributes:
        base_url: what a client is configured with.
    """

    base_url: str
    simulation: Simulation

    @property
    def world(self) -> World:
        """What it knows; may be changed at any time."""
        return self.simulation.world

    @property
    def requests(self) -> list[Served]:
        """What was asked so far, in order of arrival."""
        return self.simulation.requests

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self.simulation.revoke(token)


def build_app(world: World, options: SandboxOptions) -> web.Application:
    """The application that serves *world*; its `Simulation` is under the key `SIMULATION`."""
    simulation = Simulation(world, options)

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = Asked(
            method=request.method,
            path=request.path,
            params=tuple(request.query.items()),
            headers=request.headers,
        )
        return await _deliver(request, simulation.answer(asked), options)

    app = web.Application()
    app[SIMULATION] = simulation
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@asynccontextmanager
async def serve(world: World, options: SandboxOptions | None = None, port: int = 0) -> AsyncIterator[Sandbox]:
    """Serve *world* on loopback for as long as the block lasts; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    app = build_app(world, options or SandboxOptions())
    # A slow answer that nobody waits for any more must not hold up the end.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, port).start()
        taken = runner.addresses[0][1]
        yield Sandbox(base_url=f"http://{_HOST}:{taken}{BASE_PATH}", simulation=app[SIMULATION])
    finally:
        await runner.cleanup()


async def _deliver(request: web.Request, answer: Answer, options: SandboxOptions) -> web.StreamResponse:
    late_s = options.slow_s if answer.delivery is Delivery.LATE else 0.0
    if wait_s := options.latency_ms / 1000 + late_s:
        await asyncio.sleep(wait_s)
    headers = {**answer.headers, "Content-Type": answer.content_type}
    body = answer.body
    if options.compress and len(body) > _WORTH_COMPRESSING and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    if answer.delivery is Delivery.RESET:
        _reset(request)
    if answer.delivery is Delivery.CUT:
        return await _send_half(request, answer.status, headers, body)
    return web.Response(status=answer.status, headers=headers, body=body)


def _reset(request: web.Request) -> None:
    """Drop the connection so that the client's end sees a reset instead of an end of stream."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


async def _send_half(request: web.Request, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response

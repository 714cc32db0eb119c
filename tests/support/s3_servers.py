"""S3 servers on free loopback ports, and a proxy that does to one of them what networks do.

`moto_server` is quick and a mock: it takes any credentials. `seaweedfs_server` is a real store: it keeps objects on
disk and verifies signatures and checksums. Each is a process of its own, killed when its block ends.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from exporter.store.s3 import open_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_START_TIMEOUT_S = 60
_CLIENTS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server with an empty bucket.

    Attributes:
        endpoint_url: where it listens.
        access_key: of an identity that may do everything.
        secret_key: its secret.
        bucket: made, and shared by all that use this server: each takes a prefix of its own.
    """

    endpoint_url: str
    access_key: str
    secret_key: str
    bucket: str = "lake"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to be this server's client, and nobody else's."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    @contextmanager
    def client(self, endpoint_url: str = "") -> "Iterator[S3Client]":
        """The product's own client, towards this server or a proxy in front of it."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
                patch.delenv(name, raising=False)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            client = open_client(endpoint_url or self.endpoint_url, connections=_CLIENTS_AT_ONCE)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """A mock in memory; *folder* takes its log."""
    port = free_port()
    server = S3Server(endpoint_url=f"http://127.0.0.1:{port}", access_key="moto-key", secret_key="moto-secret")
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], server, folder):
        yield server


@contextmanager
def seaweedfs_server(folder: Path) -> Iterator[S3Server]:
    """A real store whose data lie in *folder*."""
    server = S3Server(
        endpoint_url=f"http://127.0.0.1:{free_port(twin=10_000)}", access_key="weed-key", secret_key="weed-secret"
    )
    identity = {
        "name": "owner",
        "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    master, volume, filer = (free_port(twin=10_000) for _ in range(3))
    arguments = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": 64,
        "volume.port": volume,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": filer,
        "filer.localSocket": folder / "filer.sock",
        "s3": "true",
        "s3.port": urlsplit(server.endpoint_url).port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "s3.json",
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
    }
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    with running([str(weed), "server", *(f"-{name}={value}" for name, value in arguments.items())], server, folder):
        yield server


def free_port(*, twin: int = 0) -> int:
    """A loopback port that nobody listens on, whose twin that much higher is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if not twin:
                return port
            try:
                second.bind(("127.0.0.1", port + twin))
            except (OSError, OverflowError):
                continue
            return port


@contextmanager
def running(
    command: Sequence[str], server: S3Server, folder: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    """The process of a server, with its bucket made, for as long as the block lasts; *environ* None for ours."""
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environ
        ) as process,
    ):
        try:
            with server.client() as client:
                _until_it_works(lambda: client.create_bucket(Bucket=server.bucket), process, log)
                _until_it_works(lambda: client.put_object(Bucket=server.bucket, Key="ready", Body=b""), process, log)
                client.delete_object(Bucket=server.bucket, Key="ready")
            yield
        finally:
            process.kill()


def _until_it_works(step: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            step()
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{process.args!r} does not serve: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)
        else:
            return


class Fault(Enum):
    """What the proxy does to one exchange, instead of passing it through."""

    LOSE_REQUEST = "the server never sees the request, the client never gets an answer"
    LOSE_ANSWER = "the server does what was asked, the client never gets the answer"
    CUT_BODY = "half of the answer's body arrives"
    FLIP_BYTE = "the answer's body arrives with its first byte changed"
    SLOW_DOWN = "503 SlowDown; the server never sees the request"
    INTERNAL_ERROR = "500 InternalError, but the server did what was asked"
    CONFLICT = "409 ConditionalRequestConflict; the server never sees the request"
    ACCESS_DENIED = "403 AccessDenied; the server never sees the request"
    EXPIRED_TOKEN = "400 ExpiredToken; the server never sees the request"
    REDIRECT = "307 to another address; the server never sees the request"
    LOGIN_PAGE = "200 with a page of HTML; the server never sees the request"
    FULL = "507 InsufficientStorage; the server never sees the request"

    @property
    def reaches_server(self) -> bool:
        """Whether the server does what was asked."""
        return self not in (
            Fault.LOSE_REQUEST,
            Fault.SLOW_DOWN,
            Fault.CONFLICT,
            Fault.ACCESS_DENIED,
            Fault.EXPIRED_TOKEN,
            Fault.REDIRECT,
            Fault.LOGIN_PAGE,
            Fault.FULL,
        )

    @property
    def refusal(self) -> tuple[int, str] | None:
        """Status and code that the proxy answers with, where it answers by itself."""
        return {
            Fault.SLOW_DOWN: (503, "SlowDown"),
            Fault.INTERNAL_ERROR: (500, "InternalError"),
            Fault.CONFLICT: (409, "ConditionalRequestConflict"),
            Fault.ACCESS_DENIED: (403, "AccessDenied"),
            Fault.EXPIRED_TOKEN: (400, "ExpiredToken"),
            Fault.REDIRECT: (307, "TemporaryRedirect"),
            Fault.LOGIN_PAGE: (200, ""),
            Fault.FULL: (507, "InsufficientStorage"),
        }.get(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer.

    Attributes:
        method: of HTTP.
        path: with its query.
        answer_bytes: of the body that the server answered with; 0 where it was not asked.
    """

    method: str
    path: str
    answer_bytes: int

    @property
    def verb(self) -> str:
        """What S3 charges for: LIST, or the method."""
        return "LIST" if self.method == "GET" and "list-type=" in urlsplit(self.path).query else self.method


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyProxy:
    """A proxy that is running.

    Attributes:
        endpoint_url: where it listens.
        faults: one for each exchange to come, taken from the left; where there is none the exchange passes through.
        exchanges: so far.
    """

    endpoint_url: str
    faults: deque[Fault | None]
    exchanges: list[Exchange]

    @property
    def methods(self) -> list[str]:
        """HTTP methods of the exchanges so far."""
        return [exchange.method for exchange in self.exchanges]


#: Told of an exchange that the server has had its part in, before the client has its answer: method and path.
OnDone = Callable[[str, str], None]


def _look_away(_method: str, _path: str) -> None:
    pass


@contextmanager
def faulty_proxy(server: S3Server, on_done: OnDone = _look_away) -> Iterator[FaultyProxy]:
    """A proxy in front of *server*. It keeps the Host header, so signatures made for the proxy hold."""

    class Bound(_Handler):
        upstream = urlsplit(server.endpoint_url).netloc
        faults: ClassVar[deque[Fault | None]] = deque()
        exchanges: ClassVar[list[Exchange]] = []
        completing = threading.Lock()
        done = staticmethod(on_done)

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        endpoint_url = f"http://127.0.0.1:{httpd.server_address[1]}"
        yield FaultyProxy(endpoint_url=endpoint_url, faults=Bound.faults, exchanges=Bound.exchanges)
        httpd.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """One request and its answer, on a connection of its own."""

    protocol_version = "HTTP/1.1"
    upstream: ClassVar[str]
    faults: ClassVar[deque[Fault | None]]
    exchanges: ClassVar[list[Exchange]]
    completing: ClassVar[threading.Lock]
    done: ClassVar["staticmethod[[str, str], None]"]

    def _pass_through(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.faults.popleft() if self.faults else None
        answer = b""
        if fault is None or fault.reaches_server:
            # SeaweedFS looks at a completion's condition and completes in two steps: of two at a time both may succeed.
            completes = self.command == "POST" and "uploadId=" in self.path
            with self.completing if completes else nullcontext():
                status, headers, answer = self._ask_server(body)
            self.done(self.command, self.path)
        self.exchanges.append(Exchange(method=self.command, path=self.path, answer_bytes=len(answer)))
        if fault in (Fault.LOSE_REQUEST, Fault.LOSE_ANSWER):
            return
        if fault and fault.refusal:
            status, code = fault.refusal
            text = f"<Error><Code>{code}</Code><Message>Made up.</Message></Error>" if code else "<html>Log in</html>"
            headers, answer = {}, text.encode()
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(answer)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is Fault.CUT_BODY:
            answer = answer[: len(answer) // 2]
        if fault is Fault.FLIP_BYTE:
            answer = bytes([answer[0] ^ 1]) + answer[1:]
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_through  # noqa: N815 - the names that the base class looks for

    def _ask_server(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        with closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in ("transfer-encoding", "connection")}
            return answer.status, kept, answer.read()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

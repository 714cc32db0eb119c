"""An S3 store behind a proxy that does what goes wrong, beside one that nothing happens to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from exporter.store.s3 import S3Store
from tests.support.s3_servers import FaultyProxy, S3Server, faulty_proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Of an upload in pieces; the smallest that S3 takes.
PIECE = 5 * 2**20


class Faulty:
    """A store behind a faulty proxy, the same prefix straight from the server, and the waits that were asked for."""

    def __init__(self, server: S3Server, proxy: FaultyProxy, client: "S3Client", straight: "S3Client") -> None:
        self.proxy = proxy
        self.waits: list[float] = []
        self._bucket, self._prefix, self._straight = server.bucket, uuid4().hex, straight
        self.store = S3Store(server.bucket, self._prefix, client=client, piece_bytes=PIECE, sleep=self._wait)
        self.straight = S3Store(server.bucket, self._prefix, client=straight)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def unfinished(self) -> list[str]:
        """Keys of uploads that were begun and neither completed nor aborted."""
        found = self._straight.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix)
        return [upload["Key"] for upload in found.get("Uploads", ())]


@asynccontextmanager
async def faulty_store(server: S3Server, straight: "S3Client") -> AsyncIterator[Faulty]:
    """Both stores over an empty prefix of *server*, which *straight* is a client of."""
    with faulty_proxy(server) as proxy, server.client(proxy.endpoint_url) as client:
        faulty = Faulty(server, proxy, client, straight)
        yield faulty
        await faulty.store.close()
        await faulty.straight.close()

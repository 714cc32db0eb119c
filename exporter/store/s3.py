"""A bucket's prefix as a sink: AWS S3, or a store that speaks its protocol and honours conditional writes.

Rules kept here: botocore repeats nothing by itself. A read, a list or a delete is repeated a few times when it may
pass. A put is repeated only when it surely did not land, because a repeated conditional put would meet its own first
attempt and take it for somebody else's; when it may have landed, the caller is told to look. No request names an
access list: who may read is the bucket's to say.

An object larger than a piece is put as a multipart upload, which becomes an object when it is completed, on the same
condition; what fails before is aborted (`s3_pieces.py`).

boto3 runs in threads. S3's etag follows the bytes, so replacing an object by the same bytes keeps it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import boto3
import botocore.exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from exporter.core.partition import STAGING
from exporter.errors import ConfigError, PreconditionFailedError, StoreError
from exporter.store.base import Condition, ObjectInfo
from exporter.store.keys import check_key, check_prefix
from exporter.store.s3_errors import FOREIGN, Verb, explain, is_throttled, may_be_repeated, status_of
from exporter.store.s3_pieces import PIECE_BYTES, Pieces
from exporter.store.s3_requests import Place, Seal, on_condition

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompleteMultipartUploadOutputTypeDef,
        GetObjectOutputTypeDef,
        PutObjectOutputTypeDef,
    )

_T = TypeVar("_T")

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 8.0
_ATTEMPTS = 5

#: A bucket that is asked more than it is used to says so until it has grown. With the waits above these take 20 s as a
#: rule, 40 at most.
_ATTEMPTS_WHEN_THROTTLED = 10

#: What is uploaded under this key is completed on a condition that does not hold.
_NEVER_COMPLETED = f"{STAGING}/never-completed"
_NO_ETAG = '"0123456789abcdef0123456789abcdef"'


def open_client(endpoint_url: str = "", *, connections: int = 16) -> "S3Client":
    """A client with explicit time-outs that repeats nothing; credentials and region as every AWS tool finds them.

    Raises:
        ConfigError: *endpoint_url* is none, or the AWS profile cannot be used.
    """
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint_url or None, config=config)
    except ValueError as error:
        raise ConfigError("sink.endpoint_url is not a URL; write one such as https://host:9000") from error
    except aws.BotoCoreError as error:
        raise ConfigError(
            f"S3 cannot be set up ({type(error).__name__}); check AWS_PROFILE, AWS_REGION and ~/.aws/config"
        ) from error


class S3Store:
    """Everything below s3://*bucket*/*prefix*.

    Args:
        bucket: its name.
        prefix: what the keys are below; empty for the whole bucket. No slash at either end.
        endpoint_url: of an S3-compatible store; empty for AWS.
        kms_key_id: every put is encrypted with this key; empty for the bucket's own default.
        bucket_owner: the account named in every request, so that a bucket of anybody else's refuses it; empty for any.
        client: made by `open_client`; without one the store makes its own, and closes it.
        connections: requests at once.
        piece_bytes: of a multipart upload; at least 5 MiB, which S3 asks of all pieces but the last.
        sleep: waits that many seconds between attempts.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str = "",
        kms_key_id: str = "",
        bucket_owner: str = "",
        client: "S3Client | None" = None,
        connections: int = 16,
        piece_bytes: int = PIECE_BYTES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._place: Place = {"Bucket": bucket}
        if bucket_owner:
            self._place["ExpectedBucketOwner"] = bucket_owner
        self._above = f"{prefix}/" if prefix else ""
        self._url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._seal: Seal = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._piece_bytes = piece_bytes
        self._completes_on_condition = False
        self._client = client or open_client(endpoint_url, connections=connections)
        self._owns_client = client is None
        self._sleep = sleep
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="s3")

    @property
    def url(self) -> str:
        """The sink as the user wrote it."""
        return self._url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The whole object; its checksum is verified where the store kept one."""
        check_key(key)
        return await self._ask(key, Verb.READ, partial(self._read, key))

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        """The last *size_bytes* of the object."""
        check_key(key)
        return await self._ask(key, Verb.READ, partial(self._read_tail, key, size_bytes))

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        """Write the whole object; `ObjectInfo.modified_at` is the time of the store's answer."""
        check_key(key)
        if len(data) > self._piece_bytes:
            if condition is not None:
                await self._check_completion()
            return await self._upload(key, data, condition)
        return await self._ask(key, Verb.WRITE, partial(self._write, key, data, condition), condition)

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """Every object whose key begins with *prefix*; folder markers of other tools are left out."""
        check_prefix(prefix)
        found = await self._ask(prefix, Verb.LIST, partial(self._list, prefix))
        return sorted(found, key=lambda info: info.key)

    async def delete(self, key: str) -> None:
        """Remove the object."""
        check_key(key)
        await self._ask(key, Verb.DELETE, partial(self._client.delete_object, **self._place, Key=self._above + key))

    async def close(self) -> None:
        """Give back threads and connections; a request that is still under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._owns_client:
            self._client.close()

    async def _check_completion(self) -> None:
        """Once: a server that completes an upload whose condition does not hold would lose rows when two runs meet."""
        if self._completes_on_condition:
            return
        with suppress(PreconditionFailedError):
            await self._upload(_NEVER_COMPLETED, b"?", _NO_ETAG)
            await self.delete(_NEVER_COMPLETED)
            raise StoreError(
                f"{self._url}: completes uploads whose condition does not hold, so two runs could lose each other's"
                " rows; use a store that honours If-Match and If-None-Match on CompleteMultipartUpload"
            )
        self._completes_on_condition = True

    async def _upload(self, key: str, data: bytes, condition: Condition) -> ObjectInfo:
        """Put an object piece by piece; one piece is in memory twice at a time."""
        above = self._above + key
        pieces = Pieces(self._client, self._place, self._seal, key=above, data=data, piece_bytes=self._piece_bytes)
        await self._ask(key, Verb.UPLOAD, pieces.begin)
        try:
            for number in pieces.numbers:
                await self._ask(key, Verb.UPLOAD, partial(pieces.put, number))
            answer = await self._ask(key, Verb.WRITE, partial(pieces.complete, condition), condition)
        except BaseException:
            # Also when cancelled. What this leaves, such as a piece still under way, goes by the bucket's lifecycle.
            with suppress(*FOREIGN):
                await self._in_thread(pieces.abort)
            raise
        return _written(key, data, answer)

    async def _ask(self, key: str, verb: Verb, call: Callable[[], _T], condition: Condition = None) -> _T:
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=_is_enough,
            wait=wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
            retry=retry_if_exception(partial(may_be_repeated, verb=verb)),
            reraise=True,
        )
        try:
            return await retrying(self._in_thread, call)
        except FOREIGN as error:
            attempts = int(retrying.statistics["attempt_number"])
            where = f"{self._url}/{key}"
            raise explain(error, where=where, verb=verb, condition=condition, attempts=attempts) from error

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # What follows runs in a thread.

    def _read(self, key: str) -> tuple[bytes, ObjectInfo]:
        answer = self._client.get_object(**self._place, Key=self._above + key, ChecksumMode="ENABLED")
        return _body(key, answer)

    def _read_tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        try:
            answer = self._client.get_object(
                **self._place, Key=self._above + key, Range=f"bytes=-{size_bytes}", ChecksumMode="ENABLED"
            )
        except aws.ClientError as error:
            if status_of(error) != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            # An empty object has no last byte, and no object has a last 0 bytes. Source: RFC 9110, section 14.1.2.
            data, info = self._read(key)
            return data[max(0, len(data) - size_bytes) :], info
        return _body(key, answer)

    def _write(self, key: str, data: bytes, condition: Condition) -> ObjectInfo:
        answer = self._client.put_object(
            **self._place,
            **self._seal,
            **on_condition(condition),
            Key=self._above + key,
            Body=data,
            ChecksumAlgorithm="CRC32",
        )
        return _written(key, data, answer)

    def _list(self, prefix: str) -> tuple[ObjectInfo, ...]:
        pages = self._client.get_paginator("list_objects_v2").paginate(**self._place, Prefix=self._above + prefix)
        return tuple(
            ObjectInfo(
                key=found["Key"].removeprefix(self._above),
                size=found["Size"],
                etag=found["ETag"],
                modified_at=found["LastModified"].astimezone(UTC),
            )
            for page in pages
            for found in page.get("Contents", ())
            if not found["Key"].endswith("/")
        )


def _is_enough(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    most = _ATTEMPTS_WHEN_THROTTLED if error and is_throttled(error) else _ATTEMPTS
    return state.attempt_number >= most


def _written(
    key: str, data: bytes, answer: "PutObjectOutputTypeDef | CompleteMultipartUploadOutputTypeDef"
) -> ObjectInfo:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    modified_at = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return ObjectInfo(key=key, size=len(data), etag=_etag(answer), modified_at=modified_at.astimezone(UTC))


def _body(key: str, answer: "GetObjectOutputTypeDef") -> tuple[bytes, ObjectInfo]:
    with closing(answer["Body"]) as body:
        data = body.read()
    # "bytes 3-5/6": of a part, the size of the whole comes last.
    whole = answer.get("ContentRange", "").rpartition("/")[2]
    return data, ObjectInfo(
        key=key,
        size=int(whole) if whole.isdigit() else len(data),
        etag=_etag(answer),
        modified_at=answer["LastModified"].astimezone(UTC),
    )


def _etag(answer: "GetObjectOutputTypeDef | PutObjectOutputTypeDef | CompleteMultipartUploadOutputTypeDef") -> str:
    """Every answer of S3 to these has one; a page that something else puts in its place, with status 200, has none."""
    if etag := answer.get("ETag"):
        return etag
    raise ResponseParserError("the answer has no ETag")

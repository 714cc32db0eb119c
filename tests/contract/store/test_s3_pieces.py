"""Objects that are too large for one put: pieces, and a completion on condition. SeaweedFS unless a name says moto."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, Condition
from exporter.store.s3 import S3Store
from tests.support.faulty_s3 import PIECE, Faulty
from tests.support.s3_servers import Fault, S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.xdist_group("s3")

KEY = "strikes/month=2025-01/part-00000.parquet"
OLD, LARGE = b"old", bytes(range(256)) * 43_008
ETAG = '"0123456789abcdef0123456789abcdef"'

#: Requests of an upload without a condition; with one, a store first makes sure that the server keeps to it.
BEGIN, PIECES, COMPLETE, ABORT = ["POST"], ["PUT"] * 3, ["POST"], ["DELETE"]
CHECK = ["POST", "PUT", "POST", "DELETE"]


@asynccontextmanager
async def on_moto(server: S3Server, client: "S3Client", **options: str) -> AsyncIterator[S3Store]:
    store = S3Store(server.bucket, uuid4().hex, client=client, piece_bytes=PIECE, **options)  # type: ignore[arg-type]
    yield store
    await store.close()


async def test_a_large_object_comes_back_as_it_was_and_leaves_nothing_else(faulty: Faulty) -> None:
    put = await faulty.store.put(KEY, LARGE)
    got, info = await faulty.store.get(KEY)
    assert got == LARGE
    assert (put.etag, put.size) == (info.etag, info.size) == (info.etag, len(LARGE))
    assert faulty.proxy.methods == [*BEGIN, *PIECES, *COMPLETE, "GET"]
    assert (await faulty.straight.tail(KEY, 8))[0] == LARGE[-8:]
    assert [found.key for found in await faulty.straight.list("")] == [KEY]
    assert faulty.unfinished() == []


async def test_the_same_bytes_keep_their_etag_and_others_change_it(faulty: Faulty) -> None:
    etags = [(await faulty.store.put(KEY, data)).etag for data in (LARGE, LARGE, LARGE[:-1] + b"\0")]
    assert etags[0] == etags[1] != etags[2]


async def test_an_object_of_one_piece_is_one_put(faulty: Faulty) -> None:
    await faulty.store.put(KEY, LARGE[:PIECE])
    assert faulty.proxy.methods == ["PUT"]


async def test_a_condition_that_holds_is_met_and_the_server_is_examined_once(faulty: Faulty) -> None:
    first = await faulty.store.put(KEY, LARGE, condition=Absent())
    await faulty.store.put(KEY, LARGE[::-1], condition=first.etag)
    assert (await faulty.straight.get(KEY))[0] == LARGE[::-1]
    assert faulty.proxy.methods == [*CHECK, *([*BEGIN, *PIECES, *COMPLETE] * 2)]
    assert faulty.unfinished() == []


@pytest.mark.parametrize("condition", [Absent(), ETAG], ids=["if-absent", "stale"])
async def test_a_condition_that_does_not_hold_changes_nothing_and_leaves_nothing(
    faulty: Faulty, condition: Condition
) -> None:
    await faulty.straight.put(KEY, OLD)
    with pytest.raises(PreconditionFailedError, match=KEY):
        await faulty.store.put(KEY, LARGE, condition=condition)
    assert (await faulty.straight.get(KEY))[0] == OLD
    assert [found.key for found in await faulty.straight.list("")] == [KEY]
    assert faulty.unfinished() == []


async def test_of_an_object_that_is_gone_the_condition_fails(faulty: Faulty) -> None:
    with pytest.raises(PreconditionFailedError, match=KEY):
        await faulty.store.put(KEY, LARGE, condition=ETAG)
    with pytest.raises(NotFoundError):
        await faulty.straight.get(KEY)


async def test_of_writers_at_once_on_one_condition_one_succeeds(faulty: Faulty) -> None:
    old = await faulty.straight.put(KEY, OLD)
    wanted = [bytes([number]) * (PIECE + 1) for number in range(4)]
    ends = await asyncio.gather(
        *(faulty.store.put(KEY, data, condition=old.etag) for data in wanted), return_exceptions=True
    )
    (winner,) = [number for number, end in enumerate(ends) if not isinstance(end, BaseException)]
    assert sum(isinstance(end, PreconditionFailedError) for end in ends) == 3
    assert (await faulty.straight.get(KEY))[0] == wanted[winner]
    assert faulty.unfinished() == []


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.SLOW_DOWN, Fault.INTERNAL_ERROR])
async def test_a_piece_is_put_again_until_it_is_there(faulty: Faulty, fault: Fault) -> None:
    faulty.proxy.faults.extend([None, None, fault, fault])
    await faulty.store.put(KEY, LARGE)
    assert (await faulty.straight.get(KEY))[0] == LARGE
    assert faulty.proxy.methods == [*BEGIN, *["PUT"] * 5, *COMPLETE]


@pytest.mark.parametrize(
    ("fault", "attempts"), [(Fault.LOSE_REQUEST, 5), (Fault.LOSE_ANSWER, 5), (Fault.SLOW_DOWN, 10)]
)
async def test_a_piece_that_never_gets_there_ends_the_put_and_the_old_object_is_whole(
    faulty: Faulty, fault: Fault, attempts: int
) -> None:
    await faulty.straight.put(KEY, OLD)
    faulty.proxy.faults.extend([None, None, *[fault] * attempts])
    with pytest.raises(StoreError, match=rf"cannot upload: still .* after {attempts} attempts") as caught:
        await faulty.store.put(KEY, LARGE)
    assert type(caught.value) is StoreError
    assert (await faulty.straight.get(KEY))[0] == OLD
    assert faulty.proxy.methods == [*BEGIN, *["PUT"] * (attempts + 1), *ABORT]
    assert faulty.unfinished() == []


@pytest.mark.parametrize("condition", [None, Absent()], ids=["always", "if-absent"])
@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.INTERNAL_ERROR])
async def test_a_completion_whose_answer_is_lost_is_unknown_and_the_object_is_there(
    faulty: Faulty, fault: Fault, condition: Condition
) -> None:
    faulty.proxy.faults.extend([None] * (len(CHECK) * (condition is not None) + 4))
    faulty.proxy.faults.append(fault)
    with pytest.raises(OutcomeUnknownError, match=KEY):
        await faulty.store.put(KEY, LARGE, condition=condition)
    assert faulty.proxy.methods[-2:] == [*COMPLETE, *ABORT]
    assert (await faulty.straight.get(KEY))[0] == LARGE


async def test_a_completion_that_is_lost_on_its_way_is_unknown_and_is_not_repeated(faulty: Faulty) -> None:
    await faulty.straight.put(KEY, OLD)
    faulty.proxy.faults.extend([None] * 4 + [Fault.LOSE_REQUEST])
    with pytest.raises(OutcomeUnknownError, match=KEY):
        await faulty.store.put(KEY, LARGE)
    assert faulty.proxy.methods == [*BEGIN, *PIECES, *COMPLETE, *ABORT]
    assert (await faulty.straight.get(KEY))[0] == OLD
    assert faulty.unfinished() == []


async def test_two_completions_that_meet_are_a_failed_condition(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([None] * (len(CHECK) + 4) + [Fault.CONFLICT])
    with pytest.raises(PreconditionFailedError, match=KEY):
        await faulty.store.put(KEY, LARGE, condition=Absent())
    assert await faulty.straight.list("") == []
    assert faulty.unfinished() == []


async def test_a_completion_that_was_told_to_slow_down_is_repeated(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([None] * 4 + [Fault.SLOW_DOWN] * 2)
    await faulty.store.put(KEY, LARGE)
    assert faulty.proxy.methods == [*BEGIN, *PIECES, *COMPLETE * 3]


async def test_where_aborting_fails_too_the_first_failure_is_told(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([None, Fault.ACCESS_DENIED, Fault.ACCESS_DENIED])
    with pytest.raises(StoreError, match=r"cannot upload: AccessDenied \(403\); .* and s3:AbortMultipartUpload"):
        await faulty.store.put(KEY, LARGE)
    assert faulty.proxy.methods == [*BEGIN, "PUT", *ABORT]


async def test_moto_which_completes_on_any_condition_is_refused_before_anything_is_written(
    moto: S3Server, moto_client: "S3Client"
) -> None:
    async with on_moto(moto, moto_client) as store:
        await store.put(KEY, OLD)
        with pytest.raises(StoreError, match="completes uploads whose condition does not hold") as caught:
            await store.put(KEY, LARGE, condition=ETAG)
        assert type(caught.value) is StoreError
        assert (await store.get(KEY))[0] == OLD
        assert [found.key for found in await store.list("")] == [KEY]


async def test_moto_every_request_of_an_upload_names_the_bucket_s_owner_and_the_first_the_key(moto: S3Server) -> None:
    asked: list[tuple[str, dict[str, object]]] = []
    with moto.client() as client:
        client.meta.events.register(
            "provide-client-params.s3", lambda params, model, **_: asked.append((model.name, params))
        )
        async with on_moto(moto, client, bucket_owner="123456789012", kms_key_id="alias/lake") as store:
            await store.put(KEY, LARGE)
    assert [name for name, _ in asked] == [
        "CreateMultipartUpload",
        *["UploadPart"] * 3,
        "CompleteMultipartUpload",
    ]
    assert {params["ExpectedBucketOwner"] for _, params in asked} == {"123456789012"}
    assert asked[0][1]["SSEKMSKeyId"] == "alias/lake"

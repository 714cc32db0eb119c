"""What S3 adds to the contract: lost answers, refusals, credentials, encryption. SeaweedFS unless a name says moto."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, Condition
from exporter.store.open import open_store
from exporter.store.s3 import S3Store
from tests.support.faulty_s3 import Faulty
from tests.support.s3_servers import Fault, S3Server, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.xdist_group("s3")

KEY = "strikes/month=2025-01/part-00000.parquet"


@asynccontextmanager
async def closing(store: S3Store) -> AsyncIterator[S3Store]:
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened(server: S3Server, *, bucket: str = "", endpoint_url: str = "") -> AsyncIterator[S3Store]:
    async def no_wait(_: float) -> None:
        pass

    with server.client(endpoint_url) as client:
        async with closing(S3Store(bucket or server.bucket, uuid4().hex, client=client, sleep=no_wait)) as store:
            yield store


@pytest.mark.parametrize("condition", [None, Absent()], ids=["always", "if-absent"])
@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.INTERNAL_ERROR])
async def test_a_put_whose_answer_is_lost_is_unknown_and_the_object_is_there(
    faulty: Faulty, fault: Fault, condition: Condition
) -> None:
    faulty.proxy.faults.append(fault)
    with pytest.raises(OutcomeUnknownError, match=KEY):
        await faulty.store.put(KEY, b"rows", condition=condition)
    assert faulty.proxy.methods == ["PUT"]
    assert (await faulty.straight.get(KEY))[0] == b"rows"


async def test_a_put_that_is_lost_on_its_way_is_unknown_and_is_not_repeated(faulty: Faulty) -> None:
    await faulty.straight.put(KEY, b"old")
    faulty.proxy.faults.append(Fault.LOSE_REQUEST)
    with pytest.raises(OutcomeUnknownError, match=KEY):
        await faulty.store.put(KEY, b"new")
    assert faulty.proxy.methods == ["PUT"]
    assert (await faulty.straight.get(KEY))[0] == b"old"


async def test_a_put_that_was_told_to_slow_down_is_repeated_after_growing_waits(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([Fault.SLOW_DOWN] * 9)
    info = await faulty.store.put(KEY, b"rows", condition=Absent())
    assert faulty.proxy.methods == ["PUT"] * 10
    assert (await faulty.straight.get(KEY))[1].etag == info.etag
    limits = [0.25, 0.5, 1, 2, 4, 8, 8, 8, 8]
    assert all(0 <= wait <= limit for wait, limit in zip(faulty.waits, limits, strict=True))


async def test_a_put_that_is_always_told_to_slow_down_fails_and_the_old_object_is_whole(faulty: Faulty) -> None:
    await faulty.straight.put(KEY, b"old")
    faulty.proxy.faults.extend([Fault.SLOW_DOWN] * 10)
    with pytest.raises(StoreError, match=r"cannot write: still SlowDown \(503\) after 10 attempts") as caught:
        await faulty.store.put(KEY, b"new")
    assert type(caught.value) is StoreError
    assert (await faulty.straight.get(KEY))[0] == b"old"


async def test_two_conditional_puts_that_meet_are_a_failed_condition(faulty: Faulty) -> None:
    faulty.proxy.faults.append(Fault.CONFLICT)
    with pytest.raises(PreconditionFailedError, match=KEY):
        await faulty.store.put(KEY, b"rows", condition=Absent())
    assert faulty.proxy.methods == ["PUT"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOSE_REQUEST,
        Fault.LOSE_ANSWER,
        Fault.CUT_BODY,
        Fault.FLIP_BYTE,
        Fault.SLOW_DOWN,
        Fault.INTERNAL_ERROR,
    ],
)
async def test_a_read_is_repeated_until_it_is_whole_and_right(faulty: Faulty, fault: Fault) -> None:
    await faulty.straight.put(KEY, b"rows" * 1000)
    faulty.proxy.faults.extend([fault] * 2)
    assert (await faulty.store.get(KEY))[0] == b"rows" * 1000
    assert faulty.proxy.methods == ["GET"] * 3


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.SLOW_DOWN, Fault.CUT_BODY])
async def test_tail_and_list_are_repeated(faulty: Faulty, fault: Fault) -> None:
    await faulty.straight.put(KEY, b"rows" * 1000)
    faulty.proxy.faults.append(fault)
    assert (await faulty.store.tail(KEY, 8))[0] == b"rowsrows"
    faulty.proxy.faults.append(fault)
    assert [info.key for info in await faulty.store.list("strikes/")] == [KEY]
    assert faulty.proxy.methods == ["GET"] * 4


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.SLOW_DOWN])
async def test_a_delete_is_repeated(faulty: Faulty, fault: Fault) -> None:
    await faulty.straight.put(KEY, b"rows")
    faulty.proxy.faults.append(fault)
    await faulty.store.delete(KEY)
    assert await faulty.straight.list("") == []


async def test_a_read_that_never_succeeds_ends_after_five_attempts(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([Fault.INTERNAL_ERROR] * 5)
    with pytest.raises(StoreError, match=r"cannot read: still InternalError \(500\) after 5 attempts; run again"):
        await faulty.store.get(KEY)
    assert faulty.proxy.methods == ["GET"] * 5


async def test_what_is_not_allowed_is_asked_once_and_the_message_names_the_permissions(faulty: Faulty) -> None:
    for verb, call in (
        ("read", faulty.store.get(KEY)),
        ("write", faulty.store.put(KEY, b"rows")),
        ("list", faulty.store.list(KEY)),
        ("delete", faulty.store.delete(KEY)),
    ):
        faulty.proxy.faults.append(Fault.ACCESS_DENIED)
        with pytest.raises(StoreError, match=rf"s3://lake/.*{KEY}: cannot {verb}: AccessDenied \(403\).*s3:PutObject"):
            await call
    assert len(faulty.proxy.methods) == 4


async def test_a_full_store_is_told_once_and_the_old_object_is_whole(faulty: Faulty) -> None:
    await faulty.straight.put(KEY, b"old")
    faulty.proxy.faults.append(Fault.FULL)
    with pytest.raises(StoreError, match=rf"{KEY}: cannot write: InsufficientStorage \(507\); free some space"):
        await faulty.store.put(KEY, b"new")
    assert faulty.proxy.methods == ["PUT"]
    assert (await faulty.straight.get(KEY))[0] == b"old"


async def test_a_server_that_redirects_every_request_is_told_with_the_setting_to_change(faulty: Faulty) -> None:
    faulty.proxy.faults.extend([Fault.REDIRECT] * 1000)
    with pytest.raises(StoreError, match=rf"{KEY}: cannot write: .*sink\.endpoint_url"):
        await faulty.store.put(KEY, b"rows")


async def test_a_page_that_something_else_answers_with_is_no_object_and_no_put(faulty: Faulty) -> None:
    await faulty.straight.put(KEY, b"old")
    for ask in (faulty.store.put(KEY, b"new"), faulty.store.get(KEY)):
        faulty.proxy.faults.extend([Fault.LOGIN_PAGE] * 5)
        with pytest.raises(StoreError, match=rf"{KEY}: .*sink\.endpoint_url leads to an S3 server"):
            await ask
        faulty.proxy.faults.clear()
    assert (await faulty.straight.get(KEY))[0] == b"old"


async def test_a_wrong_secret_is_refused_and_the_message_has_neither_secret_nor_key(seaweedfs: S3Server) -> None:
    async with opened(replace(seaweedfs, secret_key="a-wrong-secret")) as store:
        with pytest.raises(StoreError, match=r"SignatureDoesNotMatch \(403\); check AWS_ACCESS_KEY_ID") as caught:
            await store.put(KEY, b"rows")
    said = f"{caught.value} {caught.value.__cause__}"
    assert "a-wrong-secret" not in said
    assert seaweedfs.access_key not in said


async def test_an_unknown_access_key_is_refused(seaweedfs: S3Server) -> None:
    async with opened(replace(seaweedfs, access_key="nobody")) as store:
        with pytest.raises(StoreError, match=r"InvalidAccessKeyId \(403\)"):
            await store.get(KEY)


async def test_without_credentials_the_message_says_how_to_give_them(
    seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweedfs.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store("s3://lake/x", endpoint_url=seaweedfs.endpoint_url)
    with pytest.raises(StoreError, match=r"cannot write: NoCredentialsError; set AWS_PROFILE"):
        await store.put(KEY, b"rows")
    await store.close()


async def test_a_missing_bucket_is_named_by_every_verb_and_is_not_a_missing_object(seaweedfs: S3Server) -> None:
    async with opened(seaweedfs, bucket="no-lake") as store:
        for call in (
            store.get(KEY),
            store.tail(KEY, 8),
            store.put(KEY, b"rows"),
            store.list(KEY),
            store.delete(KEY),
        ):
            with pytest.raises(StoreError, match=r"s3://no-lake/.*NoSuchBucket \(404\); create the bucket") as caught:
                await call
            assert not isinstance(caught.value, NotFoundError | PreconditionFailedError)


async def test_where_nobody_listens_nothing_was_written_and_the_message_names_the_setting(seaweedfs: S3Server) -> None:
    async with opened(seaweedfs, endpoint_url=f"http://127.0.0.1:{free_port()}") as store:
        with pytest.raises(StoreError, match=r"EndpointConnectionError after 5 attempts; .*endpoint_url") as caught:
            await store.put(KEY, b"rows")
        assert not isinstance(caught.value, OutcomeUnknownError)


async def test_list_follows_every_page(seaweedfs: S3Server) -> None:
    keys = [f"many/{number:02d}" for number in range(10)]

    def three_a_page(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 3

    with seaweedfs.client() as client:
        client.meta.events.register("provide-client-params.s3.ListObjectsV2", three_a_page)
        async with closing(S3Store(seaweedfs.bucket, uuid4().hex, client=client)) as store:
            for key in keys:
                await store.put(key, b"")
            assert [info.key for info in await store.list("many/")] == keys


async def test_prefixes_that_begin_alike_do_not_see_each_other(
    seaweedfs: S3Server, seaweedfs_client: "S3Client"
) -> None:
    above = uuid4().hex
    async with (
        closing(S3Store(seaweedfs.bucket, f"{above}/a", client=seaweedfs_client)) as short,
        closing(S3Store(seaweedfs.bucket, f"{above}/ab", client=seaweedfs_client)) as long,
        closing(S3Store(seaweedfs.bucket, "", client=seaweedfs_client)) as whole,
    ):
        await long.put("x", b"long")
        assert await short.list("") == []
        with pytest.raises(NotFoundError):
            await short.get("x")
        assert [info.key for info in await whole.list(above)] == [f"{above}/ab/x"]


async def test_every_object_carries_a_checksum(seaweedfs: S3Server, seaweedfs_client: "S3Client") -> None:
    prefix = uuid4().hex
    async with closing(S3Store(seaweedfs.bucket, prefix, client=seaweedfs_client)) as store:
        await store.put("x", b"rows")
    head = seaweedfs_client.head_object(Bucket=seaweedfs.bucket, Key=f"{prefix}/x", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == "Cov0oQ=="


async def test_moto_keeps_objects_encrypted_with_the_key_that_was_asked_for(
    moto: S3Server, moto_client: "S3Client"
) -> None:
    async with closing(S3Store(moto.bucket, "sealed", client=moto_client, kms_key_id="alias/lake")) as store:
        await store.put("x", b"rows")
    head = moto_client.head_object(Bucket=moto.bucket, Key="sealed/x")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/lake")


async def test_every_request_names_the_bucket_s_owner_where_one_is_expected_and_none_an_access_list(
    moto: S3Server,
) -> None:
    asked: list[tuple[str, dict[str, object]]] = []
    with moto.client() as client:
        client.meta.events.register(
            "provide-client-params.s3", lambda params, model, **_: asked.append((model.name, params))
        )
        async with closing(S3Store(moto.bucket, "owned", client=client, bucket_owner="123456789012")) as store:
            info = await store.put(KEY, b"rows", condition=Absent())
            await store.put(KEY, b"more", condition=info.etag)
            await store.get(KEY)
            await store.tail(KEY, 1)
            await store.list("")
            await store.delete(KEY)
    assert {name for name, _ in asked} == {"PutObject", "GetObject", "ListObjectsV2", "DeleteObject"}
    for _, params in asked:
        assert params["ExpectedBucketOwner"] == "123456789012"
        assert not [name for name in params if name == "ACL" or name.startswith("Grant")]


async def test_without_an_expected_owner_none_is_named(moto: S3Server) -> None:
    asked: list[dict[str, object]] = []
    with moto.client() as client:
        client.meta.events.register("provide-client-params.s3", lambda params, **_: asked.append(params))
        async with closing(S3Store(moto.bucket, "anybody", client=client)) as store:
            await store.put(KEY, b"rows")
    assert asked
    assert not any("ExpectedBucketOwner" in params for params in asked)


async def test_moto_a_store_opened_from_its_url_takes_credentials_from_the_environment_and_gives_all_back(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    before = set(threading.enumerate())
    store = open_store(f"s3://{moto.bucket}/by url/", endpoint_url=moto.endpoint_url)
    await store.put(KEY, b"rows")
    assert (await store.get(KEY))[0] == b"rows"
    assert store.url == f"s3://{moto.bucket}/by url"
    await store.close()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("s3_"):
            thread.join(timeout=10)
            assert not thread.is_alive()

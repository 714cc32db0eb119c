"""What every store promises: `exporter/store/base.py`, one test a sentence."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import NotFoundError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, ObjectStore

KEY = "strikes/month=2025-01/part-00000.parquet"
ODD_KEYS = [
    "a",
    "with space/and more.txt",
    "ünï/☃ 雪/😀",
    "a+b%20c=d&e?f#g/h",
    "_staging/.hidden/_manifests/x",
    "quote'\"<&>;:@!$(),~*|",
]


async def test_what_was_put_is_got(store: ObjectStore) -> None:
    put = await store.put(KEY, b"rows")
    data, info = await store.get(KEY)
    assert data == b"rows"
    assert (info.key, info.size, info.etag) == (KEY, 4, put.etag)
    assert put.size == 4


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_odd_keys_are_put_got_listed_and_deleted(store: ObjectStore, key: str) -> None:
    await store.put(key, b"x")
    assert (await store.get(key))[0] == b"x"
    assert [info.key for info in await store.list("")] == [key]
    await store.delete(key)
    assert await store.list("") == []


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_objects_of_any_size_come_back_as_they_were(store: ObjectStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"\0" * (size % 256)
    await store.put(KEY, data)
    got, info = await store.get(KEY)
    assert got == data
    assert info.size == size


async def test_an_object_is_replaced_whole_and_its_etag_changes(store: ObjectStore) -> None:
    first = await store.put(KEY, b"a longer object")
    second = await store.put(KEY, b"short")
    assert second.etag != first.etag
    data, info = await store.get(KEY)
    assert (data, info.etag) == (b"short", second.etag)


async def test_etags_of_quick_replacements_of_one_size_all_differ(store: ObjectStore) -> None:
    etags = [(await store.put(KEY, b"%04d" % number)).etag for number in range(40)]
    assert len(set(etags)) == 40


async def test_get_list_and_put_tell_the_same_etag_and_about_now_in_utc(store: ObjectStore) -> None:
    put = await store.put(KEY, b"rows")
    _, got = await store.get(KEY)
    (listed,) = await store.list(KEY)
    assert put.etag == got.etag == listed.etag
    for info in (put, got, listed):
        assert info.modified_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)


async def test_an_object_that_is_not_there_is_not_found_and_the_message_names_it(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError, match=re.escape(f"{store.url}/{KEY}: ")):
        await store.get(KEY)
    with pytest.raises(NotFoundError, match=re.escape(f"{store.url}/{KEY}: ")):
        await store.tail(KEY, 8)


async def test_a_folder_is_no_object(store: ObjectStore) -> None:
    await store.put("folder/object", b"x")
    with pytest.raises(NotFoundError):
        await store.get("folder")
    await store.delete("folder")
    assert [info.key for info in await store.list("")] == ["folder/object"]


@pytest.mark.parametrize(
    ("data", "size", "expected"),
    [
        (b"0123456789", 3, b"789"),
        (b"0123456789", 10, b"0123456789"),
        (b"0123", 64, b"0123"),
        (b"", 8, b""),
        (b"1", 0, b""),
    ],
)
async def test_tail_is_the_end_and_tells_the_size_of_the_whole(
    store: ObjectStore, data: bytes, size: int, expected: bytes
) -> None:
    put = await store.put(KEY, data)
    tail, info = await store.tail(KEY, size)
    assert tail == expected
    assert (info.size, info.etag) == (len(data), put.etag)


async def test_list_takes_any_beginning_of_a_key_at_any_depth_and_sorts(store: ObjectStore) -> None:
    keys = ["b/month=2025-01/x", "a/z", "b/month=2025-02/x", "b/month=2026-01/x", "b/mint", "bb", "b/_manifests/1.json"]
    for key in keys:
        await store.put(key, key.encode())

    async def found(prefix: str) -> list[str]:
        return [info.key for info in await store.list(prefix)]

    for prefix in (
        "",
        "b",
        "b/",
        "b/m",
        "b/month=2025-0",
        "b/month=2025-01/",
        "b/month=2025-01/x",
        "c",
        "b/month=2025-01/x/",
    ):
        assert await found(prefix) == sorted(key for key in keys if key.startswith(prefix))


async def test_delete_removes_one_object_and_asks_for_none(store: ObjectStore) -> None:
    await store.put("a/1", b"x")
    await store.put("a/2", b"x")
    await store.delete("a/1")
    await store.delete("a/1")
    await store.delete("b/never")
    assert [info.key for info in await store.list("")] == ["a/2"]


async def test_put_if_absent_writes_once(store: ObjectStore) -> None:
    await store.put(KEY, b"first", condition=Absent())
    with pytest.raises(PreconditionFailedError, match=KEY):
        await store.put(KEY, b"second", condition=Absent())
    assert (await store.get(KEY))[0] == b"first"
    await store.delete(KEY)
    await store.put(KEY, b"third", condition=Absent())
    assert (await store.get(KEY))[0] == b"third"


async def test_put_if_unchanged_writes_over_that_version_only(store: ObjectStore) -> None:
    first = await store.put(KEY, b"first")
    second = await store.put(KEY, b"second", condition=first.etag)
    with pytest.raises(PreconditionFailedError, match=KEY):
        await store.put(KEY, b"late", condition=first.etag)
    data, info = await store.get(KEY)
    assert (data, info.etag) == (b"second", second.etag)


async def test_put_if_unchanged_does_not_make_an_object_that_is_gone(store: ObjectStore) -> None:
    first = await store.put(KEY, b"first")
    await store.delete(KEY)
    with pytest.raises(PreconditionFailedError, match=KEY):
        await store.put(KEY, b"second", condition=first.etag)
    assert await store.list("") == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../../b", "..", "a//b", "a/", "./a", "a\\b", "a\0b"], ids=repr)
async def test_keys_that_could_leave_the_sink_are_refused(store: ObjectStore, key: str) -> None:
    for call in (store.get(key), store.tail(key, 1), store.put(key, b"x"), store.delete(key)):
        with pytest.raises(StoreError, match="not a key"):
            await call


async def test_prefixes_that_could_leave_the_sink_are_refused(store: ObjectStore) -> None:
    for prefix in ("/", "../", "a/../b", "a\\", "a//"):
        with pytest.raises(StoreError, match="not a key"):
            await store.list(prefix)


#: Not moto: its server looks at the condition and puts in two steps, so two of its threads may both win.
real_stores = pytest.mark.parametrize(
    "open_another",
    ["memory", "local", pytest.param("seaweedfs", marks=pytest.mark.xdist_group("s3"))],
    indirect=True,
)


@real_stores
async def test_of_sixteen_that_put_on_one_condition_exactly_one_wins_each_round(
    open_another: Callable[[], ObjectStore],
) -> None:
    stores = [open_another() for _ in range(16)]
    condition: Absent | str = Absent()

    async def attempt(number: int) -> str | None:
        try:
            return (await stores[number].put(KEY, b"writer %d" % number, condition=condition)).etag
        except PreconditionFailedError:
            return None

    for _ in range(2):
        etags = await asyncio.gather(*(attempt(number) for number in range(16)))
        (winner,) = (number for number, etag in enumerate(etags) if etag is not None)
        data, info = await stores[0].get(KEY)
        assert data == b"writer %d" % winner
        assert info.etag == etags[winner]
        # Other bytes between the rounds, since on S3 the etag follows the bytes and the same writer may win again.
        condition = (await stores[0].put(KEY, b"between")).etag


@real_stores
async def test_eight_writers_that_read_add_and_put_lose_no_addition(open_another: Callable[[], ObjectStore]) -> None:
    await open_another().put(KEY, b"0")

    async def add(store: ObjectStore, times: int) -> None:
        while times:
            data, info = await store.get(KEY)
            try:
                await store.put(KEY, b"%d" % (int(data) + 1), condition=info.etag)
            except PreconditionFailedError:
                continue
            times -= 1

    await asyncio.gather(*(add(open_another(), 4) for _ in range(8)))
    assert (await open_another().get(KEY))[0] == b"32"


async def test_a_reader_meanwhile_sees_only_whole_objects(open_another: Callable[[], ObjectStore]) -> None:
    versions = [bytes([letter]) * 150_000 for letter in b"ABCD"]
    writer, reader = open_another(), open_another()
    await writer.put(KEY, versions[0])

    async def write() -> None:
        for number in range(12):
            await writer.put(KEY, versions[number % 4])

    writing = asyncio.create_task(write())
    seen = 0
    while not writing.done():
        data, info = await reader.get(KEY)
        tail, _ = await reader.tail(KEY, 1000)
        assert data in versions
        assert info.size == len(data)
        assert len(set(tail)) == 1
        assert len(tail) == 1000
        assert [listed.size for listed in await reader.list("")] == [150_000]
        seen += 1
    await writing
    assert seen

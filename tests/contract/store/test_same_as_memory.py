"""The law behind the contract: whatever is done, in whatever order, every store answers as the memory store does."""

import asyncio
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import StoreError
from exporter.store.base import Absent, Condition, ObjectStore
from exporter.store.local import LocalStore
from exporter.store.memory import MemoryStore
from exporter.store.s3 import S3Store
from tests.support.s3_servers import S3Server

#: Few keys, so that steps meet; none is a folder of another, which a folder cannot hold and a bucket can.
KEYS = st.sampled_from(["a/x", "a/y", "a/b/x", "b c/ü", "_s/.x"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.sampled_from(["always", "absent", "unchanged", "stale"])),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("tail"), KEYS, st.integers(0, 12)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("list"), st.sampled_from(["", "a", "a/", "a/b", "b", "_", "z/"])),
)


async def answers(store: ObjectStore, steps: list[tuple[str, ...]]) -> list[object]:
    """What the store says to each step, without what differs between stores by right: etags, times and wording."""
    etags: dict[str, list[str]] = {}
    said: list[object] = []
    for number, (verb, key, *rest) in enumerate(steps):
        try:
            match verb:
                case "put":
                    known = etags.setdefault(key, [])
                    condition: Condition = {
                        "always": None,
                        "absent": Absent(),
                        "unchanged": known[-1] if known else "none",
                        "stale": known[-2] if len(known) > 1 else "none",
                    }[rest[0]]
                    info = await store.put(key, b"version %d" % number, condition=condition)
                    known.append(info.etag)
                    said.append((info.key, info.size))
                case "get":
                    data, info = await store.get(key)
                    said.append((data, info.key, info.size, info.etag == etags[key][-1]))
                case "tail":
                    data, info = await store.tail(key, int(rest[0]))
                    said.append((data, info.key, info.size, info.etag == etags[key][-1]))
                case "delete":
                    await store.delete(key)
                    said.append("deleted")
                case "list":
                    said.append(
                        [(info.key, info.size, info.etag == etags[info.key][-1]) for info in await store.list(key)]
                    )
        except StoreError as error:
            said.append(type(error))
    return said


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_folder_answers_as_memory_does(steps: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected = asyncio.run(answers(MemoryStore(), steps))
        assert asyncio.run(answers(LocalStore(Path(folder) / "lake"), steps)) == expected


@pytest.mark.xdist_group("s3")
@settings(max_examples=10, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_seaweedfs_answers_as_memory_does(
    seaweedfs: S3Server, seaweedfs_client: object, steps: list[tuple[str, ...]]
) -> None:
    async def on_s3() -> list[object]:
        store = S3Store(seaweedfs.bucket, uuid4().hex, client=seaweedfs_client)  # type: ignore[arg-type]
        said = await answers(store, steps)
        await store.close()
        return said

    assert asyncio.run(on_s3()) == asyncio.run(answers(MemoryStore(), steps))

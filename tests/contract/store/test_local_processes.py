"""Several processes at one folder, and what a killed one leaves behind."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import NotFoundError
from exporter.store.local import LocalStore

KEY = "a/month=2025-01/part-00000.parquet"

ADD = """
import asyncio, pathlib, sys
from exporter.errors import PreconditionFailedError
from exporter.store.local import LocalStore

async def main(store, times):
    while times:
        data, info = await store.get("counter/value")
        try:
            await store.put("counter/value", b"%d" % (int(data) + 1), condition=info.etag)
        except PreconditionFailedError:
            continue
        times -= 1

asyncio.run(main(LocalStore(pathlib.Path(sys.argv[1])), 60))
"""

REPLACE_FOR_EVER = """
import asyncio, itertools, pathlib, sys
from exporter.store.local import LocalStore

async def main(store, key):
    for letter in itertools.cycle(b"ABCD"):
        await store.put(key, bytes([letter]) * 2_000_000)
        print("put", flush=True)

asyncio.run(main(LocalStore(pathlib.Path(sys.argv[1])), sys.argv[2]))
"""

PUT_AND_DELETE = """
import asyncio, pathlib, sys
from exporter.store.local import LocalStore

async def main(store, name):
    for _ in range(150):
        await store.put(f"deep/er/{name}", b"x")
        await store.delete(f"deep/er/{name}")

asyncio.run(main(LocalStore(pathlib.Path(sys.argv[1])), sys.argv[2]))
"""

LEAVE_UNFINISHED = """
import asyncio, os, pathlib, signal, sys
from exporter.store.local import LocalStore

os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(LocalStore(pathlib.Path(sys.argv[1])).put(sys.argv[2], b"never renamed"))
"""


STALL_WHILE_WRITING = """
import asyncio, os, pathlib, sys
from exporter.store.local import LocalStore

def stall(descriptor, sync=os.fsync):
    os.fsync = sync
    print("written", flush=True)
    sys.stdin.readline()
    sync(descriptor)

os.fsync = stall
asyncio.run(LocalStore(pathlib.Path(sys.argv[1])).put(sys.argv[2], b"slowly"))
"""


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def folders_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_two_processes_that_read_add_and_put_lose_no_addition(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put("counter/value", b"0")
    with start(ADD, tmp_path) as one, start(ADD, tmp_path) as other:
        pass
    assert (one.returncode, other.returncode) == (0, 0)
    assert (await store.get("counter/value"))[0] == b"120"


async def test_two_processes_that_empty_each_others_folders_both_go_on(tmp_path: Path) -> None:
    with start(PUT_AND_DELETE, tmp_path / "lake", "one") as one, start(PUT_AND_DELETE, tmp_path / "lake", "two") as two:
        pass
    assert (one.returncode, two.returncode) == (0, 0)
    assert files_below(tmp_path) == []
    assert folders_below(tmp_path / "lake") == []


async def test_while_another_process_replaces_and_when_it_is_killed_the_object_is_whole(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with start(REPLACE_FOR_EVER, tmp_path, KEY) as writer:
        assert writer.stdout
        await asyncio.to_thread(writer.stdout.readline)
        for _ in range(40):
            await assert_whole(store)
        writer.kill()
    await assert_whole(store)
    await store.put(KEY, b"mine")
    assert files_below(tmp_path) == [tmp_path / KEY]


async def assert_whole(store: LocalStore) -> None:
    data, info = await store.get(KEY)
    assert len(data) == info.size == 2_000_000
    assert data == data[:1] * 2_000_000
    assert [listed.key for listed in await store.list("")] == [KEY]


@pytest.mark.parametrize("verb", ["put", "delete"])
async def test_what_a_killed_process_left_unfinished_is_invisible_and_removed_by_the_next_one(
    tmp_path: Path, verb: str
) -> None:
    store = LocalStore(tmp_path / "lake")
    with start(LEAVE_UNFINISHED, tmp_path / "lake", KEY) as writer:
        pass
    assert writer.returncode == -9
    (left,) = files_below(tmp_path)
    assert left.name.startswith(".")
    assert await store.list("") == []
    with pytest.raises(NotFoundError):
        await store.get(KEY)
    if verb == "put":
        await store.put(KEY, b"rows")
        assert files_below(tmp_path) == [tmp_path / "lake" / KEY]
    else:
        await store.delete(KEY)
        assert files_below(tmp_path) == []
        assert folders_below(tmp_path / "lake") == []


async def test_what_a_living_process_has_not_finished_is_invisible_and_left_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / KEY).parent.mkdir(parents=True)
    with start(STALL_WHILE_WRITING, tmp_path, KEY) as writer:
        assert writer.stdin
        assert writer.stdout
        await asyncio.to_thread(writer.stdout.readline)
        await store.put(f"{KEY}.beside", b"x")
        assert [info.key for info in await store.list("")] == [f"{KEY}.beside"]
        assert len(files_below(tmp_path)) == 2
        writer.stdin.write("go on\n")
    assert writer.returncode == 0
    assert (await store.get(KEY))[0] == b"slowly"

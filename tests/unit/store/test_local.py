import asyncio
import errno
import os
import resource
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.errors import OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, Condition, ObjectInfo, Readers
from exporter.store.local import LocalStore, explain


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def folders_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir())


async def test_the_folder_is_made_by_the_first_put_and_holds_the_objects_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "not" / "yet")
    assert await store.list("") == []
    await store.put("a/b/c", b"x")
    with pytest.raises(PreconditionFailedError):
        await store.put("a/b/c", b"y", condition=Absent())
    assert files_below(tmp_path) == ["not/yet/a/b/c"]
    assert (tmp_path / "not/yet/a/b/c").read_bytes() == b"x"


async def test_what_tells_of_people_who_are_left_out_is_read_by_the_owner_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = LocalStore(tmp_path / "lake", readers=Readers.ALL)
        await store.put("_erasure/receipts/a", b"x")
    finally:
        os.umask(umask)
    made = [tmp_path / "lake", *(tmp_path / "lake").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert modes == {"lake": 0o755, "_erasure": 0o700, "receipts": 0o700, "a": 0o600}


@pytest.mark.parametrize(
    ("readers", "file", "folder"), [("owner", 0o600, 0o700), ("group", 0o640, 0o750), ("all", 0o644, 0o755)]
)
async def test_what_is_made_can_be_read_by_those_who_may_and_by_nobody_else(
    tmp_path: Path, readers: str, file: int, folder: int
) -> None:
    umask = os.umask(0)
    try:
        store = LocalStore(tmp_path / "a" / "lake", readers=Readers(readers))
        for data in (b"old", b"new"):
            await store.put("x/y", data)
    finally:
        os.umask(umask)
    made = sorted((tmp_path / "a").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {file}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", *made) if path.is_dir()} == {folder}


async def test_a_file_is_never_readable_by_more_while_it_is_written(tmp_path: Path) -> None:
    modes = set()

    class Looking(LocalStore):
        def _replace(self, key: str, path: Path, unfinished: str, condition: Condition) -> ObjectInfo:
            modes.add(stat.S_IMODE((path.parent / unfinished).stat().st_mode))
            return super()._replace(key, path, unfinished, condition)

    await Looking(tmp_path / "lake").put("x", b"rows")
    assert modes == {0o600}


async def test_a_folder_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    folder.chmod(0o2775)
    await LocalStore(folder).put("x", b"rows")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775


async def test_delete_removes_emptied_folders_but_neither_others_nor_the_sink(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "lake")
    await store.put("a/b/c/1", b"x")
    await store.put("a/2", b"x")
    await store.delete("a/b/c/1")
    assert folders_below(tmp_path) == ["lake", "lake/a"]
    await store.delete("a/2")
    assert folders_below(tmp_path) == ["lake"]


async def test_a_put_that_the_system_breaks_off_leaves_the_old_object_and_nothing_else(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, url="./lake")
    await store.put("a/b", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreError, match=r"^\./lake/a/b: cannot write: File too large \(EFBIG\); raise"):
            await store.put("a/b", b"new" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_below(tmp_path) == ["a/b"]
    assert (await store.get("a/b"))[0] == b"old"


async def test_where_the_sink_is_a_file_the_message_says_so(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("")
    store = LocalStore(tmp_path / "lake", url="./lake")
    with pytest.raises(StoreError, match=r"^\./lake/a: cannot write: Not a directory \(ENOTDIR\); a file lies where"):
        await store.put("a", b"x")


def prune_at(step: int, folder: Path, error: type[OSError] | None, patch: pytest.MonkeyPatch) -> list[str]:
    """Let another process remove *folder*, where it is empty, just before this one's system call number *step* on it.

    Returns:
        The names of the calls, as they come. The one at *step* says *error* besides, where one is given.
    """
    made: list[str] = []

    def watch(name: str) -> None:
        system_call = getattr(os, name)

        def call(path: object, *args: object, **options: object) -> object:
            if str(path).startswith(str(folder)):
                made.append(name)
                if len(made) == step:
                    with suppress(OSError):
                        folder.rmdir()
                    if error:
                        raise error(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            return system_call(path, *args, **options)

        patch.setattr(os, name, call)

    for name in ("open", "mkdir", "scandir", "rmdir"):
        watch(name)
    return made


@pytest.mark.parametrize("error", [None, NotADirectoryError])
async def test_a_folder_that_another_process_removes_at_any_step_is_noticed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError] | None
) -> None:
    for step in range(1, 30):
        store = LocalStore(tmp_path / str(step))
        with monkeypatch.context() as patch:
            calls = prune_at(step, tmp_path / str(step) / "_staging", error, patch)
            await store.put("_staging/a", b"x")
            assert (await store.get("_staging/a"))[0] == b"x"
            await store.list("_staging/")
            await store.delete("_staging/a")
            await store.list("_staging/")
    assert {"open", "mkdir", "scandir", "rmdir"} == set(calls)
    assert len(calls) < step, "every call had its turn"


async def test_a_folder_in_an_objects_place_is_not_replaced(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put("a/b", b"x")
    with pytest.raises(StoreError, match="EISDIR"):
        await store.put("a", b"x")
    assert files_below(tmp_path) == ["a/b"]


@pytest.mark.parametrize("turns", range(12))
async def test_a_put_that_is_cancelled_leaves_the_old_object_or_the_new_one_and_nothing_else(
    tmp_path: Path, turns: int
) -> None:
    store = LocalStore(tmp_path)
    await store.put("a/b", b"old")
    put = asyncio.create_task(store.put("a/b", b"new" * 50_000))
    for _ in range(turns):
        await asyncio.sleep(0)
    cancelled = put.cancel()
    assert cancelled or turns > 1, "it cannot be done before a thread has begun it"
    if cancelled:
        with pytest.raises(asyncio.CancelledError):
            await put
    assert files_below(tmp_path) == ["a/b"]
    assert (await store.get("a/b"))[0] in (b"old", b"new" * 50_000)


async def test_a_cancelled_put_that_failed_too_is_only_cancelled(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    put = asyncio.create_task(LocalStore(tmp_path).put("a/b", b"x"))
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put


@pytest.mark.parametrize(("code", "known"), [(errno.EINVAL, True), (errno.EIO, False)])
async def test_an_object_in_a_folder_that_cannot_be_synced_is_unknown_unless_no_folder_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, known: bool
) -> None:
    sync = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    store = LocalStore(tmp_path)
    monkeypatch.setattr(os, "fsync", sync_files_only)
    if known:
        await store.put("a", b"x")
    else:
        with pytest.raises(OutcomeUnknownError, match=r"written, but it may not survive a power cut.*EIO"):
            await store.put("a", b"x")
    assert (await store.get("a"))[0] == b"x"


async def test_names_of_unfinished_files_are_no_keys(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a key"):
        await LocalStore(tmp_path).put("a/.writing-x", b"x")


async def test_replacing_gives_a_new_etag_even_if_the_clock_stands_still(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put("a", b"x")
    ahead = 4_000_000_000_000_000_000
    os.utime(tmp_path / "a", ns=(ahead, ahead))
    (old,) = await store.list("a")
    new = await store.put("a", b"y")
    assert new.etag != old.etag
    assert (tmp_path / "a").stat().st_mtime_ns == ahead + 1


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "let this user"),
        (errno.EROFS, "choose another sink.url"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOLCK, "use a local disk or S3"),
        (errno.EIO, "check the disk"),
    ],
)
def test_what_the_system_says_comes_with_a_way_out(code: int, way_out: str) -> None:
    said = explain(OSError(code, os.strerror(code)))
    assert said.startswith(f"{os.strerror(code)} ({errno.errorcode[code]}); ")
    assert way_out in said

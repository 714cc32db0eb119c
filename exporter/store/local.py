"""A folder as a sink, for any number of processes at once (POSIX).

Rules kept here: an object appears by one rename of a file that was written beside it and synced; whoever replaces or
removes an object holds a lock on its folder while it looks and acts, so conditions hold against other processes too;
a file that is being written is locked by its writer, so what a killed process left behind can be told from what is
still growing, and the next one to write or delete in that folder removes it; a put is one call in a thread, since there
is one for each few pages; a read or a put that has begun is finished even if its worker is cancelled.

Files and folders are made readable by their owner alone, unless told otherwise; those below `_erasure` always are. The
umask may take more away. What is there already keeps its rights.

A lock is taken on the folder itself: no lock file ever lies in the lake.
"""

import asyncio
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiofiles

from exporter.core.partition import ERASURE
from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Condition, ObjectInfo, Readers
from exporter.store.keys import check_key, check_prefix, holds
from exporter.store.local_errors import explain

_T = TypeVar("_T")

#: What the names of unfinished files begin with. Hive-style readers skip names with a leading dot.
_UNFINISHED = ".writing-"

#: Rights of files and of folders.
_MODES: Mapping[Readers, tuple[int, int]] = {
    Readers.OWNER: (0o600, 0o700),
    Readers.GROUP: (0o640, 0o750),
    Readers.ALL: (0o644, 0o755),
}

#: Objects that are read or written at once: each is an open file, and a process may have few.
_MOST_OPEN = 32

#: How often a put begins again because another process removed the folder under it.
_ATTEMPTS = 50

#: What the system says when a folder goes while a path through it is looked up.
_GONE = (FileNotFoundError, NotADirectoryError)

#: What it says when a path leads nowhere: there is no such object.
_NO_SUCH_FILE = (*_GONE, IsADirectoryError)


class LocalStore:
    """The folder *root*, made when the first object is put.

    Args:
        root: where the objects lie.
        url: the sink as the user wrote it, for messages; the path where it is empty.
        readers: who may read the files and folders that are made.
    """

    def __init__(self, root: Path, *, url: str = "", readers: Readers = Readers.OWNER) -> None:
        self._root = root.absolute()
        self._url = url or str(root)
        self._file_mode, self._folder_mode = _MODES[readers]
        self._tidied: set[Path] = set()
        self._open = asyncio.Semaphore(_MOST_OPEN)

    @property
    def url(self) -> str:
        """The sink as the user wrote it."""
        return self._url

    async def get(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The whole object."""
        async with self._open:
            return await _to_the_end(self._read(key, None))

    async def tail(self, key: str, size_bytes: int) -> tuple[bytes, ObjectInfo]:
        """The last *size_bytes* of the object."""
        async with self._open:
            return await _to_the_end(self._read(key, size_bytes))

    async def put(self, key: str, data: bytes, *, condition: Condition = None) -> ObjectInfo:
        """Write the whole object; when this returns, it survives a power cut."""
        path = self._path(key)
        with self._explained(key, "write"):
            for _ in range(_ATTEMPTS):
                # Another process may remove the folder, empty as it still is, before the first file lies in it.
                try:
                    async with self._open:
                        return await _to_the_end(asyncio.to_thread(self._put_once, key, path, data, condition))
                except _GONE:
                    if any(parent.is_file() or _leads_nowhere(parent) for parent in path.parents):
                        raise
        raise StoreError(
            f"{self._url}/{key}: cannot write: its folder was removed {_ATTEMPTS} times meanwhile; "
            "stop what else is at work there"
        )

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """Every object whose key begins with *prefix*; symbolic links to folders are not followed."""
        check_prefix(prefix)
        with self._explained(prefix, "list"):
            found = await asyncio.to_thread(lambda: list(_walk(self._root, prefix)))
        return sorted(found, key=lambda info: info.key)

    async def delete(self, key: str) -> None:
        """Remove the object, and the folders that it leaves empty."""
        path = self._path(key)
        with self._explained(key, "delete"):
            await asyncio.to_thread(self._remove, path)

    async def close(self) -> None:
        """There is nothing to give back."""

    def _path(self, key: str) -> Path:
        check_key(key)
        if key.rpartition("/")[2].startswith(_UNFINISHED):
            raise StoreError(f'{key!r}: not a key; names that begin with "{_UNFINISHED}" are for unfinished files')
        return self._root / key

    def _modes(self, key: str) -> tuple[int, int]:
        if key.startswith(f"{ERASURE}/"):
            return _MODES[Readers.OWNER]  # no reader of the lake needs it, and it helps to find people
        return self._file_mode, self._folder_mode

    @contextmanager
    def _explained(self, key: str, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._url}/{key}: cannot {verb}: {explain(error)}") from error

    async def _read(self, key: str, size_bytes: int | None) -> tuple[bytes, ObjectInfo]:
        path = self._path(key)
        with self._explained(key, "read"):
            try:
                async with aiofiles.open(path, "rb") as file:
                    # Of the open file, not of its name: the name may lead to a newer object by now.
                    info = _info(key, os.fstat(file.fileno()))
                    if size_bytes is not None:
                        await file.seek(max(0, info.size - size_bytes))
                    return await file.read(), info
            except _NO_SUCH_FILE as error:
                raise NotFoundError(f"{self._url}/{key}: there is no such object") from error

    def _put_once(self, key: str, path: Path, data: bytes, condition: Condition) -> ObjectInfo:
        unfinished = path.with_name(_UNFINISHED + secrets.token_hex(8))
        _make_folder(self._root, self._folder_mode)
        file_mode, folder_mode = self._modes(key)
        _make_folder(path.parent, folder_mode)
        try:
            with open(unfinished, "xb", opener=partial(os.open, mode=file_mode)) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                return self._replace(key, path, unfinished.name, condition)
        finally:
            unfinished.unlink(missing_ok=True)

    def _replace(self, key: str, path: Path, unfinished: str, condition: Condition) -> ObjectInfo:
        with _locked(path.parent) as folder:
            self._tidy(path.parent, folder)
            old = _stat(folder, path.name)
            if not holds(condition, _etag(old) if old else None):
                raise PreconditionFailedError(
                    f"{self._url}/{key}: someone else wrote it meanwhile; read it and try again"
                )
            # A file system's own stamps are milliseconds apart and its inode numbers are used again, so a quick
            # replacement could look like what was there before. Ours are finer, and grow with every replacement.
            stamp = max(time.time_ns(), old.st_mtime_ns + 1 if old else 0)
            os.utime(unfinished, ns=(stamp, stamp), dir_fd=folder)
            info = _info(key, os.stat(unfinished, dir_fd=folder))
            os.replace(unfinished, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            try:
                _sync(folder)
            except OSError as error:
                raise OutcomeUnknownError(
                    f"{self._url}/{key}: written, but it may not survive a power cut: {explain(error)}"
                ) from error
        return info

    def _remove(self, path: Path) -> None:
        with suppress(*_NO_SUCH_FILE), _locked(path.parent) as folder:
            self._tidy(path.parent, folder)
            os.unlink(path.name, dir_fd=folder)
        for parent in path.parents:
            if parent == self._root:
                return
            try:
                parent.rmdir()
            except OSError:
                return

    def _tidy(self, path: Path, folder: int) -> None:
        """Remove the unfinished files of dead writers, once for each folder."""
        if path in self._tidied:
            return
        self._tidied.add(path)
        for name in os.listdir(folder):
            if name.startswith(_UNFINISHED):
                # Its writer lives and holds the lock, or someone else was quicker.
                with suppress(OSError):
                    _remove_unlocked(folder, name)


async def _to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Await *work*; when cancelled, only after it has ended.

    What a thread is about to open cannot be closed by a worker that is gone.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, and of no use to anybody now
        raise


def _leads_nowhere(path: Path) -> bool:
    """Whether *path* is a link to something that is not there, such as a folder on a disk that is not mounted."""
    return path.is_symlink() and not path.exists()


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _info(key: str, stat: os.stat_result) -> ObjectInfo:
    modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    return ObjectInfo(key=key, size=stat.st_size, etag=_etag(stat), modified_at=modified_at)


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


def _walk(root: Path, prefix: str) -> Iterator[ObjectInfo]:
    """Every object below *root* whose key begins with *prefix*, in no order."""
    folders = [prefix.rpartition("/")[0]]
    while folders:
        folder = folders.pop()
        for entry in _entries(root / folder):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                folders += [key] if f"{key}/".startswith(prefix) else []
            elif key.startswith(prefix) and not entry.name.startswith(_UNFINISHED):
                with suppress(*_GONE):  # a file may go while it is looked at
                    if entry.is_file():
                        yield _info(key, entry.stat())


def _entries(folder: Path) -> Sequence[os.DirEntry[str]]:
    """What lies in *folder*; nothing where it is gone."""
    with suppress(*_GONE), os.scandir(folder) as entries:
        return list(entries)
    return ()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(*_GONE):
        return entry.is_dir(follow_symlinks=False)
    return False


def _make_folder(folder: Path, mode: int) -> None:
    """Make it and its parents, so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent, mode)
    with suppress(FileExistsError):
        folder.mkdir(mode)
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(parent)
    finally:
        os.close(parent)


def _sync(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        # Some file systems have no such thing for folders, and say so.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The folder's descriptor, while nobody else replaces or removes anything in it.

    What is done must be done relative to the descriptor: the path may lead to a newer folder by now.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_unlocked(folder: int, name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(descriptor)

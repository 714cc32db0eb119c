"""This process: how it uses memory, which one it is, and whether another one on this machine still lives."""

import asyncio
import ctypes
import gc
import os
import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exporter.core.lease import Process

_PROC = Path("/proc")

#: mallopt's number for how many heaps there may be. Source: glibc, malloc.h.
_M_ARENA_MAX = -8

#: mallopt's number for the size from which memory is taken from, and given back to, the system piece by piece.
_M_MMAP_THRESHOLD = -3

#: Columns of many rows are larger, pages are not. Unset, glibc raises it with each of them that is freed, and holes
#: stay in the heap where they were. Measured in docs/decisions/0012.
_MMAP_THRESHOLD_BYTES = 512 * 1024

#: New containers between two searches for cycles, and searches between deeper ones. Pages make many and no cycles.
_GC_THRESHOLDS = (20_000, 20, 50)


def tune_memory() -> None:
    """Have one heap for Arrow and Python, from which freed memory is used again; call before pyarrow is imported.

    Measured in docs/decisions/0011-cpu-and-memory.md: a run takes a third less memory and a tenth less time.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc's alone
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def peak_memory_bytes() -> int:
    """The most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop, where there is one for this platform; None for asyncio's own."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    return new_event_loop


def this_host() -> str:
    """The machine since its last start, and the part of it whose process numbers can be told apart from here.

    Containers share the machine's boot id but not its process numbers, so the namespace is a part of the answer.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def this_process() -> str:
    """This process; the number alone may be used again, so its start stands beside it."""
    return f"{os.getpid()} {_started(os.getpid())}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Who this process is to others that use the same sink, and what it can tell of them.

    Attributes:
        host: the machine, until it restarts.
        process: the process on it, never used twice.
    """

    host: str = field(default_factory=this_host)
    process: str = field(default_factory=this_process)

    def is_running(self, owner: Process) -> bool | None:
        """Whether the process that *owner* names lives; None where it is on another machine."""
        if owner.host != self.host:
            return None
        return owner.process == self.process or _is_running(owner.process)


def invocation(stream: str, number: str) -> Here:
    """One invocation of a Lambda function.

    A process does one at a time: whatever an earlier one of the same process has not ended is dead.

    Args:
        stream: the log stream, which is each environment's own; environments may be copies of one, with the same boot
            id and the same process numbers. Empty where there is none: then nothing can be told of others.
        number: of this invocation, never used twice.
    """
    return Here(host=f"{this_host()} {stream or number}", process=f"{this_process()} {number}")


def _is_running(process: str) -> bool | None:
    """Whether what calls itself *process* on this machine lives; None for an invocation in another living process."""
    number, _, rest = process.partition(" ")
    started, _, inner = rest.partition(" ")
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, and is somebody else's
    except ValueError:
        return None
    if _started(int(number)) != started:
        return False
    if inner:
        return False if int(number) == os.getpid() else None
    return True


def _started(number: int) -> str:
    """When a process began, in ticks since the machine's start; empty where it has ended or that cannot be told."""
    try:
        stat = (_PROC / str(number) / "stat").read_text()
    except OSError:
        return ""
    # The name in parentheses may hold anything, also spaces and parentheses. Source: proc(5), /proc/pid/stat.
    state, *fields = stat.rpartition(")")[2].split()
    # One that was killed stays listed until its parent has asked after it.
    return "" if state in "ZX" else fields[18]

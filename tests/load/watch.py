"""What a process uses while it runs, as Linux tells it."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MB = 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of a process: how far it was, its memory in MB, its open files (sockets among them)."""

    progress: int
    memory_mb: float
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A process that ended.

    Attributes:
        code: its exit code.
        wall_s, cpu_s: how long it took, and user and system time.
        peak_mb: the most memory it had.
        samples: taken while it ran.
        stdout, stderr: what it printed; of stderr the last 10,000 characters.
    """

    code: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    stdout: str
    stderr: str
    samples: Sequence[Sample] = field(default_factory=tuple)

    def peak_until(self, progress: int) -> float:
        """The most memory that was seen before it was further than *progress*."""
        return max((s.memory_mb for s in self.samples if s.progress <= progress), default=0.0)


def watched(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    progress: Callable[[], int] = lambda: 0,
    every_s: float = 0.1,
    on_start: Callable[["subprocess.Popen[bytes]"], object] = lambda _: None,
) -> Ran:
    """Run *command* to its end, and look at it meanwhile.

    Args:
        command: what to run.
        cwd: where.
        environ: what its environment holds beside our own.
        progress: how far it is.
        every_s: between two looks.
        on_start: is told of the process, to send it signals while it runs.
    """
    samples: list[Sample] = []
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environ}, stdout=out, stderr=err)
        on_start(process)
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(every_s):
                if sample := _sample(process.pid, progress):
                    samples.append(sample)

        looking = threading.Thread(target=look)
        looking.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            ended.set()
            looking.join()
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Ran(
            code=process.returncode,
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=usage.ru_maxrss * 1024 / _MB,
            stdout=out.read().decode(),
            stderr=err.read().decode()[-10_000:],
            samples=samples,
        )


def _sample(pid: int, progress: Callable[[], int]) -> Sample | None:
    """The process now; None where it is gone."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (OSError, IndexError):
        return None
    return Sample(progress(), resident * _PAGE_BYTES / _MB, files)

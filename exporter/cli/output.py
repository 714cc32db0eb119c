"""Writing: results to stdout, words about them to stderr, new files.

Rules kept here: a reader that goes away early changes nothing but that nobody reads; what the stream's encoding
cannot say is escaped; nothing is half written when a command returns.
"""

import os
import sys
from pathlib import Path
from typing import TextIO

from exporter.errors import ExporterError, UsageError

#: The last of the numbers that stdin, stdout and stderr have. Source: POSIX, stdio(3).
_STDERR = 2


def hold_streams() -> None:
    """Open what the process was started without of stdin, stdout and stderr, as nothing; call before all else.

    Otherwise the next file or socket gets its number: libraries would write their complaints into it, and uvloop aborts
    the process where it is to close one of these numbers.
    """
    # The lowest free number is given, so that one beyond them says that all three are taken.
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)


def emit(text: str) -> None:
    """Write *text*, which brings its own line ends, to stdout.

    Raises:
        ExporterError: stdout leads somewhere that cannot be written, such as a full disk.
    """
    try:
        _write(sys.stdout, text)
    except OSError as error:
        raise ExporterError(f"stdout: cannot be written ({error.strerror})") from error


def tell(line: str) -> None:
    """Write one line to stderr; where that fails, there is nobody to be told."""
    try:
        _write(sys.stderr, f"{line}\n")
    except OSError:
        return


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at *stream*; None is a stream that the process was started without."""
    return stream is not None and stream.isatty()


def write_new(path: str, text: str) -> None:
    """Write *text* into a new file.

    Raises:
        UsageError: there is one already, or it cannot be written.
    """
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path}: is there already and was left alone; move it away or name another file") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); name another file") from error


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        # What is still in the stream's buffer must go somewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise

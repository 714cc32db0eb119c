"""`exporter` and `python -m exporter`."""

import gc
import os
import signal
import sys

from exporter.cli.main import main as run

#: The last of the standard streams.
_STDERR = 2


def main() -> None:
    """Run the command line and end the process with its exit code."""
    _occupy_standard_streams()
    # Until an event loop takes over, SIGTERM means what Ctrl-C means.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run()
    # The interpreter would search all that libraries have made for cycles, just before the memory goes anyway.
    gc.freeze()
    sys.exit(code)


def _occupy_standard_streams() -> None:
    """Open standard streams that the process was started without, on nothing.

    Else what is opened next gets their numbers, and uvloop aborts the process when it is to close one of those.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)


if __name__ == "__main__":
    main()

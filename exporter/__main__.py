"""`exporter` and `python -m exporter`."""

import gc
import signal
import sys

from exporter.cli import output
from exporter.cli.main import main as run


def main() -> None:
    """Run the command line and end the process with its exit code."""
    output.hold_streams()
    # Until an event loop takes over, SIGTERM means what Ctrl-C means.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run()
    # The interpreter would search all that libraries have made for cycles, just before the memory goes anyway.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()

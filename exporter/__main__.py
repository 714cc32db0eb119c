"""`exporter` and `python -m exporter`."""

import signal
import sys

from exporter.cli.main import main as run


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Until an event loop takes over, SIGTERM means what Ctrl-C means.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


if __name__ == "__main__":
    main()

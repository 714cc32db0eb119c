"""Exit codes. Source: README.md, "Commands"."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0  # everything that was planned is published
    FAILED = 1  # some tasks failed, or the program could not go on
    USAGE = 2  # usage or configuration error; nothing was requested, nothing written
    DIFFERS = 3  # `verify` found a difference
    INTERRUPTED = 130  # what is whole is kept

"""The program as a user has it: a process of its own, in a folder of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.leaks import leaked_words


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process left behind."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON object that stdout holds."""
        return json.loads(self.stdout)

    @property
    def log(self) -> list[dict[str, Any]]:
        """stderr, every line of which is a JSON object."""
        return [json.loads(line) for line in self.stderr.splitlines()]


@dataclass(frozen=True, slots=True)
class Exporter:
    """Starts `python -m exporter` in *folder*; of the environment, only what is no setting of ours is handed on.

    Attributes:
        folder: where it is started.
        environ: is added to the environment.
        under: the program that starts it, with its arguments, such as one that takes rights away first.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    under: Sequence[str] = ()

    async def __call__(self, *arguments: str) -> Ended:
        """Run it to its end."""
        return await ended(await self.start(*arguments))

    async def start(self, *arguments: str, stderr: int = PIPE) -> Process:
        """Start it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXPORTER")}
        return await asyncio.create_subprocess_exec(
            *(*self.under, sys.executable, "-m", "exporter", *arguments),
            cwd=self.folder,
            env={**inherited, **self.environ},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=stderr,
        )


async def ended(process: Process) -> Ended:
    """Wait for the end of *process*, which may have printed no secret and nobody's address."""
    stdout, stderr = await process.communicate()
    end = Ended(process.returncode, (stdout or b"").decode(), (stderr or b"").decode())
    assert not leaked_words(end.stdout + end.stderr)
    return end

"""`exporter sandbox`: the simulated API, served until it is stopped, and configurations that export it."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Mapping

from exporter.cli.codes import ExitCode
from exporter.cli.grid import Grid, show
from exporter.cli.output import emit, write_new
from exporter.errors import UsageError
from exporter.sandbox.faults import parse_faults
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.sandbox.studios import World


async def sandbox(args: Namespace, _environ: Mapping[str, str]) -> ExitCode:
    """Serve until the command is cancelled."""
    world = make_world(args.studios, args.seed)
    options = SandboxOptions(
        seed=args.seed,
        rate=args.rate or None,
        latency_ms=args.latency_ms,
        faults=parse_faults(args.faults, args.seed),
    )
    try:
        async with serve(world, options, args.port) as served:
            if args.write_config:
                write_new(args.write_config, config_text(world, served.base_url, sink="./sandbox-lake"))
            show(_studios(world))
            emit(_welcome(world, served.base_url, args.write_config))
            await asyncio.Event().wait()
    except OSError as error:
        raise UsageError(
            f"sandbox: port {args.port} cannot be listened to ({error.strerror}); choose another --port, or 0 for a"
            f" free one"
        ) from error
    raise AssertionError("it is served until it is stopped")


def config_text(world: World, base_url: str, *, sink: str, answers: str = "json") -> str:
    """A configuration that exports the year 2025 of every studio of *world*.

    Args:
        world: the studios.
        base_url: where it is served.
        sink: a folder.
        answers: how pages are asked for, "json" or "csv".
    """
    studios = "\n".join(
        f'[[studios]]\nid = "{studio.slug}"\ntoken = "env:{_variable(studio.token)}"\n'
        f'provider_id = {studio.provider_id}\ntimezone = "{studio.timezone}"\n'
        for studio in world.studios
    )
    return (
        f'[api]\nbase_url = "{base_url}"\nformat = "{answers}"\n\n'
        f'[[reports]]\nname = "attendance_strikes.grouped"\n\n'
        f'[windows]\nstart = "2025-01-01"\nend = "2026-01-01"\n\n'
        f"[sink]\nurl = {json.dumps(sink, ensure_ascii=False)}\n\n"
        f"{studios}"
    )


def tokens(world: World) -> dict[str, str]:
    """The environment that `config_text` refers to: every token of *world*, none of them a secret."""
    return {_variable(token): token for token in world.tokens}


def _variable(token: str) -> str:
    return token.upper().replace("-", "_")


def _studios(world: World) -> Grid:
    return Grid(
        columns=("studio", "provider_id", "timezone", "token"),
        rows=tuple((studio.slug, str(studio.provider_id), studio.timezone, studio.token) for studio in world.studios),
    )


def _welcome(world: World, base_url: str, config: str | None) -> str:
    if config is None:
        how = "  start it with --write-config sandbox.toml to get a configuration that exports it\n"
    else:
        exports = "".join(f"  export {name}={value}\n" for name, value in tokens(world).items())
        how = f"{exports}  exporter run --config {config}\n"
    return f"simulated API at {base_url}; Ctrl-C ends it\nto export it, in another shell:\n{how}"

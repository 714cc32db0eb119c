"""`exporter init`: a configuration to begin with."""

from argparse import Namespace
from collections.abc import Mapping

from exporter.cli.codes import ExitCode
from exporter.cli.output import emit, write_new
from exporter.config.load import DEFAULT_FILE
from exporter.config.starter import STARTER


async def init(args: Namespace, _environ: Mapping[str, str]) -> ExitCode:
    """Write the starter configuration and say what to do next."""
    write_new(args.config, STARTER)
    flag = "" if args.config == DEFAULT_FILE else f" --config {args.config}"
    emit(
        f"{args.config} is written. Next:\n"
        f"  put your studios into it, and their tokens where it says that they are found\n"
        f"  exporter doctor{flag}    tries sink and credentials\n"
        f"  exporter plan{flag}      tells what a run would ask for\n"
        f"  exporter run{flag}       exports\n"
    )
    return ExitCode.OK

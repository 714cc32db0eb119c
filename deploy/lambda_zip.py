"""Make the zip of the Lambda function: the program and its locked wheels, without what it never loads.

Lambda unpacks at most 250 MiB. Whole, the wheels are near or over that; what is left out here is code that the exporter
does not import, sources, and AWS services that it does not call. `tests/unit/deploy/test_lambda_zip.py` tries the
program without it.
"""

import argparse
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Final

#: Source: AWS Lambda developer guide, "Lambda quotas": deployment package, unzipped, layers included.
LIMIT_BYTES: Final = 250 * 1024 * 1024

#: Left out: patterns over paths in the zip, where `*` matches slashes too.
UNNEEDED: Final = (
    # Sources and headers, for who compiles against a package.
    *("*.c", "*.cc", "*.h", "*.pxd", "*.pxi", "*.pyi", "*.pyx", "pyarrow/include/*", "pyarrow/src/*"),
    # Parts of Arrow that nothing else loads: Flight, C++ tests, file systems that boto3 stands for.
    *("pyarrow/*flight*", "pyarrow/tests/*", "pyarrow/_pyarrow_cpp_tests*"),
    *("pyarrow/_s3fs*", "pyarrow/libarrow_s3*", "pyarrow/_gcsfs*", "pyarrow/_azurefs*", "pyarrow/_hdfs*"),
    # Command lines, and what only they need.
    "bin/*",
    "*/__pycache__/*",
)

#: Of these files many are left out, and few kept.
BOTOCORE_DATA: Final = "botocore/data/"
#: The services that the exporter calls, and those that AWS sessions get their credentials from.
BOTOCORE_KEPT: Final = ("s3", "secretsmanager", "signin", "ssm", "sso", "sso-oidc", "sts")

_PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
#: Of every file in the zip, so that the same files make the same zip.
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)

#: Imports every module of the program from one folder and nothing else, then takes a table there and back.
IMPORT_ALL: Final = """
import importlib, io, pkgutil, sys
sys.path = [sys.argv[1], *(p for p in sys.path if "-packages" not in p)]
import boto3, exporter, pyarrow as pa, pyarrow.dataset, pyarrow.parquet as pq, uvloop
for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
    if not module.name.endswith(("__main__", "telemetry.spans")):  # the second needs the extra `otel`
        importlib.import_module(module.name)
table = pa.table({"at": pa.array([0], pa.timestamp("us", tz="UTC")), "studio_id": ["harbour-yoga"]})
written = io.BytesIO()
pq.write_table(table, written, compression="zstd")
assert pq.read_table(pa.BufferReader(written.getvalue())) == table
for service in ("s3", "ssm", "secretsmanager", "sts"):
    boto3.client(service, region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
"""


def is_unneeded(path: str) -> bool:
    """Whether the file at *path*, below the folder that packages are installed in, stays out of the zip."""
    if path.startswith(BOTOCORE_DATA) and len(PurePosixPath(path).parts) > len(PurePosixPath(BOTOCORE_DATA).parts) + 1:
        return PurePosixPath(path).parts[2] not in BOTOCORE_KEPT
    return any(fnmatch(path, pattern) for pattern in UNNEEDED)


def size_bytes(files: Iterable[Path]) -> int:
    """What *files* take when they are unpacked."""
    return sum(file.stat().st_size for file in files)


def check_size(total_bytes: int) -> None:
    """Refuse what Lambda would refuse.

    Raises:
        SystemExit: it is too much.
    """
    if total_bytes > LIMIT_BYTES:
        raise SystemExit(
            f"lambda-zip: {_mib(total_bytes)} unzipped instead of at most {_mib(LIMIT_BYTES)};"
            " leave more out, or deploy the container image"
        )


def trim(folder: Path) -> None:
    """Delete what is not needed below *folder*."""
    for file in list(files_in(folder)):
        if is_unneeded(file.relative_to(folder).as_posix()):
            file.unlink()


def compile_all(folder: Path, interpreter: str) -> None:
    """Put byte code beside every module below *folder*: a function cannot write it, and would compile at each start.

    Neither this machine's path nor the time gets into it, and nothing is compared with the sources, whose times the
    zip does not keep.
    """
    how = ["--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", ""]
    subprocess.run([interpreter, "-I", "-m", "compileall", "-q", *how, str(folder)], check=True)


def files_in(folder: Path) -> Iterator[Path]:
    """Every file below *folder*, in the same order everywhere."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def pack(folder: Path, target: Path) -> None:
    """Write everything below *folder* into *target*; the same files make the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files_in(folder):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _MOMENT)
            entry.external_attr = (0o755 if ".so" in file.name else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def main() -> None:
    """Install, measure, trim, compile, measure, try, and pack."""
    parser = argparse.ArgumentParser(description="Make the zip of the Lambda function.")
    parser.add_argument("--arch", choices=_PLATFORMS, default="arm64", help="of the function (default: arm64)")
    parser.add_argument("--python", default="3.13", help="the function's runtime (default: 3.13)")
    parser.add_argument("--uv", default="uv", help="the uv program (default: found by PATH)")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder (default: dist)")
    given = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    folder: Path = given.out / "lambda"
    shutil.rmtree(folder, ignore_errors=True)
    _install(root, folder, uv=given.uv, python=given.python, wheels=_PLATFORMS[given.arch])
    whole = size_bytes(files_in(folder))
    trim(folder)
    interpreter = _find(given.python, uv=given.uv)
    if interpreter:
        compile_all(folder, interpreter)
    left = size_bytes(files_in(folder))
    check_size(left)
    tried = _try(folder, interpreter, given.arch)
    target: Path = given.out / "lambda.zip"
    pack(folder, target)
    sizes = f"{_mib(whole)} whole, {_mib(left)} of {_mib(LIMIT_BYTES)} trimmed"
    print(f"{given.arch}, Python {given.python}: {sizes}, {tried}")
    if not interpreter:
        print(f"without byte code, so that each cold start compiles: there is no Python {given.python} here to make it")
    print(f"{target}: {_mib(target.stat().st_size)}")


def _install(root: Path, folder: Path, *, uv: str, python: str, wheels: str) -> None:
    locked = [
        *(uv, "pip", "install", "--quiet", "--target", str(folder), "--no-deps", "--only-binary", ":all:"),
        *("--python-version", python, "--python-platform", wheels, "--link-mode", "copy"),
        *("--require-hashes", "--requirement", str(root / "requirements-run.txt")),
    ]
    subprocess.run(locked, check=True)
    shutil.copytree(root / "exporter", folder / "exporter", ignore=shutil.ignore_patterns("__pycache__"))


def _find(python: str, *, uv: str) -> str:
    """This machine's Python of that version; empty where it has none."""
    find = [uv, "python", "find", "--no-python-downloads", python]
    return subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip()


def _try(folder: Path, interpreter: str, arch: str) -> str:
    """Import everything from *folder* alone, where this machine has that Python and is of that kind."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if not interpreter or machine != arch:
        return f"not imported (this machine is {machine}, with{'' if interpreter else 'out'} that Python)"
    subprocess.run([interpreter, "-I", "-B", "-c", IMPORT_ALL, str(folder)], check=True)
    return "imported by this machine's Python"


def _mib(total_bytes: int) -> str:
    return f"{total_bytes / 1024 / 1024:.0f} MiB"


if __name__ == "__main__":
    main()

"""The program works without what is left out of the Lambda zip, and what is left fits."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tests.support.templates import DEPLOY

spec = spec_from_file_location("lambda_zip", DEPLOY / "lambda_zip.py")
assert spec
assert spec.loader
lambda_zip = module_from_spec(spec)
spec.loader.exec_module(lambda_zip)

PACKAGES = Path(sysconfig.get_path("platlib")).resolve()


@pytest.mark.skipif(sys.platform != "linux", reason="where libraries look for each other is Linux's way")
def test_the_program_works_from_a_folder_in_which_everything_unneeded_is_missing(tmp_path):
    names = re.findall(r"^([\w.-]+)==", (DEPLOY.parent / "requirements-run.txt").read_text(), re.MULTILINE)
    installed = [str(file) for name in names for file in distribution(name).files or ()]
    left = [path for path in installed if not path.startswith("..") and not lambda_zip.is_unneeded(path)]
    assert "pyarrow/lib.cpython" in " ".join(left)
    for path in left:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(PACKAGES / path)
    (tmp_path / "exporter").symlink_to(DEPLOY.parent / "exporter")
    subprocess.run([sys.executable, "-I", "-B", "-c", lambda_zip.IMPORT_ALL, str(tmp_path)], check=True)


@pytest.mark.parametrize("pattern", [p for p in lambda_zip.UNNEEDED if p.startswith("pyarrow/")])
def test_every_pattern_still_leaves_something_out(pattern):
    assert list(PACKAGES.glob(pattern))


@pytest.mark.parametrize("service", lambda_zip.BOTOCORE_KEPT)
def test_the_services_that_are_kept_are_there(service):
    assert (PACKAGES / lambda_zip.BOTOCORE_DATA / service).is_dir()


def test_what_is_trimmed_is_gone_and_the_rest_is_counted(tmp_path):
    for name, size in {"pyarrow/lib.so": 5, "pyarrow/libarrow_flight.so": 7, "botocore/data/ec2/x.json": 9}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "botocore/data/endpoints.json").write_bytes(b"xx")
    assert lambda_zip.size_bytes(lambda_zip.files_in(tmp_path)) == 23
    lambda_zip.trim(tmp_path)
    assert lambda_zip.size_bytes(lambda_zip.files_in(tmp_path)) == 7


def test_byte_code_stands_beside_the_sources_and_is_used_whatever_their_times(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("print('as it was compiled')\n")
    lambda_zip.compile_all(tmp_path, sys.executable)
    source.write_text("print('compiled again')\n")
    code = "import sys; sys.path = [sys.argv[1]]; import module"
    started = [sys.executable, "-I", "-B", "-c", code, str(tmp_path)]
    assert subprocess.run(started, capture_output=True, text=True, check=True).stdout == "as it was compiled\n"
    (compiled,) = tmp_path.glob("__pycache__/*.pyc")
    assert str(tmp_path).encode() not in compiled.read_bytes()


def test_what_fits_passes_and_a_byte_more_is_refused_with_the_way_out():
    lambda_zip.check_size(lambda_zip.LIMIT_BYTES)
    with pytest.raises(SystemExit, match="container image"):
        lambda_zip.check_size(lambda_zip.LIMIT_BYTES + 1)


def test_the_same_files_make_the_same_zip(tmp_path):
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("b.so", "a.py") if name == "one" else ("a.py", "b.so"):
            (folder / file).write_text(file)
        lambda_zip.pack(folder, tmp_path / f"{name}.zip")
        made.append((tmp_path / f"{name}.zip").read_bytes())
    assert made[0] == made[1]
    assert zipfile.ZipFile(tmp_path / "one.zip").namelist() == ["a.py", "b.so"]

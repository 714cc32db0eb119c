"""What a command imports: start-up is mostly imports, and their number does not depend on the machine."""

import json
import subprocess
import sys

import pytest

CONFIG = """
[api]
base_url = "http://127.0.0.1:9"
[[reports]]
name = "attendance_strikes.grouped"
[windows]
start = "2024-01-01"
end = "2025-01-01"
[sink]
url = "{sink}"
[[studios]]
id = "quiet"
token = "env:TOKEN"
"""

#: Prints what the code before it imported, then does nothing more.
TELL = "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"

#: None of these is needed to tell how the program is used.
HEAVY = {"aiohttp", "asyncio", "boto3", "botocore", "msgspec", "pyarrow", "rich", "tenacity", "uvloop", "yarl"}


def imported(code, cwd, *, boring=frozenset()):
    """The modules that *code* imports in an interpreter of its own, beside those of *boring*."""
    ran = subprocess.run(
        [sys.executable, "-c", code + TELL],
        cwd=cwd,
        env={"TOKEN": "made-up", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(ran.stdout.splitlines()[-1])) - boring


def command(*arguments):
    return f"from exporter.cli.main import main\nmain({list(arguments)})"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return imported("", tmp_path_factory.mktemp("bare"))


def packages(modules):
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["run", "--no-such-flag"], []])
def test_help_and_mistakes_need_little_more_than_the_parser_of_arguments(arguments, bare, tmp_path):
    modules = imported(command(*arguments), tmp_path, boring=bare)
    assert not packages(modules) & HEAVY
    assert {module for module in modules if module.startswith("exporter.")} <= {
        "exporter.cli",
        "exporter.cli.codes",
        "exporter.cli.main",
        "exporter.cli.output",
        "exporter.cli.parser",
        "exporter.core",
        "exporter.core.window",
        "exporter.errors",
    }
    assert len(modules) <= 60


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "--json"], ["run", "--dry-run"], ["status"], ["ddl"]])
def test_commands_that_ask_the_api_nothing_import_neither_its_client_nor_that_of_s3(arguments, tmp_path):
    (tmp_path / "exporter.toml").write_text(CONFIG.format(sink="lake"))
    arguments = arguments if "ddl" not in arguments else [*arguments, "--dialect", "duckdb"]
    modules = imported(command(*arguments), tmp_path)
    assert not packages(modules) & {"aiohttp", "boto3", "botocore", "rich", "opentelemetry"}
    assert "exporter.jobs.export" in modules


def test_the_client_of_s3_is_imported_where_the_sink_is_on_s3(tmp_path):
    code = "from exporter.store.open import open_store\nopen_store('s3://bucket', endpoint_url='http://127.0.0.1:9')"
    assert "boto3" in packages(imported(code, tmp_path))


def test_the_whole_program_imports_hardly_more_than_the_libraries_it_is_made_of(bare, tmp_path):
    """All that a function which exports to S3 needs, beside what it cannot do without."""
    libraries = imported("import aiohttp, boto3, pyarrow.parquet", tmp_path, boring=bare)
    code = "import exporter.app, exporter.api.client, exporter.store.s3"
    ours = imported(code, tmp_path, boring=bare)
    foreign = {module for module in ours if not module.startswith("exporter")}
    assert not packages(foreign) & {"opentelemetry", "rich"}
    assert len(foreign) <= 1.12 * len(libraries)


def test_a_function_begins_without_the_clients_of_the_api_and_of_s3(tmp_path):
    """They are imported when the first run asks for them, so that an event that is refused has not paid for them."""
    libraries = imported("import aiohttp, boto3, pyarrow.parquet", tmp_path)
    modules = imported("import exporter.lambda_handler", tmp_path)
    assert not packages(modules) & {"aiohttp", "aiofiles", "boto3", "botocore", "opentelemetry", "rich", "tenacity"}
    assert len(modules) <= 0.7 * len(libraries)


@pytest.mark.parametrize(("variable", "on"), [("OTEL_SERVICE_NAME", False), ("OTEL_TRACES_EXPORTER", True)])
def test_opentelemetry_is_imported_only_where_it_is_asked_for(variable, on, tmp_path):
    code = f"from exporter.telemetry.environment import telemetry_of\ntelemetry_of({{{variable!r}: 'console'}}, 'http://a')"
    assert ("opentelemetry" in packages(imported(code, tmp_path))) is on

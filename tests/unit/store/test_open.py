import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.store.local import LocalStore
from exporter.store.open import open_store
from exporter.store.s3 import S3Store


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "file://{}/", "file://localhost{}"])
async def test_a_folder_may_be_written_in_these_forms(tmp_path: Path, form: str) -> None:
    url = form.format(tmp_path)
    store = open_store(url)
    assert isinstance(store, LocalStore)
    assert store.url == url.rstrip("/")
    await store.put("a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


async def test_a_relative_folder_stays_where_it_was_when_the_program_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("./lake")
    monkeypatch.chdir("/")
    await store.put("a", b"x")
    assert (tmp_path / "lake" / "a").read_bytes() == b"x"


async def test_percent_encoding_is_decoded_in_file_urls_only(tmp_path: Path) -> None:
    await open_store(f"file://{tmp_path}/my%20lake%23").put("a", b"x")
    await open_store(f"{tmp_path}/my%20lake").put("a", b"x")
    for name in ("my lake#", "my%20lake"):
        assert (tmp_path / name / "a").read_bytes() == b"x"


async def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    await open_store("~/lake").put("a", b"x")
    assert (tmp_path / "lake" / "a").exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://lake", "s3://lake"),
        ("s3://lake/", "s3://lake"),
        ("s3://lake/a/b", "s3://lake/a/b"),
        ("S3://lake/a b/", "s3://lake/a b"),
    ],
)
async def test_a_bucket_may_have_a_prefix(url: str, shown: str) -> None:
    store = open_store(url, endpoint_url="http://127.0.0.1:9")
    assert isinstance(store, S3Store)
    assert store.url == shown
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "a\0b",
        "file:lake",
        "file://",
        "file://elsewhere/lake",
        "file://./lake",
        "file:///a%00b",
        "file:///a?b",
        "file:///a#b",
        "s3://",
        "s3:///prefix",
        "s3://lake/a//b",
        "s3://lake/../other",
        "gs://lake",
        "s3a://lake",
        "~nobody-of-this-name/lake",
    ],
    ids=repr,
)
def test_what_is_no_sink_is_refused_and_the_message_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^sink\.url "):
        open_store(url)


@pytest.mark.parametrize("url", ["s3://key:password@lake/x", "ftp://user:password@host.example.test/x"])
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^sink\.url ") as caught:
        open_store(url)
    assert "password" not in str(caught.value)


def test_a_folder_needs_no_boto3(tmp_path: Path) -> None:
    program = (
        "import sys; from exporter.store.open import open_store; open_store(sys.argv[1]);"
        "print({'boto3', 'botocore', 'tenacity'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

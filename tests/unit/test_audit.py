import json
import sys

import pytest

from tests import audit

AIOHTTP = {"name": "aiohttp", "version": "3.0", "vulns": []}
HURT = {"name": "hurt", "version": "1.0", "vulns": [{"id": "TEST-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture
def said(tmp_path, capsys):
    """What is printed, and the exit code, where pip-audit answers this."""

    def ask(answer: str) -> tuple[str, int]:
        program = tmp_path / "pip-audit"
        program.write_text(f"#!{sys.executable}\nprint({answer!r})\n")
        program.chmod(0o700)
        code = audit.main([str(program), "requirements.txt"])
        return "".join(capsys.readouterr()), code

    return ask


def test_a_known_vulnerability_fails_and_names_its_mend(said):
    text, code = said(json.dumps({"dependencies": [AIOHTTP, HURT]}))
    assert code == 1
    assert "hurt 1.0: TEST-1, mended in 1.1" in text


def test_packages_without_one_pass_and_those_not_looked_up_are_counted(said):
    text, code = said(json.dumps({"dependencies": [AIOHTTP, UNKNOWN]}))
    assert code == 0
    assert "1 of 2 packages looked up" in text


def test_a_database_that_cannot_be_asked_is_said_and_fails_nothing(said):
    text, code = said("no connection")
    assert code == 0
    assert "skipped" in text

"""docs/security.md names tests that exist, and what it says of the sources is so."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8")))


def test_every_test_that_the_threat_model_names_exists():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE)}
    assert len(NAMED) > 20
    assert defined >= NAMED


def test_nothing_in_the_program_takes_the_check_of_certificates_back():
    ways = re.compile(r"CERT_NONE|check_hostname|_create_unverified|(?:verify|verify_ssl|ssl|use_ssl)\s*=\s*False")
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "exporter").rglob("*.py")}
    assert len(sources) > 50
    assert ways.search("TCPConnector(ssl=False)")
    assert [path.name for path, source in sources.items() if ways.search(source)] == []

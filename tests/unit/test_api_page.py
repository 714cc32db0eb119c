"""docs/api.md has what comments in the code and the tests refer to."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SOURCES = [
    path.read_text(encoding="utf-8") for folder in ("exporter", "tests") for path in (ROOT / folder).rglob("*.py")
]


def test_every_question_that_a_comment_refers_to_is_on_the_page():
    named = {title for source in SOURCES for title in re.findall(r'docs/api\.md section \d, "([^"]+)"', source)}
    assert len(named) > 2
    assert [title for title in sorted(named) if f"**{title}" not in PAGE] == []


def test_every_section_that_a_comment_refers_to_is_on_the_page():
    named = {number for source in SOURCES for number in re.findall(r"docs/api\.md section (\d)", source)}
    assert named <= set(re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE))

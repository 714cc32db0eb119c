"""docs/benchmarks.md is what `make bench` writes, and every benchmark can be started."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from bench.page import APART, HEAD, PAGE, STEPS, sections_of

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def test_the_page_begins_as_it_is_written_and_has_a_section_for_each_benchmark():
    text = PAGE.read_text()
    assert text.startswith(HEAD)
    assert list(sections_of(text)) == [title for title, _, _ in STEPS.values()]


def test_every_section_tells_how_it_was_made_and_shows_a_table():
    sections = sections_of(PAGE.read_text())
    for title, _, arguments in STEPS.values():
        assert f"`python {' '.join(arguments)}" in sections[title]
        assert re.search(r"^\| --- \|", sections[title], flags=re.MULTILINE)


def test_a_section_that_is_not_made_anew_stays_as_it_was():
    text = "# Page\n\n## One\n\ntold\n\n## Two\n\n| table |\n"
    assert sections_of(text) == {"One": "## One\n\ntold\n", "Two": "## Two\n\n| table |\n"}


@pytest.mark.parametrize("arguments", [arguments for _, _, arguments in STEPS.values()], ids=STEPS)
def test_every_benchmark_can_be_started(arguments):
    module = import_module(arguments[-1].removesuffix(".py").replace("/", "."))
    assert callable(module.main)


def test_make_knows_all_ways_to_write_the_page():
    assert "-m bench.page $(STEPS)" in MAKEFILE
    for step in APART:
        assert f"-m bench.page {step}" in MAKEFILE

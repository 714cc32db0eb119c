"""docs/reliability.md promises something for each fault and names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
HEAD = "| fault | promise | shown by |"
ONE_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows():
    """The cells of each row of the tables of faults."""
    found, inside = [], False
    for line in PAGE.splitlines():
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("| ---"):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


@cache
def defined_in(path):
    """Names of the test functions of a file, and of its classes."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_fault_has_a_promise_and_tests_that_exist(row):
    fault, promise, shown = row
    assert fault
    assert promise
    named = ONE_TEST.findall(shown)
    assert ", ".join(f"`{path}::{test}`" for path, test in named) == shown
    assert named
    assert [test for path, test in named if not (ROOT / path).is_file() or test not in defined_in(path)] == []


def test_no_fault_is_listed_twice_and_every_kind_is_there():
    faults = [row[0] for row in rows()]
    assert len(faults) == len(set(faults))
    assert len(faults) > 50


def test_every_file_that_the_page_names_exists():
    files = re.findall(r"`(tests/[\w/]+\.py)[:`]", PAGE)
    assert [file for file in files if not (ROOT / file).is_file()] == []

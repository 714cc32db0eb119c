"""The exporter and the sandbox read the same documentation apart; here what they read is compared."""

import pytest

from exporter.core import catalogue as ours
from exporter.sandbox import catalogue as theirs

PAIRS = [pytest.param(spec, theirs.REPORTS[spec.path], id=spec.name) for spec in ours.REPORTS.values()]


@pytest.mark.parametrize(("spec", "report"), PAIRS)
def test_both_know_the_same_columns(spec, report):
    assert {column.key for column in spec.columns} == {column.key for column in report.columns}
    assert spec.grouped == report.grouped


@pytest.mark.parametrize(("spec", "report"), PAIRS)
def test_what_one_asks_for_the_other_understands(spec, report):
    for column in spec.columns:
        assert column.key in {found.key for found in report.named(column.asked_as)}


@pytest.mark.parametrize(("spec", "report"), PAIRS)
def test_both_know_the_same_filters(spec, report):
    assert {(each.name, each.many, frozenset(each.allowed)) for each in spec.filters} == {
        (each.name, each.many, frozenset(each.allowed)) for each in report.filters
    }

"""What is said of a comparison with the API's own totals."""

from exporter.core.reconcile import Reconciled


def make_record(source, error=None):
    return Reconciled(
        studio="bay",
        start="2025-01-01",
        end="2025-02-01",
        published=7,
        source=source,
        agrees=source == 7,
        error=error,
    )


def test_a_comparison_says_what_came_of_it():
    assert str(make_record(7)) == "bay 2025-01-01..2025-02-01: 7 are published, as the API counts them"
    assert str(make_record(8)) == "bay 2025-01-01..2025-02-01: the API counts 8, the rows add up to 7"
    assert str(make_record(None, "still 503")).endswith("the API did not tell its total (still 503)")

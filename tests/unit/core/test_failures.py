"""Failures that are alike are told once."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.failures import EACH_TOLD, failure_lines, reason_of
from exporter.core.summary import Failure


def failure(studio: str, month: int, reason: str) -> Failure:
    return Failure(
        studio=studio,
        window_start=f"2025-{month:02}-01",
        window_end=f"2025-{month + 1:02}-01",
        error=f"{studio} 2025-{month:02} page {month}: {reason}",
    )


def test_failures_have_a_line_each_unless_there_are_very_many():
    many = [failure("a", 1, f"still 503 after {n} attempts") for n in range(EACH_TOLD)]
    assert failure_lines(many) == [one.error for one in many]
    assert len(failure_lines([*many, many[0]])) == 1


def test_a_refused_studio_has_one_line_for_all_its_windows():
    refused = [failure("harbour-yoga", month, "the API refused the credential (401)") for month in range(1, 12)]
    assert failure_lines(refused, 0) == [
        (
            "harbour-yoga 2025-01 page 1: the API refused the credential (401) (alike in 11 windows:"
            " 2025-01-01..2025-12-01)"
        )
    ]


def test_windows_that_do_not_follow_each_other_are_named_up_to_a_number():
    (line,) = failure_lines([failure("a", month, "still 503") for month in (1, 2, 5)], 0)
    assert line.endswith("still 503 (alike in 3 windows: 2025-01-01..2025-03-01, 2025-05)")
    (line,) = failure_lines([failure("a", month, "still 503") for month in (9, 1, 3, 5, 7, 11)], 0)
    assert line.endswith("(alike in 6 windows: 2025-01, 2025-03, 2025-05, 2025-07, 2025-09 and 1 more)")


def test_a_failure_that_is_alone_is_told_as_it_is():
    assert failure_lines([failure("a", 1, "still 503"), failure("b", 1, "still 503")], 0) == [
        "a 2025-01 page 1: still 503",
        "b 2025-01 page 1: still 503",
    ]


def test_reasons_that_differ_in_their_figures_alone_are_one():
    tried = [failure("a", n, f"still 503 after {n} attempts in {90 + n} s") for n in range(1, 4)]
    assert [line.partition(" (")[0] for line in failure_lines(tried, 0)] == [
        "a 2025-01 page 1: still 503 after 1 attempts in 91 s"
    ]
    assert reason_of("a 2025-01: no rows") != reason_of("a 2025-01: no total")
    assert reason_of("no place at all") == "no place at all"


failures = st.builds(failure, st.sampled_from("abc"), st.integers(1, 8), st.sampled_from(["x", "y 1", "y 2", "z"]))


@given(st.lists(failures))
def test_every_studio_and_reason_has_one_line_whatever_the_order(found):
    kinds = {(item.studio, reason_of(item.error)) for item in found}
    assert len(failure_lines(found, 0)) == len(kinds)

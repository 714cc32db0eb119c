"""Failures that are alike are told once."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.failures import failure_lines, reason_of
from exporter.core.summary import Failure


def failure(studio: str, month: int, reason: str) -> Failure:
    return Failure(
        studio=studio,
        window_start=f"2025-{month:02}-01",
        window_end=f"2025-{month + 1:02}-01",
        error=f"{studio} 2025-{month:02} page {month}: {reason}",
    )


def test_a_refused_studio_has_one_line_for_all_its_windows():
    refused = [failure("harbour-yoga", month, "the API refused the credential (401)") for month in range(1, 12)]
    assert failure_lines(refused) == [
        (
            "harbour-yoga 2025-01 page 1: the API refused the credential (401) (and 10 more of its windows, until"
            " 2025-12-01)"
        )
    ]


def test_a_failure_that_is_alone_is_told_as_it_is():
    assert failure_lines([failure("a", 1, "still 503"), failure("b", 1, "still 503")]) == [
        "a 2025-01 page 1: still 503",
        "b 2025-01 page 1: still 503",
    ]


def test_reasons_that_differ_in_their_figures_alone_are_one():
    tried = (failure("a", n, f"still 503 after {n} attempts in {90 + n} s") for n in range(1, 4))
    assert [line.partition(" (")[0] for line in failure_lines(tried)] == [
        "a 2025-01 page 1: still 503 after 1 attempts in 91 s"
    ]
    assert reason_of("a 2025-01: no rows") != reason_of("a 2025-01: no total")
    assert reason_of("no place at all") == "no place at all"


failures = st.builds(failure, st.sampled_from("abc"), st.integers(1, 8), st.sampled_from(["x", "y 1", "y 2", "z"]))


@given(st.lists(failures))
def test_every_studio_and_reason_has_one_line_whatever_the_order(found):
    kinds = {(item.studio, reason_of(item.error)) for item in found}
    assert len(failure_lines(found)) == len(kinds)

"""Foreign text cannot leave its line."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.text import excerpt, printable, some


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_nothing_that_a_terminal_obeys_is_left(text):
    assert printable(text).isprintable()
    assert excerpt(text).isprintable()


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=200))
def test_short_plain_text_stays_as_it_is_but_for_its_blanks(text):
    assert excerpt(text) == " ".join(text.split())


def test_long_text_is_cut_with_a_mark():
    assert excerpt("x" * 10_000_000) == "x" * 197 + "..."


def test_of_many_names_the_first_are_told_and_how_many_more_there_are():
    assert some(["a", "b"], 2) == "a, b"
    assert some([str(n) for n in range(1003)], 3) == "0, 1, 2 and 1,000 more"

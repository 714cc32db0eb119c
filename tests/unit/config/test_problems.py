"""What a message shows of a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.problems import Problem, shown


@pytest.mark.parametrize("key", ["token", "hash_key"])
def test_a_secret_is_shown_only_where_it_is_a_reference(key):
    values = ["s3cret", 1234, True, "env:NAME", ""]
    assert [shown(value, ("studios", 0, key)) for value in values] == ["***", "***", "***", '"env:NAME"', '""']


def test_a_url_is_shown_without_what_may_be_a_password():
    assert shown("https://me:pass/word@host/a") == '"https://***@host/a"'
    assert shown("https://host/a?signature=x&y@z") == '"https://***@z"'
    assert shown("https://host/a?signature=x") == '"https://host/a?***"'


@given(st.text(), st.text(min_size=1))
def test_a_problem_is_one_printable_line(key, value):
    problem = str(Problem(("sink", key), f"is {shown(value)} instead of nothing"))
    assert problem.isprintable()

"""For all tests: a law holds however long a loaded machine takes over an example, and nothing private is printed."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.support.leaks import leaked_words

settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test fails that passed and printed or logged a secret, or somebody's address, on the way."""
    report = yield
    if report.passed and (leaked := leaked_words("".join(text for _, text in report.sections))):
        report.outcome = "failed"
        report.longrepr = f"printed or logged: {sorted(leaked)}"
    return report

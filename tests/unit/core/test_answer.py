"""How a page is named in messages."""

import pytest

from exporter.core.answer import PageRequest
from tests.support.tasks import days, make_dataset, make_studio, month


@pytest.mark.parametrize(
    ("window", "offset", "limit", "text"),
    [
        (month("2025-03"), 0, 100, "harbour-yoga 2025-03 page 1"),
        (month("2025-03"), 300, 100, "harbour-yoga 2025-03 page 4"),
        (days("2025-03-03", "2025-03-10"), 30, 10, "harbour-yoga 2025-03-03..2025-03-10 page 4"),
    ],
)
def test_a_page_is_named_by_studio_window_and_number(window, offset, limit, text):
    request = PageRequest(dataset=make_dataset(), studio=make_studio(), window=window, offset=offset, limit=limit)
    assert str(request) == text

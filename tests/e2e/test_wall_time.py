"""How long whole exports take where only the API takes time: connections are never idle, and no minute is wasted."""

import pytest

from bench.latency import config as config_of
from exporter.core.manifest import RunState
from tests.support.timed_run import timed_run

CONNECTIONS, PAGES = 32, 320


@pytest.mark.parametrize("windows", [1, PAGES], ids="{} windows".format)
@pytest.mark.parametrize("latency_s", [0.1, 1.0])
def test_without_a_limit_all_connections_are_busy_all_the_time(windows, latency_s):
    """Whether the pages are those of one window or of hundreds."""
    ran = timed_run(
        config_of("https://api.example.test", windows, "./lake"),
        {"TOKEN": "made-up"},
        rows=100 * PAGES // windows,
        latency_s=latency_s,
    )
    assert ran.manifest.state is RunState.OK
    assert ran.manifest.totals.requests == PAGES
    assert ran.seconds <= 1.15 * PAGES * latency_s / CONNECTIONS

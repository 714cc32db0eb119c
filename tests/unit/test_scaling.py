"""docs/scaling.md holds: its table is what the formulae say, and the formulae are what plans and runs do."""

from datetime import date
from pathlib import Path

import pytest

from bench.latency import config as one_studio
from bench.run import config as many_studios
from bench.scaling import PAGE, RATE, Job, table
from exporter.core.manifest import RunState
from exporter.core.plan import Plan, Task
from exporter.core.studio import CredentialKey, Studio, StudioId
from exporter.core.window import Every, cut
from exporter.sandbox.rate import busiest_minute
from tests.support.pages import dataset_of
from tests.support.timed_run import timed_run

PAGE_ON_SCALING = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_table_on_the_page_is_what_the_formulae_say():
    assert "\n".join(table()) in PAGE_ON_SCALING.read_text()


def plan_of(job):
    """What a run of *job* would do, where each window was published before."""
    dataset = dataset_of("customer", "count")
    windows = cut(date(2026, 1, 1), date(2026, 1 + job.windows, 1), Every.MONTH)
    studios = [
        Studio(id=StudioId(f"studio-{n}"), credential=CredentialKey(f"c{n % job.credentials}"))
        for n in range(job.studios)
    ]
    tasks = tuple(Task(dataset=dataset, studio=studio, window=window) for window in windows for studio in studios)
    return Plan(tasks=tasks, done=(), known_rows={task.id: job.rows for task in tasks})


@pytest.mark.parametrize("studios", [10, 1000, 20_000])
@pytest.mark.parametrize("rows", [0, 100, 278])
@pytest.mark.parametrize("alone", [True, False], ids=["one credential", "one for each"])
def test_requests_and_minutes_are_those_of_the_plan(studios, rows, alone):
    job = Job(studios=studios, windows=3, rows=rows, credentials=1 if alone else studios)
    plan = plan_of(job)
    assert sum(plan.least_requests(PAGE).values()) == job.requests
    assert plan.least_seconds(PAGE, RATE) == 60 * job.rate_min


def test_a_whole_run_of_one_credential_takes_the_minutes_of_its_rate():
    """378 requests at 250 a minute end within 66 seconds."""
    job = Job(studios=1, windows=378, rows=10, credentials=1)
    text = one_studio("https://api.example.test", job.windows, "./lake", requests_per_minute=RATE)
    ran = timed_run(text, {"TOKEN": "made-up"}, rows=job.rows, latency_s=0.1)
    assert ran.manifest.state is RunState.OK
    assert (ran.manifest.totals.requests, ran.manifest.totals.throttled) == (job.requests, 0)
    assert job.rate_min == 1
    assert 60 <= ran.seconds <= 66
    assert [busiest_minute(arrivals) for arrivals in ran.arrivals.values()] == [RATE]


def test_a_whole_run_of_forty_credentials_takes_no_longer_than_one_of_them():
    job = Job(studios=40, windows=12, rows=110, credentials=40, rate=10)
    text = many_studios("https://api.example.test", "json", job.studios, "./lake")
    text = text.replace("requests_per_minute = 1000000000", f"requests_per_minute = {job.rate}")
    ran = timed_run(text, {f"TOKEN_{n}": f"made-up-{n}" for n in range(40)}, rows=job.rows, latency_s=0.1)
    assert ran.manifest.state is RunState.OK
    assert ran.manifest.totals.requests == job.requests
    assert job.rate_min == 2
    assert 120 <= ran.seconds <= 1.1 * 120
    assert [busiest_minute(arrivals) for arrivals in ran.arrivals.values()] == [job.rate] * 40

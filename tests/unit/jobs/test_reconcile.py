"""What a studio's rows add up to when they are held against the API's own total, whoever fetched them."""

import asyncio
from datetime import UTC, datetime

import pytest

from exporter.core.answer import Format, Page
from exporter.core.ledger import Entry, Withheld
from exporter.core.plan import Done, Plan
from exporter.core.reconcile import Reconcile
from exporter.jobs.account import Account
from exporter.jobs.events import HeldAgainst
from exporter.jobs.reconcile import Reconciler
from exporter.jobs.tally import Tally
from tests.support.tasks import LATER, days, make_dataset, make_scope, make_studio, make_task, month

#: A report without counts, so that the API's total is a number of rows.
STRIKES = make_dataset("customer_id", "id", report="attendance_strikes")
JANUARY, FEBRUARY = (make_task(make_studio(), month(text), STRIKES) for text in ("2025-01", "2025-02"))

#: Of January's ten rows, three are of people who are left out.
PUBLISHED = Entry(
    studio=JANUARY.studio.id,
    window=JANUARY.window,
    rows=7,
    total=10,
    measure=7,
    run_id="another",
    began_at=LATER,
    withheld=Withheld(rows=3, measure=3),
)
FEBRUARY_ROWS = 5


class Api:
    """Counts all rows of both months."""

    async def fetch(self, request):
        return Page(
            request=request,
            format=Format.JSON,
            headers=(),
            total=PUBLISHED.total + FEBRUARY_ROWS,
            body=b"[]",
            received_at=datetime(2026, 1, 1, tzinfo=UTC),
            size_bytes=0,
        )


class Fetched:
    """February's rows."""

    def measure(self, _task, _fetch_id):
        return FEBRUARY_ROWS


async def held_against(plan, *, spared=()):
    """What is told of a run of *plan* that fetches February, where another one has published *spared* meanwhile."""
    account = Account(plan, Tally())
    told = []
    reconciler = Reconciler(
        Reconcile.WARN,
        scope=make_scope(days("2025-01-01", "2025-03-01"), datasets=[STRIKES]),
        plan=plan,
        account=account,
        fetched=Fetched(),
        source=Api(),
        withheld={},
        release=lambda _task: None,
        observer=told.append,
    )
    for done in spared:
        account.spared(done)
        reconciler.decided(done.task)
    account.fetched(FEBRUARY, "fetch-1", rows=FEBRUARY_ROWS, total=FEBRUARY_ROWS, resumed=False)
    reconciler.decided(FEBRUARY)
    working = asyncio.create_task(reconciler.run())
    await reconciler.finish(FEBRUARY.studio.credential)
    working.cancel()
    return told


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_people_who_are_left_out_of_what_another_run_published_make_no_difference(meanwhile):
    done = Done(task=JANUARY, entry=PUBLISHED, settled=True)
    if meanwhile:
        told = await held_against(Plan(tasks=(JANUARY, FEBRUARY), done=(), known_rows={}), spared=[done])
    else:
        told = await held_against(Plan(tasks=(FEBRUARY,), done=(done,), known_rows={}))
    (event,) = told
    assert isinstance(event, HeldAgainst)
    assert (event.record.published, event.record.source) == (15, 15)

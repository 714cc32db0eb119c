import asyncio

from exporter.core.plan import Plan
from exporter.errors import MissingColumnError
from exporter.jobs.account import Account
from exporter.jobs.drive import Drivers, Halts
from exporter.jobs.tally import Tally
from tests.support.tasks import make_studio, make_task, month
from tests.support.virtual_time import run_virtual


class OpenDoor:
    async def claim(self, _credential):
        return False

    async def opening(self, _credential, _day):
        pass

    def unused(self, _credential):
        pass

    def hold(self, _held):
        pass

    async def leave(self, _credential):
        pass


class NoSuchColumn:
    async def fetch(self, task, _staged):
        await asyncio.sleep(1)
        raise MissingColumnError(f"{task}: no such column")


def test_a_studio_in_trouble_that_is_then_stopped_ends_its_credential():
    studio = make_studio()
    tasks = tuple(make_task(studio, month(text)) for text in ("2025-01", "2025-02"))
    tally = Tally(ailing={studio.id})
    account = Account(Plan(tasks=tasks, done=(), known_rows={}), tally)
    decided = []

    async def drive():
        drivers = Drivers(
            gate=OpenDoor(),
            fetcher=NoSuchColumn(),
            account=account,
            tally=tally,
            on_decided=decided.append,
            still_missing=None,
            halts=Halts([studio]),
            most_open=4,
            observer=lambda _event: None,
        )
        await drivers.drive(studio.credential, tasks, {})

    run_virtual(drive)

    assert decided == list(tasks)
    assert account.has_failures

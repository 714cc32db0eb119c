"""The message that is sent when a run has ended, and where it may be sent. Pure.

It holds counts and places: nothing secret, no rows, and no text of an error.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from exporter.core.jsonable import jsonable
from exporter.core.manifest import Manifest
from exporter.core.reply import State, state_of

_ARN = re.compile(
    r"arn:[a-z-]+:(?:(?P<sns>sns)|events):(?P<region>[a-z0-9-]+):[0-9]{12}:"
    r"(?(sns)[A-Za-z0-9_-]{1,256}|event-bus/[A-Za-z0-9._/-]{1,256})"
)


class Service(StrEnum):
    """Who takes a message."""

    TOPIC = "sns"
    BUS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where messages are sent.

    Attributes:
        service: an SNS topic, or an EventBridge bus.
        region: of it.
        arn: of it.
    """

    service: Service
    region: str
    arn: str


def parse_target(arn: str) -> Target | None:
    """The target that *arn* names; None where it names no topic and no bus. Topics in order (FIFO) are none."""
    found = _ARN.fullmatch(arn)
    if found is None:
        return None
    return Target(service=Service.TOPIC if found["sns"] else Service.BUS, region=found["region"], arn=arn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One dataset of one run that has ended.

    Attributes:
        run_id: of the run; of the plan where it was done in shards.
        dataset: its name.
        state: OK, PARTIAL, FAILED, or what a merge says.
        rows: fetched and published by the run.
        failed: tasks that failed, or were not done.
        ended_at: UTC.
        record: URL of the manifest, or of the shards' summary.
    """

    run_id: str
    dataset: str
    state: State
    rows: int
    failed: int
    ended_at: datetime
    record: str

    def to_json(self) -> str:
        """One object, on one line."""
        return json.dumps(asdict(self), default=jsonable)


def notice_of(manifest: Manifest, record: str) -> Notice:
    """What is told of the run that *manifest* is of, which lies at *record*."""
    totals = manifest.totals
    return Notice(
        run_id=manifest.run_id,
        dataset=manifest.dataset,
        state=state_of(manifest.state, totals),
        rows=totals.rows,
        failed=totals.failed + totals.pending,
        ended_at=manifest.ended_at,
        record=record,
    )


def nothing_done(run_id: str, dataset: str, now: datetime, record: str) -> Notice:
    """What is told of a plan in which nothing was to be done for a dataset, or nothing is recorded of it."""
    return Notice(run_id=run_id, dataset=dataset, state=State.OK, rows=0, failed=0, ended_at=now, record=record)

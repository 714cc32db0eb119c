"""AWS Lambda: an event in, what came of it out, in the time that the function has.

Rules kept here:

- A run is stopped some time before the function is, as by Ctrl-C: what is whole is kept, the credentials are given
  back, and the answer says "more"; the same event goes on from there.
- Failed studios are part of the answer; only what stops everything is raised.
- Nothing is kept from one invocation to the next: configuration, secrets, connections and loop are made anew.
- The answer stays under the 256 KB that a state machine hands on.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Protocol

from exporter.process import invocation, loop_factory, tune_memory

tune_memory()

from exporter import app_shards  # noqa: E402 - it imports pyarrow
from exporter.app import App, open_app  # noqa: E402
from exporter.app_choice import Choice  # noqa: E402
from exporter.config.event import Event, parse_event  # noqa: E402
from exporter.config.load import load_settings  # noqa: E402
from exporter.core.metrics import merge_metrics  # noqa: E402
from exporter.core.reply import State, fitting, reply_of_run  # noqa: E402
from exporter.core.summary import summarise_run  # noqa: E402
from exporter.jobs.events import Event as Happened  # noqa: E402
from exporter.jobs.lines import LineLog, as_json, describe  # noqa: E402
from exporter.jobs.metrics import VARIABLE, metric_lines  # noqa: E402

#: The margin is at most this share of the time, so that something gets done in it.
MOST_MARGIN = 1 / 3


class Context(Protocol):
    """What Lambda says of an invocation, as far as it is looked at."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is ended."""
        ...


def handler(event: object, context: Context) -> dict[str, object]:
    """Do what *event* asks for, for as long as *context* gives.

    Returns:
        JSON. Of a run: `state` ("ok", "more" where the time was up, "partial" where some tasks failed, "failed" where
        all did) and its summary.

    Raises:
        ExporterError: nothing could be done, or not continued.
    """
    parsed = parse_event(event)
    left_s = context.get_remaining_time_in_millis() / 1000
    ends_at = time.monotonic() + left_s - min(parsed.deadline_margin_s, MOST_MARGIN * left_s)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return fitting(runner.run(_answer(parsed, ends_at)))


async def _answer(event: Event, ends_at: float) -> dict[str, object]:
    async with _open(event) as app:
        if event.command == "plan":
            return await _plan(app, event)
        if event.command == "merge":
            return await _merge(app, event)
        choice = await _narrowed(app, event)
        if event.command == "verify":
            return await _verify(app, choice)
        return await _run(app, choice, ends_at)


async def _plan(app: App, event: Event) -> dict[str, object]:
    assert event.shards
    assert event.out
    planned = await app_shards.plan_shards(app, _choice(event), event.shards, event.out)
    requests = sum(shard.requests for shard in planned.shards)
    return {"state": State.OK, "url": event.out, "shards": len(planned.shards), "requests": requests}


async def _merge(app: App, event: Event) -> dict[str, object]:
    assert event.plan
    merged, record = await app_shards.merge(
        app,
        event.plan,
        errors={told.index: told.error for told in event.told if told.error},
        verified=State(event.verified.state) if event.verified else None,
        observer=_log,
    )
    if namespace := os.environ.get(VARIABLE):
        names = [dataset.name for dataset in app.datasets]
        ok = merged.state is State.OK
        for line in merge_metrics(names, namespace, datetime.now(UTC), plan=merged.plan, ok=ok):
            _write(json.dumps(line))
    return {**asdict(merged), "record": record}


async def _verify(app: App, choice: Choice) -> dict[str, object]:
    verified = await app.verify(choice, source=False)
    differences = sum(len(found.differences) for found in verified)
    return {"state": State.FAILED if differences else State.OK, "differences": differences, "datasets": verified}


async def _run(app: App, choice: Choice, ends_at: float) -> dict[str, object]:
    meter = app.make_meter()
    more = False
    try:
        async with asyncio.timeout(ends_at - time.monotonic()) as limit:
            await app.run(choice, LineLog(meter, _write, objects=True))
    except TimeoutError:
        if not limit.expired():
            raise
        more = True
    for line in metric_lines(meter, os.environ, datetime.now(UTC)):
        _write(line)
    return reply_of_run(summarise_run(meter.manifests) if meter.manifests else None, more=more)


async def _narrowed(app: App, event: Event) -> Choice:
    if event.shard is None:
        return _choice(event)
    return await app_shards.choice_of_shard(app, event.shard.url, event.shard.index, _choice(event))


def _choice(event: Event) -> Choice:
    return Choice(
        start=event.start,
        end=event.end,
        studios=event.studios,
        datasets=event.datasets,
        full=event.full,
        rewrite=event.rewrite,
    )


@asynccontextmanager
async def _open(event: Event) -> AsyncIterator[App]:
    environ = os.environ
    # The log stream is each environment's own; one that is restored from a snapshot has none.
    here = invocation(environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""), secrets.token_hex(8))
    async with open_app(load_settings(event.config or None, environ), environ, here) as app:
        yield app


def _log(happened: Happened) -> None:
    if line := describe(happened):
        _write(as_json(line, datetime.now(UTC)))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

"""What a Lambda function may be invoked with."""

from datetime import date

import pytest

from exporter.config.event import ShardEvent, parse_event
from exporter.errors import UsageError


def test_nothing_means_everything_that_is_configured():
    event = parse_event({})
    assert (event.command, event.config, event.studios, event.start, event.full) == ("run", "", (), None, False)
    assert (event.shard, event.deadline_margin_s) == (None, 60.0)


def test_every_key_is_understood():
    event = parse_event(
        {
            "config": "s3://made-up/exporter.toml",
            "studios": ["harbour-yoga"],
            "datasets": ["strikes"],
            "start": "2025-01-01",
            "end": "2025-02-01",
            "full": True,
            "rewrite": True,
            "deadline_margin_s": 30,
        }
    )
    assert (event.config, event.studios, event.datasets) == (
        "s3://made-up/exporter.toml",
        ("harbour-yoga",),
        ("strikes",),
    )
    assert (event.start, event.end, event.full, event.rewrite) == (date(2025, 1, 1), date(2025, 2, 1), True, True)
    assert event.deadline_margin_s == 30


def test_what_is_null_counts_as_absent():
    assert parse_event({"studios": None, "shard": None, "end": None, "shards": None}) == parse_event({})


@pytest.mark.parametrize("shard", [{"url": "s3://made-up/p.json", "index": 3}, "s3://made-up/p.json#3"])
def test_a_shard_is_named_by_file_and_number(shard):
    assert parse_event({"shard": shard}).shard == ShardEvent(url="s3://made-up/p.json", index=3)


def test_a_plan_says_how_many_shards_and_where_they_go():
    event = parse_event({"command": "plan", "shards": 20, "out": "s3://made-up/plan.json"})
    assert (event.command, event.shards, event.out) == ("plan", 20, "s3://made-up/plan.json")


def test_a_merge_is_told_what_a_state_machine_knows():
    told = [{"shard": "p.json#3", "state": "failed", "error": "Runtime.ExitError", "hand_overs": 0}]
    event = parse_event({"command": "merge", "plan": "p.json", "told": told, "verified": {"state": "ok"}})
    assert (event.plan, event.verified.state) == ("p.json", "ok")
    assert [(shard.index, shard.error) for shard in event.told] == [(3, "Runtime.ExitError")]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (3, "event: is 3 instead of an object"),
        ([], "event: is an empty list instead of an object"),
        (None, "event: is None instead of an object"),
        ({"studio": ["a"]}, "event: studio is not a known key; did you mean studios?"),
        ({"studios": "a"}, 'event: studios is "a" instead of a list of strings'),
        ({"studios": [3]}, "event: studios[0] is 3 instead of a word of"),
        ({"start": "March"}, 'event: start is "March" instead of a date such as 2025-01-31'),
        ({"full": "yes"}, 'event: full is "yes" instead of true or false'),
        ({"deadline_margin_s": 0}, "event: deadline_margin_s is 0 instead of a number of seconds above 0"),
        ({"command": "forget"}, 'event: command is "forget" instead of run, plan, verify or merge'),
        ({"shard": 3}, "event: shard is a plain value instead of a table"),
        ({"shard": "plan.json"}, 'event: shard is "plan.json" instead of a file and a number, such as s3://'),
        ({"shard": "#0"}, 'event: shard is "#0" instead of a file and a number'),
        ({"shard": {"url": "p"}}, "event: shard.index is missing; give an integer of at least 0"),
        ({"shard": {"url": "p", "index": 0, "k": 1}}, "event: shard.k is not a known key"),
        ({"shard": "p#0", "command": "verify"}, 'event: shard is only for "command": "run"; leave it out'),
        ({"command": "plan", "shards": 2}, 'event: out is missing; plan needs "shards" and "out"'),
        ({"command": "merge"}, 'event: plan is missing; merge needs "plan"'),
        ({"plan": "p"}, 'event: plan is only for "command": "merge"; leave it out'),
        (
            {"command": "merge", "plan": "p", "told": [{"shard": "p", "state": "ok"}]},
            'event: told[0].shard is "p" instead of a file',
        ),
        ({"command": "merge", "plan": "p", "verified": {"state": "x"}}, 'event: verified.state is "x" instead of ok'),
        ({"shards": 2}, 'event: shards is only for "command": "plan"; leave it out'),
        ({1: 2}, "event: 1 is not a known key"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_what_and_what_else(document, said):
    with pytest.raises(UsageError) as caught:
        parse_event(document)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(said)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        parse_event({"full": 1, "start": 2, "what": 3})
    assert len(str(caught.value).splitlines()) == 3

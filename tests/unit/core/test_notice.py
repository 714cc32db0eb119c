"""The message that a run has ended, and where it goes."""

import json

import pytest

from exporter.core.manifest import RunState, Totals
from exporter.core.notice import Service, notice_of, parse_target
from tests.support.run_events import RUN_ID, make_manifest

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("arn", "service", "region"),
    [
        (f"arn:aws:sns:eu-west-1:{ACCOUNT}:studio-exports", Service.TOPIC, "eu-west-1"),
        (f"arn:aws-cn:sns:cn-north-1:{ACCOUNT}:a_b", Service.TOPIC, "cn-north-1"),
        (f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default", Service.BUS, "us-east-1"),
        (f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/of.partner/one", Service.BUS, "us-east-1"),
    ],
)
def test_a_topic_or_a_bus_is_told_by_its_arn(arn, service, region):
    target = parse_target(arn)
    assert (target.service, target.region, target.arn) == (service, region, arn)


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "studio-exports",
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:queue",
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:in-order.fifo",
        "arn:aws:sns:eu-west-1:12:studio-exports",
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:event-bus/default",
        f"arn:aws:events:us-east-1:{ACCOUNT}:rule/x",
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:a\n",
    ],
)
def test_anything_else_is_no_target(arn):
    assert parse_target(arn) is None


@pytest.mark.parametrize(
    ("state", "totals", "said"),
    [
        (RunState.OK, Totals(tasks=2, published=2, rows=7), ("ok", 7, 0)),
        (RunState.FAILED, Totals(tasks=2, published=1, failed=1, rows=5), ("partial", 5, 1)),
        (RunState.FAILED, Totals(tasks=3, failed=2, pending=1), ("failed", 0, 3)),
    ],
)
def test_it_says_what_became_of_the_run_in_counts_and_where_to_read_more(state, totals, said):
    notice = notice_of(make_manifest(state=state, totals=totals), "s3://lake/strikes/_manifests/run.json")
    told = json.loads(notice.to_json())
    assert (told["state"], told["rows"], told["failed"]) == said
    assert (told["run_id"], told["record"]) == (RUN_ID, "s3://lake/strikes/_manifests/run.json")
    assert set(told) == {"run_id", "dataset", "state", "rows", "failed", "ended_at", "record"}

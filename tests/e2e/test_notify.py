"""The message that a run has ended, as whoever subscribed to the topic or made a rule for the bus gets it (moto)."""

import asyncio
import json
from contextlib import asynccontextmanager, closing

import boto3
import pytest

from exporter.app import open_app
from exporter.app_choice import Choice
from exporter.cli.codes import ExitCode
from exporter.cli.main import main
from exporter.config.load import parse_settings
from exporter.jobs.events import NotTold
from exporter.lambda_handler import handler
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.exports import DATASET, config_for, small_world, tokens_of
from tests.support.s3_servers import free_port, moto_server

pytestmark = pytest.mark.xdist_group("s3")

REGION = "us-east-1"


class Context:
    """Plenty of time."""

    def get_remaining_time_in_millis(self):
        return 300_000


class Mailbox:
    """A queue that gets what is sent to *arn*."""

    def __init__(self, kind):
        self.sqs = boto3.client("sqs")
        self.url = self.sqs.create_queue(QueueName=f"for-{kind}")["QueueUrl"]
        queue = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        with closing(boto3.client(kind)) as client:
            if kind == "sns":
                self.arn = client.create_topic(Name="exports")["TopicArn"]
                client.subscribe(
                    TopicArn=self.arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
                )
            else:
                self.arn = client.create_event_bus(Name="exports")["EventBusArn"]
                pattern = {"source": ["studio-exporter"], "detail-type": ["Run ended"]}
                client.put_rule(Name="ended", EventBusName="exports", EventPattern=json.dumps(pattern))
                client.put_targets(Rule="ended", EventBusName="exports", Targets=[{"Id": "queue", "Arn": queue}])

    def mail(self):
        """Everything that is in it, as the run told it."""
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", ())
        for message in found:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        told = [json.loads(message["Body"]) for message in found]
        return [message.get("detail", message) for message in told]

    def close(self):
        self.sqs.close()


@pytest.fixture
def aws(tmp_path, monkeypatch):
    with moto_server(tmp_path) as server:
        for name, value in {**server.environment, "AWS_ENDPOINT_URL": server.endpoint_url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield server


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A sandbox, and a configuration that tells *target*; the tokens are in the environment."""

    @asynccontextmanager
    async def running(target):
        world = small_world()
        for name, token in tokens_of(world).items():
            monkeypatch.setenv(name, token)
        async with serve(world, SandboxOptions(rate=None)) as sandbox:
            text = config_for(sandbox.base_url, world, sink=str(tmp_path / "sink"))
            text += f'[notify]\ntarget = "{target}"\n'
            (tmp_path / "exporter.toml").write_text(text)
            monkeypatch.setenv("EXPORTER_CONFIG", str(tmp_path / "exporter.toml"))
            yield sandbox, parse_settings(text, {}), tokens_of(world)

    return running


@pytest.mark.parametrize("kind", ["sns", "events"])
async def test_each_end_of_a_run_is_told_once_with_its_state_and_where_its_manifest_lies(
    aws, configured, kind, tmp_path
):
    with closing(Mailbox(kind)) as box:
        async with configured(box.arn) as (sandbox, settings, tokens), open_app(settings, tokens) as app:
            (good,) = await app.run(Choice(), lambda _: None)
            (told,) = box.mail()
            sandbox.revoke(sandbox.world.tokens[0])
            (bad,) = await app.run(Choice(full=True), lambda _: None)
            (warned,) = box.mail()
    assert told == {
        "run_id": good.run_id,
        "dataset": DATASET,
        "state": "ok",
        "rows": good.totals.rows,
        "failed": 0,
        "ended_at": told["ended_at"],
        "record": f"{tmp_path}/sink/{DATASET}/_manifests/{good.run_id}.json",
    }
    assert (warned["run_id"], warned["state"], warned["failed"]) == (bad.run_id, "partial", 3)


async def test_the_function_tells_of_runs_and_of_a_merge_but_of_no_shard(aws, configured, tmp_path, monkeypatch):
    async def call(event):
        return await asyncio.to_thread(handler, event, Context())

    with closing(Mailbox("sns")) as box:
        async with configured(box.arn):
            url = str(tmp_path / "plan.json")
            await call({"command": "plan", "shards": 2, "out": url})
            for index in (0, 1):
                await call({"shard": f"{url}#{index}"})
            assert box.mail() == []
            merged = await call({"command": "merge", "plan": url, "verified": {"state": "ok"}})
            (told,) = box.mail()
            assert (told["run_id"], told["state"], told["record"]) == (merged["plan"], "ok", merged["record"])
            answer = await call({})
            (told,) = box.mail()
            assert (told["run_id"], told["state"]) == (answer["run_id"], "ok")


@pytest.mark.parametrize("kind", ["sns", "events"])
async def test_a_target_that_is_gone_or_refuses_is_a_warning_and_the_run_is_as_good(aws, configured, kind):
    with closing(Mailbox(kind)) as box:
        name = box.arn.replace("exports", "gone")
        async with configured(name) as (_, settings, tokens), open_app(settings, tokens) as app:
            seen = []
            (manifest,) = await app.run(Choice(), seen.append)
    assert manifest.state == "ok"
    (warning,) = [event for event in seen if isinstance(event, NotTold)]
    assert warning.reason.startswith(f"{name}: took no message that the run ended: ")
    assert warning.reason.endswith("is allowed on it")


async def test_a_target_that_nobody_answers_for_costs_a_warning_and_not_the_exit_code(configured, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    target = f"arn:aws:sns:{REGION}:123456789012:exports"
    async with configured(target) as (_, settings, tokens), open_app(settings, tokens) as app:
        seen = []
        await app.run(Choice(), seen.append)
    (warning,) = [event for event in seen if isinstance(event, NotTold)]
    assert "EndpointConnectionError" in warning.reason


def test_what_is_no_target_is_one_line_and_exit_code_2(tmp_path, capsys):
    text = config_for("https://api.example.test", small_world())
    (tmp_path / "exporter.toml").write_text(f'{text}[notify]\ntarget = "arn:aws:sqs:eu-west-1:123456789012:queue"\n')
    assert main(["plan", "--config", str(tmp_path / "exporter.toml")]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert 'notify.target is "arn:aws:sqs:eu-west-1:123456789012:queue" instead of the ARN of an SNS topic' in line

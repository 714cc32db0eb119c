"""What the exporter asks of AWS, recorded while it runs against a mock, is what its policy allows, and no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.handlers
import pytest

from exporter import app_shards
from exporter.app import open_app
from exporter.app_choice import Choice
from exporter.config.load import load_settings
from exporter.core.reply import State
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.exports import config_for, small_world, tokens_of
from tests.support.iam import Call, Statement, is_allowed, matches
from tests.support.s3_servers import moto_server
from tests.support.templates import ACCOUNT, REGION, Template

pytestmark = pytest.mark.xdist_group("s3")

#: The actions that S3 asks for where they are not called as the operation is.
_S3_ACTIONS = {"ListObjectsV2": "s3:ListBucket", "HeadBucket": "s3:ListBucket", "HeadObject": "s3:GetObject"}
BUCKET = "lakebucket"
PLAN = f"s3://{BUCKET}/plans/tonight.json"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:exports"


def call_of(service: str, operation: str, params: dict[str, Any]) -> Call:
    match service:
        case "s3" if "Key" in params:
            action = _S3_ACTIONS.get(operation, f"s3:{operation}")
            return Call(action, f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")
        case "s3":
            context = {"s3:prefix": params.get("Prefix", "")}
            return Call(_S3_ACTIONS.get(operation, f"s3:{operation}"), f"arn:aws:s3:::{params['Bucket']}", context)
        case "sns":
            return Call(f"sns:{operation}", params["TopicArn"])
        case "events":
            return Call(f"events:{operation}", params["Entries"][0]["EventBusName"])
        case "ssm":
            return Call(f"ssm:{operation}", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{params['Name']}")
        case _:
            secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{params['SecretId']}-AbCdEf"
            return Call(f"{service}:{operation}", secret)


@contextmanager
def recorded(monkeypatch) -> Iterator[list[Call]]:
    """Every call of every botocore session that is made from now on."""
    calls: list[Call] = []

    def note(event_name: str, params: dict[str, Any], **_: object) -> None:
        _, service, operation = event_name.split(".")
        calls.append(call_of(service.replace("-", ""), operation, params))

    with monkeypatch.context() as patch:
        handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-parameter-build", note)]
        patch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield calls


@pytest.fixture
async def calls(tmp_path, monkeypatch):
    """What a night calls, and then what a `forget` does.

    The night: a run, a doctor, another run, a plan in shards, a shard of it, a verify and a merge, with somebody told.
    """
    world = small_world()
    with moto_server(tmp_path) as server:
        for name, value in {**server.environment, "AWS_ENDPOINT_URL": server.endpoint_url}.items():
            monkeypatch.setenv(name, value)
        clients = [boto3.client(name) for name in ("s3", "ssm", "secretsmanager", "sns")]
        s3, ssm, secrets, sns = clients
        s3.create_bucket(Bucket=BUCKET)
        assert sns.create_topic(Name="exports")["TopicArn"] == TOPIC
        first, second = world.tokens
        ssm.put_parameter(Name="/studio-exporter/first", Value=first, Type="SecureString")
        secrets.create_secret(Name="studio-exporter", SecretString=f'{{"second": "{second}"}}')
        async with serve(world, SandboxOptions(rate=None)) as sandbox:
            text = config_for(sandbox.base_url, world, sink=f"s3://{BUCKET}/lake", run='reconcile = "warn"')
            text = text.replace("env:TOKEN_0", "ssm:/studio-exporter/first")
            text = text.replace("env:TOKEN_1", "secretsmanager:studio-exporter#second")
            s3.put_object(Bucket=BUCKET, Key="config/exporter.toml", Body=text.encode())
            for client in clients:
                client.close()
            with recorded(monkeypatch) as seen:
                environ = {"EXPORTER__NOTIFY__TARGET": TOPIC}
                settings = load_settings(f"s3://{BUCKET}/config/exporter.toml", environ)
                async with open_app(settings, tokens_of(world)) as app:
                    await app.run(Choice(), lambda _: None)
                    await app.doctor()
                    await app.run(Choice(full=True), lambda _: None)
                    await app_shards.plan_shards(app, Choice(full=True), 2, PLAN)
                    await app.run(await app_shards.choice_of_shard(app, PLAN, 0, Choice()), lambda _: None)
                    await app.verify(Choice(), source=True)
                    await app_shards.merge(app, PLAN, errors={}, verified=State.OK, observer=lambda _: None)
                    night, so_far = list(seen), len(seen)
                    await app.forget(1, None, dry_run=False)
                yield night, seen[so_far:]


def statements_of(*policies: str) -> list[Statement]:
    template = Template("template.yaml", NotifyTargetArn=TOPIC)
    return [s for name in policies for s in template.resource(name)["PolicyDocument"]["Statement"]]


def statements_of_the_function() -> list[Statement]:
    inline = Template("template.yaml").resource("ExporterRole")["Policies"]
    return [*statements_of("ExportPolicy"), *(s for p in inline for s in p["PolicyDocument"]["Statement"])]


async def test_every_recorded_call_is_allowed_by_the_exporters_policy_and_nothing_beyond_is(calls):
    night, _ = calls
    policy = statements_of("ExportPolicy")
    assert [call for call in night if not is_allowed(call, statements_of_the_function())] == []
    unused = {
        (statement["Sid"], action)
        for statement in policy
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if not any(matches({**statement, "Action": action}, call) for call in night)
    }
    # Here a topic is told, a bus takes the other action (tests/e2e/test_notify.py); no upload fails; and there are not
    # several parameters, which would be asked for at once.
    assert unused == {
        ("Notify", "events:PutEvents"),
        ("Lake", "s3:AbortMultipartUpload"),
        ("Parameters", "ssm:GetParameters"),
    }
    assert f"arn:aws:s3:::{BUCKET}/plans/tonight.json" in {call.resource for call in night}


def test_nobody_may_be_told_unless_the_template_names_them():
    without = Template("template.yaml").resource("ExportPolicy")["PolicyDocument"]["Statement"]
    assert "Notify" not in {statement["Sid"] for statement in without}
    policy = statements_of("ExportPolicy")
    assert is_allowed(Call("sns:Publish", TOPIC), policy)
    assert not is_allowed(Call("sns:Publish", f"{TOPIC}-another"), policy)
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/exports"
    to_bus = Template("template.yaml", NotifyTargetArn=bus).resource("ExportPolicy")["PolicyDocument"]["Statement"]
    assert is_allowed(Call("events:PutEvents", bus), to_bus)


def test_an_upload_in_pieces_may_be_begun_completed_and_aborted_in_the_lake_alone():
    statements = statements_of_the_function()
    # Beginning, putting a piece and completing are s3:PutObject. Source: S3 user guide, "Multipart upload API and
    # permissions".
    for action in ("s3:PutObject", "s3:AbortMultipartUpload"):
        part = f"arn:aws:s3:::{BUCKET}/lake/d/month=2025-01/part-00000.parquet"
        assert is_allowed(Call(action, part), statements)
        assert not is_allowed(Call(action, f"arn:aws:s3:::{BUCKET}/config/exporter.toml"), statements)


def test_pieces_that_nobody_completed_or_aborted_are_dropped_after_a_day():
    rules = Template("template.yaml").resource("LakeBucket")["LifecycleConfiguration"]["Rules"]
    (whole_bucket,) = [rule for rule in rules if "Prefix" not in rule]
    assert whole_bucket["Status"] == "Enabled"
    assert whole_bucket["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


async def test_forgetting_somebody_needs_nothing_beyond_the_operators_policies(calls):
    _, forgotten = calls
    assert [call for call in forgotten if not is_allowed(call, statements_of("ExportPolicy"))] == []
    # Which the function, whoever has got hold of it, may not do.
    refused = {call.resource for call in forgotten if not is_allowed(call, statements_of_the_function())}
    assert refused
    assert all("/lake/_erasure/" in resource for resource in refused)


def test_published_objects_are_never_deleted_and_nothing_outside_the_lake_is_written():
    policy = statements_of("ExportPolicy")
    for key in ("lake/d/month=2025-01/part-00000.parquet", "lake/d/_manifests/latest.json", "lake/_erasure/key.json"):
        assert not is_allowed(Call("s3:DeleteObject", f"arn:aws:s3:::{BUCKET}/{key}"), policy)
    assert not is_allowed(Call("s3:PutObject", f"arn:aws:s3:::{BUCKET}/config/exporter.toml"), policy)
    assert not is_allowed(Call("s3:GetObject", "arn:aws:s3:::another/lake/part"), policy)


@pytest.mark.parametrize("below", ["_erasure/key.json", "_staging/run/run.json", "_leases/salt.json"])
def test_readers_read_what_is_published_and_nothing_of_what_is_the_exporters(below):
    reader = statements_of("ReaderPolicy")
    lake = f"arn:aws:s3:::{BUCKET}/lake"
    assert is_allowed(Call("s3:GetObject", f"{lake}/d/month=2025-01/part-00000.parquet"), reader)
    assert not is_allowed(Call("s3:GetObject", f"{lake}/{below}"), reader)
    assert not is_allowed(Call("s3:PutObject", f"{lake}/d/month=2025-01/part-00000.parquet"), reader)


@pytest.mark.parametrize(("prefix", "listed"), [("lake/d/", True), ("config/", False), ("", False)])
def test_readers_list_the_lake_alone(prefix, listed):
    call = Call("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": prefix})
    assert is_allowed(call, statements_of("ReaderPolicy")) is listed

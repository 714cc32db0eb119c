"""What deploy/template.yaml and deploy/batch.yaml promise, read without any tool of AWS."""

import json
import re

import pytest

from exporter.config import values
from exporter.config.load import parse_settings
from exporter.core.metrics import UNITS
from exporter.tables.ddl import Dialect, ddl
from tests.support.templates import DEPLOY, Template, as_list

KEY = f"arn:aws:kms:us-east-1:123456789012:key/{'0' * 8}"


@pytest.fixture(params=[{}, {"KmsKeyArn": KEY, "AlarmEmail": "owner@example.test"}], ids=["defaults", "own key"])
def template(request):
    return Template("template.yaml", **request.param)


def test_both_buckets_are_private_encrypted_and_for_tls_alone(template):
    policies = template.of_type("AWS::S3::BucketPolicy").values()
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
        (policy,) = [p for p in policies if p["Bucket"] == name.lower()]
        assert {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}.items() <= (
            policy["PolicyDocument"]["Statement"][0].items()
        )


def test_the_own_key_is_used_wherever_something_is_encrypted():
    template = Template("template.yaml", KmsKeyArn=KEY)
    for bucket in template.of_type("AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    result = template.resource("WorkGroup")["WorkGroupConfiguration"]["ResultConfiguration"]
    assert result["EncryptionConfiguration"] == {"EncryptionOption": "SSE_KMS", "KmsKey": KEY}


def test_the_lake_keeps_old_versions_for_a_while_and_outlives_the_stack(template):
    lake = template.resource("LakeBucket")
    rules = {rule["Id"]: rule for rule in lake["LifecycleConfiguration"]["Rules"]}
    assert lake["VersioningConfiguration"]["Status"] == "Enabled"
    assert rules["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert (rules["staging"]["Prefix"], rules["staging"]["ExpirationInDays"]) == ("lake/_staging/", 7)
    assert template.body["Resources"]["LakeBucket"]["DeletionPolicy"] == "Retain"


def test_who_was_forgotten_what_is_staged_and_leases_are_denied_to_all_but_the_exporter_and_the_operator(template):
    deny = template.resource("LakeBucketPolicy")["PolicyDocument"]["Statement"][1]
    assert {resource.rsplit("/", 2)[1] for resource in deny["Resource"]} == {"_erasure", "_staging", "_leases"}
    assert [arn.rsplit("/", 1)[1] for arn in deny["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]] == [
        "exporterrole",
        "operatorrole",
    ]


#: The one place where a wildcard stands for every resource, since AWS knows none for the actions.
UNNAMED = {
    "template.yaml": {"logs:CreateLogDelivery", "logs:DescribeLogGroups"},
    "batch.yaml": {"ecr:GetAuthorizationToken"},
}


@pytest.mark.parametrize("name", UNNAMED)
def test_no_role_has_a_wildcard_where_a_resource_can_be_named_nor_an_action_that_is_one(name):
    template = Template(name)
    documents = [p["PolicyDocument"] for p in template.of_type("AWS::IAM::ManagedPolicy").values()]
    for role in template.of_type("AWS::IAM::Role").values():
        documents += [policy["PolicyDocument"] for policy in role.get("Policies", ())]
    allowed = [s for d in documents for s in d["Statement"] if s["Effect"] == "Allow"]
    assert not [action for s in allowed for action in as_list(s["Action"]) if "*" in action]
    unnamed = {action for s in allowed if s["Resource"] == "*" for action in as_list(s["Action"])}
    assert unnamed >= UNNAMED[name]
    assert all(action.startswith("logs:") or action in UNNAMED[name] for action in unnamed)


def test_the_glue_table_is_what_ddl_prints_for_athena():
    text = """
        [[reports]]
        name = "attendance_strikes.grouped"
        [windows]
        start = "2025-01-01"
        end = "today"
        [[studios]]
        id = "harbour-yoga"
        token = "env:TOKEN"
        [sink]
        url = "s3://lakebucket/lake"
    """
    (dataset,) = values.datasets(parse_settings(text, {}, name="exporter.toml"), "")
    printed = ddl(dataset, "s3://lakebucket/lake", Dialect.ATHENA, "2025-01")
    before, _, after = printed.partition("PARTITIONED BY")
    table = Template("template.yaml").resource("StrikesTable")["TableInput"]
    storage = table["StorageDescriptor"]

    assert [(c["Name"], c["Type"]) for c in storage["Columns"]] == re.findall(r"^  `(\w+)` (\w+)", before, re.MULTILINE)
    assert [(c["Name"], c["Type"]) for c in table["PartitionKeys"]] == re.findall(r"`(\w+)` (\w+)\)", after)
    assert {k: v for k, v in table["Parameters"].items() if k != "EXTERNAL"} == dict(
        re.findall(r"^  '(.+)' = '(.+)'", after, re.MULTILINE)
    )
    assert f"`{table['Name']}`" in before
    assert f"LOCATION '{storage['Location']}'" in after


def test_what_is_started_when_is_in_the_group_s_time_zone(template):
    schedule = template.resource("NightlySchedule")
    assert (schedule["ScheduleExpressionTimezone"], schedule["State"]) == ("Europe/London", "ENABLED")
    assert schedule["Target"]["Arn"] == "statemachine"


def test_a_query_has_a_limit_that_nobody_can_lift(template):
    settings = template.resource("WorkGroup")["WorkGroupConfiguration"]
    assert settings["EnforceWorkGroupConfiguration"] is True
    assert int(settings["BytesScannedCutoffPerQuery"]) == 10 * 1024**3


def test_every_log_is_kept_for_a_while_and_not_for_ever():
    for name in ("template.yaml", "batch.yaml"):
        groups = Template(name).of_type("AWS::Logs::LogGroup")
        assert groups
        assert {group["RetentionInDays"] for group in groups.values()} == {90}


def test_every_alarm_tells_somebody_and_is_explained_in_the_operations_guide():
    guide = (DEPLOY.parent / "docs" / "operations.md").read_text()
    topic = {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms"}
    for file in ("template.yaml", "batch.yaml"):
        alarms = Template(file, **topic).of_type("AWS::CloudWatch::Alarm")
        assert alarms
        for name, alarm in alarms.items():
            assert alarm["AlarmActions"]
            assert f"`{name}`" in guide


def test_26_hours_without_a_success_are_an_alarm(template):
    alarm = template.resource("NoSuccessfulRun")
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 26 * 3600
    assert (alarm["MetricName"], alarm["TreatMissingData"]) == ("SuccessfulRuns", "breaching")


@pytest.mark.parametrize("name", ["template.yaml", "batch.yaml"])
def test_alarms_look_at_metrics_that_the_program_writes_into_its_log(name):
    template = Template(name, AlarmTopicArn="arn:aws:sns:us-east-1:123456789012:alarms")
    assert template.of_type("AWS::Logs::MetricFilter") == {}
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    watched = [metric for alarm in alarms for metric in metrics_of(alarm)]
    ours = {metric["MetricName"] for metric in watched if not metric["Namespace"].startswith("AWS/")}
    assert "SuccessfulRuns" in ours
    assert ours <= {*UNITS}
    for metric in watched:
        assert metric["Namespace"] in {"studios", "AWS/States"}
        assert metric["Namespace"] == "AWS/States" or not metric.get("Dimensions"), "the run's line has none"


def metrics_of(alarm):
    """What an alarm looks at, by itself or in a formula."""
    if "MetricName" in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


@pytest.mark.parametrize("target", ["", "arn:aws:sns:us-east-1:123456789012:exports"])
def test_who_is_told_is_the_parameter_s_to_say_and_nobody_without_it(target):
    variables = Template("template.yaml", NotifyTargetArn=target).resource("ExporterFunction")["Environment"][
        "Variables"
    ]
    assert variables.get("EXPORTER__NOTIFY__TARGET", "") == target
    assert variables["EXPORTER_METRICS_NAMESPACE"] == "studios"


def test_the_job_may_write_nowhere_is_not_repeated_for_a_mistake_and_has_its_image_by_digest():
    template = Template("batch.yaml")
    job = template.resource("Job")
    assert job["ContainerProperties"]["ReadonlyRootFilesystem"] is True
    assert job["RetryStrategy"]["EvaluateOnExit"][0] == {"OnExitCode": "2", "Action": "EXIT"}
    assert "sha256" in template.body["Parameters"]["ImageUri"]["AllowedPattern"]


def test_the_dashboard_is_json_and_shows_every_metric(template):
    board = json.loads(template.resource("Dashboard")["DashboardBody"])
    shown = {metric[1] for widget in board["widgets"] for metric in widget["properties"].get("metrics", ())}
    assert {*UNITS} <= shown


def test_both_templates_give_the_program_the_same_environment():
    names = Template("template.yaml").resource("ExporterFunction")["Environment"]["Variables"].keys()
    job = Template("batch.yaml").resource("Job")["ContainerProperties"]["Environment"]
    assert {pair["Name"] for pair in job} == set(names)

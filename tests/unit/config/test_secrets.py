"""Secrets are read from where their references lead, and never shown."""

import json
import pickle

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from exporter.config.secrets import Secret, resolve, resolve_all
from exporter.errors import SecretError


def calls_of(monkeypatch, denied: str = "") -> list[str]:
    """The operations that AWS is asked for from now on, of which one may be *denied*."""
    calls = []
    ask = BaseClient._make_api_call

    def counted(client, operation, arguments):
        calls.append(operation)
        if operation == denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        return ask(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    return calls


def test_a_secret_prints_as_stars():
    secret = Secret("s3cret")
    assert f"{secret} {secret!r} {[secret]}" == "*** Secret(***) [Secret(***)]"
    assert secret.reveal() == "s3cret"


def test_a_secret_cannot_be_written_anywhere():
    for write in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            write(Secret("s3cret"))


def test_equal_secrets_are_one_key():
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}
    assert Secret("a") != "a"


def test_env_is_a_variable():
    assert resolve("env:TOKEN", {"TOKEN": "s3cret"}) == Secret("s3cret")


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_file_is_its_content_without_the_line_end(tmp_path, text):
    path = tmp_path / "a token"
    path.write_bytes(text.encode())
    assert resolve(f"file:{path}", {}) == Secret("s3cret")


def test_a_file_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("s3cret")
    assert resolve("file:~/token", {}) == Secret("s3cret")


def test_ssm_is_a_decrypted_parameter(aws):
    boto3.client("ssm").put_parameter(Name="/exporter/token", Value="s3cret", Type="SecureString")
    assert resolve("ssm:/exporter/token", {}) == Secret("s3cret")


def test_secretsmanager_is_a_string_or_a_value_of_a_json_object(aws):
    client = boto3.client("secretsmanager")
    client.create_secret(Name="plain", SecretString="s3cret")
    client.create_secret(Name="object", SecretString='{"a": "of a", "b": "b-s3cret"}')
    assert resolve("secretsmanager:plain", {}) == Secret("s3cret")
    assert resolve("secretsmanager:object#b", {}) == Secret("b-s3cret")


def test_an_arn_is_asked_for_in_its_own_region(aws):
    there = boto3.client("secretsmanager", region_name="eu-west-1")
    arn = there.create_secret(Name="far", SecretString="s3cret")["ARN"]
    assert resolve(f"secretsmanager:{arn}", {}) == Secret("s3cret")


def test_what_references_share_is_fetched_once(aws, monkeypatch):
    boto3.client("secretsmanager").create_secret(Name="all", SecretString='{"a": "1", "b": "2"}')
    calls = calls_of(monkeypatch)
    references = {"studios[0].token": "secretsmanager:all#a", "studios[1].token": "secretsmanager:all#b"}
    references |= {f"studios[{n}].token": "secretsmanager:all#a" for n in range(2, 9)}
    secrets = resolve_all(references, {})
    assert secrets == {"secretsmanager:all#a": Secret("1"), "secretsmanager:all#b": Secret("2")}
    assert calls == ["GetSecretValue"]


def test_many_parameters_take_few_calls(aws, monkeypatch):
    client = boto3.client("ssm")
    for n in range(25):
        client.put_parameter(Name=f"/tokens/{n}", Value=f"token-{n}", Type="SecureString")
    calls = calls_of(monkeypatch)
    references = {f"studios[{n}].token": f"ssm:/tokens/{n}" for n in range(25)}
    assert resolve_all(references, {}) == {f"ssm:/tokens/{n}": Secret(f"token-{n}") for n in range(25)}
    assert calls == 3 * ["GetParameters"]


def test_a_version_of_a_parameter_is_not_taken_for_another(aws):
    client = boto3.client("ssm")
    for value in ("first", "second"):
        client.put_parameter(Name="/token", Value=value, Type="SecureString", Overwrite=True)
    references = {"a": "ssm:/token:1", "b": "ssm:/token:2", "c": "ssm:/token"}
    found = {name: secret.reveal() for name, secret in resolve_all(references, {}).items()}
    assert found == {"ssm:/token:1": "first", "ssm:/token:2": "second", "ssm:/token": "second"}


def test_of_many_parameters_the_one_that_is_not_there_is_named(aws):
    boto3.client("ssm").put_parameter(Name="/token", Value="s3cret", Type="SecureString")
    with pytest.raises(SecretError) as caught:
        resolve_all({"studios[0].token": "ssm:/token", "studios[1].token": "ssm:/nothing"}, {})
    assert str(caught.value) == "studios[1].token: ssm:/nothing cannot be read: AWS answered ParameterNotFound"


def test_where_parameters_may_only_be_read_one_by_one_they_are(aws, monkeypatch):
    client = boto3.client("ssm")
    for n in range(3):
        client.put_parameter(Name=f"/tokens/{n}", Value=f"token-{n}", Type="SecureString")
    calls = calls_of(monkeypatch, denied="GetParameters")
    references = {f"studios[{n}].token": f"ssm:/tokens/{n}" for n in range(3)}
    assert len(resolve_all(references, {})) == 3
    assert calls == ["GetParameters", *3 * ["GetParameter"]]


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("env:UNSET", "env:UNSET is not set"),
        ("env:EMPTY", "env:EMPTY is empty"),
        ("env:UMLAUT", "env:UMLAUT holds characters other than ASCII"),
        (
            "env:PREFIXED",
            "env:PREFIXED holds spaces or control characters; give the bare secret, without a word before it",
        ),
        ("env:LINES", "env:LINES holds spaces or control characters; give the bare secret, without a word before it"),
        ("file:/nowhere/s", "file:/nowhere/s cannot be read (No such file or directory)"),
        ("file:/", "file:/ cannot be read (Is a directory)"),
        (
            "file:~no-such-user/s",
            "file:~no-such-user/s begins with a home folder that there is not; write the whole path",
        ),
        ("file:/dev/null", "file:/dev/null is empty"),
        ("file:/dev/zero", "file:/dev/zero is larger than 64 KiB"),
        ("env:QUOTED", "env:QUOTED stands in quotes; give the bare secret"),
        ("ssm:/nothing", "ssm:/nothing cannot be read: AWS answered ParameterNotFound"),
        ("secretsmanager:nothing", "secretsmanager:nothing cannot be read: AWS answered ResourceNotFoundException"),
        ("secretsmanager:bytes", "secretsmanager:bytes is binary instead of a string"),
        ("secretsmanager:plain#key", "secretsmanager:plain#key is no JSON object with this key"),
        ("secretsmanager:list#key", "secretsmanager:list#key is no JSON object with this key"),
        (
            "secretsmanager:object",
            "secretsmanager:object is a JSON object; name the key that holds the secret behind it, as in name#key",
        ),
        ("secretsmanager:object#key", "secretsmanager:object#key is no JSON object with this key"),
        (
            "secretsmanager:object#number",
            "secretsmanager:object#number has something else than a string under this key",
        ),
        ("vault:x", "is no reference; write env:NAME, file:PATH, ssm:/path or secretsmanager:name#key"),
        ("s3cret", "is no reference; write env:NAME, file:PATH, ssm:/path or secretsmanager:name#key"),
    ],
)
def test_what_leads_nowhere_names_key_and_reference_but_no_value(aws, reference, fault):
    client = boto3.client("secretsmanager")
    client.create_secret(Name="bytes", SecretBinary=b"s3cret")
    client.create_secret(Name="plain", SecretString="s3cret")
    client.create_secret(Name="list", SecretString='["s3cret"]')
    client.create_secret(Name="object", SecretString='{"a": "s3cret", "number": 5}')
    environ = {"EMPTY": "", "UMLAUT": "s3crét", "PREFIXED": "Bearer s3cret", "LINES": "s3\ncret", "QUOTED": '"s3cret"'}
    with pytest.raises(SecretError) as caught:
        resolve_all({"studios[0].token of harbour-yoga": reference}, environ)
    assert str(caught.value) == f"studios[0].token of harbour-yoga: {fault}"


def test_a_file_of_other_characters_is_refused_without_showing_them(tmp_path):
    path = tmp_path / "token"
    path.write_bytes("s3crét".encode())
    with pytest.raises(SecretError, match=r"holds characters other than ASCII\Z") as caught:
        resolve(f"file:{path}", {})
    assert caught.value.__cause__ is None or "s3cr" not in repr(caught.value.__cause__)


def test_aws_without_a_region_is_one_line(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with mock_aws(), pytest.raises(SecretError, match=r"ssm:/x cannot be read: You must specify a region\.\Z"):
        resolve("ssm:/x", {})


def test_every_reference_that_leads_nowhere_is_told_at_once():
    references = {"studios[0].token": "env:A", "studios[1].token": "env:B", "studios[2].token": "env:A"}
    with pytest.raises(SecretError) as caught:
        resolve_all(references, {})
    assert str(caught.value).splitlines() == [
        "studios[0].token, studios[2].token: env:A is not set",
        "studios[1].token: env:B is not set",
    ]

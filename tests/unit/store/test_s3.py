"""What is made of boto3's errors; requests over a real connection are in tests/contract/store/."""

import ssl

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from exporter.errors import (
    ConfigError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    StoreError,
)
from exporter.store.base import Absent, Condition
from exporter.store.s3 import open_client
from exporter.store.s3_errors import Failure, Verb, explain, failure_of

WHERE = "s3://lake/x/a.parquet"


def answered(status: int, code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutObject",
    )


def untrusted() -> SSLError:
    """As botocore raises it: what the handshake said is its context."""
    error = SSLError(endpoint_url="https://host.example.test", error=OSError("refused"))
    error.__context__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (answered(503, "SlowDown"), Failure.NOT_YET),
        (answered(400, "RequestTimeout"), Failure.NOT_YET),
        (answered(400, "ThrottlingException"), Failure.NOT_YET),
        (answered(429, "Other"), Failure.NOT_YET),
        (EndpointConnectionError(endpoint_url="http://host.example.test"), Failure.NOT_YET),
        (ConnectTimeoutError(endpoint_url="http://host.example.test"), Failure.NOT_YET),
        (answered(500, "InternalError"), Failure.UNKNOWN),
        (answered(503, "ServiceUnavailable"), Failure.UNKNOWN),
        (ReadTimeoutError(endpoint_url="http://host.example.test"), Failure.UNKNOWN),
        (ConnectionClosedError(endpoint_url="http://host.example.test"), Failure.UNKNOWN),
        (SSLError(endpoint_url="http://host.example.test", error=OSError("reset")), Failure.UNKNOWN),
        (untrusted(), Failure.FINAL),
        (ResponseParserError("not XML"), Failure.UNKNOWN),
        (answered(501, "NotImplemented"), Failure.FINAL),
        (answered(403, "AccessDenied"), Failure.FINAL),
        (answered(409, "OperationAborted"), Failure.FINAL),
        (NoCredentialsError(), Failure.FINAL),
        (CredentialRetrievalError(provider="sso", error_msg="words"), Failure.FINAL),
    ],
    ids=str,
)
def test_a_failure_is_final_only_if_it_will_not_pass_and_unknown_if_the_request_may_have_landed(
    error: Exception, failure: Failure
) -> None:
    assert failure_of(error) is failure


@pytest.mark.parametrize(
    ("error", "condition", "kind"),
    [
        (answered(412, "PreconditionFailed"), Absent(), PreconditionFailedError),
        (answered(412, "PreconditionFailed"), "etag", PreconditionFailedError),
        (answered(409, "ConditionalRequestConflict"), Absent(), PreconditionFailedError),
        (answered(404, "NoSuchKey"), "etag", PreconditionFailedError),
        (answered(404, "NoSuchBucket"), "etag", StoreError),
        (answered(404, "NoSuchKey"), Absent(), StoreError),
        (answered(500, "InternalError"), "etag", OutcomeUnknownError),
        (ReadTimeoutError(endpoint_url="http://host.example.test"), None, OutcomeUnknownError),
        (answered(503, "SlowDown"), None, StoreError),
        (answered(501, "NotImplemented"), Absent(), StoreError),
    ],
    ids=str,
)
def test_a_failed_put_says_whether_to_merge_again_to_look_or_to_give_up(
    error: Exception, condition: Condition, kind: type[StoreError]
) -> None:
    ours = explain(error, where=WHERE, verb=Verb.WRITE, condition=condition)
    assert type(ours) is kind
    assert str(ours).startswith(f"{WHERE}: ")


def test_only_a_missing_object_is_not_found() -> None:
    assert type(explain(answered(404, "NoSuchKey"), where=WHERE, verb=Verb.READ)) is NotFoundError
    assert type(explain(answered(404, "NoSuchBucket"), where=WHERE, verb=Verb.READ)) is StoreError
    assert type(explain(answered(404, "NoSuchKey"), where=WHERE, verb=Verb.LIST)) is StoreError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (answered(404, "NoSuchBucket"), "cannot list: NoSuchBucket (404); create the bucket or correct sink.url"),
        (answered(403, "RequestTimeTooSkewed"), "cannot list: RequestTimeTooSkewed (403); set this machine's clock"),
        (answered(301, "PermanentRedirect"), "cannot list: PermanentRedirect (301); set AWS_REGION to"),
        (
            answered(400, "KMS.DisabledException"),
            "cannot list: KMS.DisabledException (400); check AWS KMS and sink.kms",
        ),
        (answered(418, "Teapot"), "cannot list: Teapot (418); look this code up"),
        (answered(418, "\x1b[2J\nexporter: fine"), "cannot list: no code (418); look this code up"),
        (answered(503, "SlowDown"), "cannot list: still SlowDown (503) after 5 attempts; run again"),
        (NoCredentialsError(), "cannot list: NoCredentialsError; set AWS_PROFILE, or AWS_ACCESS_KEY_ID"),
    ],
    ids=str,
)
def test_a_message_says_where_what_and_the_way_out(error: Exception, message: str) -> None:
    assert str(explain(error, where=WHERE, verb=Verb.LIST, attempts=5)).startswith(f"{WHERE}: {message}")


def test_an_endpoint_that_is_no_url_is_a_configuration_error_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigError, match=r"sink\.endpoint_url is not a URL") as caught:
        open_client("user:password@nowhere")
    assert "password" not in str(caught.value)


def test_a_profile_that_does_not_exist_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys-profile")
    with pytest.raises(ConfigError, match=r"ProfileNotFound.*check AWS_PROFILE"):
        open_client()

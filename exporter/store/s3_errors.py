"""What boto3's errors leave behind, and our words for them."""

import re
import ssl
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

import botocore.exceptions as aws
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Condition

#: Everything that boto3 raises when something goes wrong outside this program; `HTTPError` comes from reading a body.
#: botocore asks a server that redirects for the bucket's region; where that is redirected too, it never stops asking.
FOREIGN = (aws.BotoCoreError, aws.ClientError, HTTPError, ResponseParserError, RecursionError)

#: Refusals that may pass. Source: Amazon S3 API reference, "Error responses".
_REFUSED_FOR_NOW = frozenset(
    {"RequestLimitExceeded", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}
)
#: Failures after which the request may have been carried out.
_ANSWER_LOST = (
    aws.HTTPClientError,
    aws.SSLError,
    aws.IncompleteReadError,
    aws.FlexibleChecksumError,
    HTTPError,
    ResponseParserError,
)
#: Failures before a request was sent.
_NEVER_SENT = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError)

#: Server errors after which nothing happened. Source: RFC 9110, section 15.6.2, and RFC 4918, section 11.5.
_NEVER_DONE = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.INSUFFICIENT_STORAGE)

#: A server's code is shown; what is none may be anything.
_A_CODE = re.compile(r"[A-Za-z0-9._-]{1,100}")

_CHECK_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
_RENEW = "renew the session's credentials"
_FREE_SPACE = "free some space there, or raise its quota, then run again"
_CHECK_REGION = "set AWS_REGION to the bucket's region"
_NOT_THERE = "the server redirects to another address; write that one as sink.endpoint_url"
_CHECK_NETWORK = "check the network and sink.endpoint_url"
_WAYS_OUT: Mapping[str, str] = {
    "AccessDenied": (
        "allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload "
        "below the prefix "
        "(and kms:Decrypt and kms:GenerateDataKey on its key), or correct sink.expected_bucket_owner"
    ),
    "AuthorizationHeaderMalformed": _CHECK_REGION,
    "ConnectTimeoutError": _CHECK_NETWORK,
    "EndpointConnectionError": _CHECK_NETWORK,
    "ExpiredToken": _RENEW,
    "InsufficientStorage": _FREE_SPACE,
    "InvalidAccessKeyId": _CHECK_KEYS,
    "InvalidToken": _RENEW,
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run under a role",
    "NoSuchBucket": "create the bucket or correct sink.url",
    "NotImplemented": "this server does not write on condition; use one that does",
    "ParamValidationError": "correct the bucket's name in sink.url",
    "PartialCredentialsError": _CHECK_KEYS,
    "PermanentRedirect": _CHECK_REGION,
    "ProxyConnectionError": "check HTTPS_PROXY and NO_PROXY",
    "QuotaExceeded": _FREE_SPACE,
    "RecursionError": _NOT_THERE,
    "RequestTimeTooSkewed": "set this machine's clock",
    "ResponseParserError": "see that sink.endpoint_url leads to an S3 server",
    "SSLError": "check the server's certificate, or name its authority in AWS_CA_BUNDLE",
    "SignatureDoesNotMatch": _CHECK_KEYS,
    "TemporaryRedirect": _NOT_THERE,
    "XMinioStorageFull": _FREE_SPACE,
}


class Verb(StrEnum):
    """What was asked of the bucket."""

    READ = "read"
    WRITE = "write"
    UPLOAD = "upload"
    LIST = "list"
    DELETE = "delete"


class Failure(StrEnum):
    """What a failed request leaves behind."""

    FINAL = "nothing happened and never will"
    NOT_YET = "nothing happened, but may when asked again"
    UNKNOWN = "it may have happened"


def failure_of(error: BaseException) -> Failure:
    """What a request that ended with *error* leaves behind."""
    if isinstance(error, aws.ClientError):
        status = status_of(error)
        if is_throttled(error):
            return Failure.NOT_YET
        unknown = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NEVER_DONE
        return Failure.UNKNOWN if unknown else Failure.FINAL
    if isinstance(error, _NEVER_SENT):
        return Failure.NOT_YET
    if isinstance(error, aws.SSLError) and _certificate_refused(error):
        return Failure.FINAL
    return Failure.UNKNOWN if isinstance(error, _ANSWER_LOST) else Failure.FINAL


def is_throttled(error: BaseException) -> bool:
    """Whether the store refused a request for now, since there are too many."""
    if not isinstance(error, aws.ClientError):
        return False
    return _code(error) in _REFUSED_FOR_NOW or status_of(error) == HTTPStatus.TOO_MANY_REQUESTS


def explain(error: Exception, *, where: str, verb: Verb, condition: Condition = None, attempts: int = 1) -> StoreError:
    """Our error for one of boto3's; its message holds nothing that the server or botocore wrote but the code."""
    code, status = _code(error), status_of(error)
    answer = f"{code} ({status})" if status else code
    if verb is Verb.READ and _says_no_such_key(error):
        return NotFoundError(f"{where}: there is no such object")
    if verb is Verb.WRITE:
        if _says_condition_failed(error, condition):
            return PreconditionFailedError(
                f"{where}: someone else wrote it meanwhile ({answer}); read it and try again"
            )
        if failure_of(error) is Failure.UNKNOWN:
            way_out = _WAYS_OUT.get(code, "run again")
            return OutcomeUnknownError(f"{where}: may have been written, but the answer was lost: {answer}; {way_out}")
    if failure_of(error) is Failure.FINAL:
        way_out = (
            "check AWS KMS and sink.kms_key_id"
            if code.startswith("KMS.")
            else "look this code up in the store's documentation"
        )
        return StoreError(f"{where}: cannot {verb}: {answer}; {_WAYS_OUT.get(code, way_out)}")
    way_out = _WAYS_OUT.get(code, "run again")
    return StoreError(f"{where}: cannot {verb}: still {answer} after {attempts} attempts; {way_out}")


def may_be_repeated(error: BaseException, *, verb: Verb) -> bool:
    """Whether a request of this kind may be sent again after *error*."""
    failure = failure_of(error)
    return failure is Failure.NOT_YET or (failure is Failure.UNKNOWN and verb is not Verb.WRITE)


def _says_no_such_key(error: Exception) -> bool:
    return status_of(error) == HTTPStatus.NOT_FOUND and _code(error) != "NoSuchBucket"


def _says_condition_failed(error: Exception, condition: Condition) -> bool:
    """412, or 409 when two writers meet, or 404 for an object that is gone.

    Source: Amazon S3 user guide, "How to prevent object overwrites with conditional writes".
    """
    return (
        status_of(error) == HTTPStatus.PRECONDITION_FAILED
        or _code(error) == "ConditionalRequestConflict"
        or (isinstance(condition, str) and _says_no_such_key(error))
    )


def _certificate_refused(error: BaseException) -> bool:
    """Whether the connection ended before anything was sent, because nobody vouches for the server."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def status_of(error: Exception) -> int:
    """The HTTP status of the answer; 0 where there was none."""
    if isinstance(error, aws.ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return 0


def _code(error: Exception) -> str:
    if isinstance(error, aws.ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        return code if _A_CODE.fullmatch(code) else "no code"
    return type(error).__name__

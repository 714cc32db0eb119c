"""What several requests to S3 say in the same words."""

from typing import Literal, NotRequired, TypedDict

from exporter.store.base import Absent, Condition


class Place(TypedDict):
    """Where every request goes."""

    Bucket: str
    ExpectedBucketOwner: NotRequired[str]


class Seal(TypedDict, total=False):
    """What an object is encrypted with; nothing for the bucket's own default."""

    ServerSideEncryption: Literal["aws:kms"]
    SSEKMSKeyId: str


class On(TypedDict, total=False):
    """The condition of a put, or of an upload's completion."""

    IfMatch: str
    IfNoneMatch: str


def on_condition(condition: Condition) -> On:
    """*condition* as S3 has it."""
    match condition:
        case None:
            return {}
        case Absent():
            return {"IfNoneMatch": "*"}
        case etag:
            return {"IfMatch": etag}

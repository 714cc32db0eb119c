"""From the sink's URL to the store behind it. What a run does not use is not imported."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from exporter.errors import ConfigError
from exporter.store.base import ObjectStore, Readers

_ALLOWED = 'a folder, "file:///folder" or "s3://bucket/prefix"'


def open_store(
    url: str,
    *,
    endpoint_url: str = "",
    kms_key_id: str = "",
    bucket_owner: str = "",
    readers: Readers = Readers.OWNER,
) -> ObjectStore:
    """The store for a folder ("./lake", "/data/lake", "file:///data/lake") or a bucket ("s3://bucket/prefix").

    Nothing is asked of it yet: whether it can be reached and written is first seen when it is used.

    Args:
        url: the sink. Percent-encoding is decoded in file URLs only; "~" at the start of a path is the home folder.
        endpoint_url: of an S3-compatible store; empty for AWS.
        kms_key_id: encrypts what is put on S3 with this key; empty for the bucket's own default.
        bucket_owner: the account that the bucket must belong to; empty for any.
        readers: of what is written into a folder.

    Raises:
        ConfigError: the URL has none of these forms, or S3 cannot be set up from this environment.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme = ""
    match scheme.lower():
        case "":
            path = _plain_path(url)
        case "file":
            path = _file_path(url)
        case "s3":
            return _open_s3(rest, endpoint_url=endpoint_url, kms_key_id=kms_key_id, bucket_owner=bucket_owner)
        case _:
            # Only the scheme is shown: what follows it may hold a password.
            raise ConfigError(f'sink.url begins with "{scheme}://" instead of {_ALLOWED}')

    from exporter.store.local import LocalStore  # noqa: PLC0415 - see the module's docstring

    return LocalStore(path, url=url.rstrip("/") or "/", readers=readers)


def _plain_path(url: str) -> Path:
    if not url.strip() or "\0" in url or url.startswith("file:"):
        raise ConfigError(f"sink.url is {url!r} instead of {_ALLOWED}")
    try:
        return Path(url).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"sink.url is {url!r}, but there is no such home folder; write the whole path") from error


def _file_path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise ConfigError("sink.url is a file URL without an absolute path on this machine; write file:///folder")
    if parts.query or parts.fragment:
        raise ConfigError('sink.url is a file URL with "?" or "#"; write these characters as %3F and %23')
    return Path(path)


def _open_s3(rest: str, *, endpoint_url: str, kms_key_id: str, bucket_owner: str) -> ObjectStore:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise ConfigError("sink.url holds credentials; take them out and set AWS_PROFILE or AWS_ACCESS_KEY_ID instead")
    parts = prefix.strip("/").split("/") if prefix.strip("/") else []
    if not bucket or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(f'sink.url is "s3://{rest}" instead of "s3://bucket/prefix"')

    from exporter.store.s3 import S3Store  # noqa: PLC0415 - see the module's docstring

    return S3Store(bucket, "/".join(parts), endpoint_url=endpoint_url, kms_key_id=kms_key_id, bucket_owner=bucket_owner)

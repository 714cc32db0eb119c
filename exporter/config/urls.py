"""What may stand in the URLs of a configuration. Pure: nothing is looked up or connected to."""

import re
from urllib.parse import SplitResult, urlsplit

from exporter.core.loopback import is_loopback

#: Characters of a key that need no special care anywhere. Source: Amazon S3 user guide, "Naming Amazon S3 objects",
#: without those that it advises against and those that readers of a dataset take for a pattern.
_S3_PART = re.compile(r"[A-Za-z0-9!'()&$@=;:+,._-]+")
_S3_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
#: One letter would be a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_URL_TEXT = re.compile(r"[!-\[\]-~]+")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")


def http_fault(url: str) -> str | None:
    """What *url* should be instead; None where it is an http(s) URL that a path can be joined to."""
    if not _URL_TEXT.fullmatch(url):
        return "a URL of printable ASCII characters"
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
        return "an http:// or https:// URL with a host"
    if "@" in parts.netloc:
        return "a URL without user name and password"
    if "?" in url or "#" in url:
        return "a URL without query and fragment"
    return None


def is_plain_http_elsewhere(url: str) -> bool:
    """Whether what is sent to *url* could be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def sink_fault(url: str) -> str | None:
    """What *url* should be instead; None where it is a folder, `file:///path` or `s3://bucket/prefix`."""
    forms = "a folder, file:///path or s3://bucket/prefix"
    if not url or not url.isprintable():
        return forms
    if is_s3(url):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not _S3_BUCKET.fullmatch(bucket):
            return "s3://bucket/prefix with the name of a bucket"
        parts = prefix.removesuffix("/").split("/") if prefix else []
        if any(part in {".", ".."} or not _S3_PART.fullmatch(part) for part in parts):
            return "s3://bucket/prefix with letters, digits and !'()&$@=;:+,._- between single slashes"
        return None
    if url.startswith("file:"):
        return None if url.startswith("file:///") and url.strip("/") != "file:" else forms
    return forms if _SCHEME.match(url) else None


def is_s3(url: str) -> bool:
    """Whether *url* is a place on S3."""
    return url.startswith("s3://")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts if parts.port != 0 else None
    except ValueError:
        return None

"""AWS, as far as a configuration or a secret lies there.

boto3 is slow to import and most configurations do without it, so it is imported where it is used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class UnreadableError(Exception):
    """Why something cannot be read; a predicate. Whoever asked makes a public error of it."""


def new_client(service: str, region: str | None = None) -> Any:
    """A boto3 client, with what the environment of the process says of credentials and region at this moment."""
    import boto3  # noqa: PLC0415 - see above

    with aws_faults():
        return boto3.session.Session().client(service, region_name=region)  # type: ignore[call-overload]


@contextmanager
def aws_faults() -> Iterator[None]:
    """Turn what boto3 raises into one line; AWS is quoted by its code alone, since its text may name a person.

    Raises:
        UnreadableError: something was raised.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see above

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        raise UnreadableError(f"cannot be read: AWS answered {code}") from error
    except BotoCoreError as error:
        raise UnreadableError(f"cannot be read: {' '.join(str(error).split())}") from error

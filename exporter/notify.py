"""Sends the message that a run has ended to an SNS topic or an EventBridge bus.

boto3 is imported and runs in a thread when a message is sent. A target that does not answer costs seconds, no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from exporter.core.notice import Notice, Service, Target
from exporter.errors import NotifyError

#: What rules of EventBridge match.
SOURCE = "studio-exporter"
DETAIL_TYPE = "Run ended"

_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 5
_ATTEMPTS = 2

Send = Callable[[Notice], Awaitable[None]]


def sender(target: Target) -> Send:
    """What sends a message to *target*; it raises NotifyError where that did not take it."""

    async def send(notice: Notice) -> None:
        await asyncio.to_thread(_send, target, notice)

    return send


def _send(target: Target, notice: Notice) -> None:
    import boto3  # noqa: PLC0415 - see the module's docstring
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    try:
        client: Any = boto3.session.Session().client(str(target.service), region_name=target.region, config=config)  # type: ignore[call-overload]
        try:
            code = _TELL[target.service](client, target.arn, notice)
        finally:
            client.close()
    except ClientError as error:
        raise _refused(target, error.response.get("Error", {}).get("Code", "an error")) from error
    except BotoCoreError as error:
        raise _refused(target, type(error).__name__) from error
    if code:
        raise _refused(target, code)


def _publish(client: Any, arn: str, notice: Notice) -> str:
    """Send to a topic; an answer without an error is a success, so no code is returned."""
    attributes = {
        name: {"DataType": "String", "StringValue": str(value)}
        for name, value in (("dataset", notice.dataset), ("state", notice.state))
    }
    client.publish(TopicArn=arn, Message=notice.to_json(), MessageAttributes=attributes)
    return ""


def _put_event(client: Any, arn: str, notice: Notice) -> str:
    """Send to a bus, which answers 200 even where it took nothing; the code of its error, empty where there is none."""
    entry = {"EventBusName": arn, "Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": notice.to_json()}
    (answer,) = client.put_events(Entries=[entry])["Entries"]
    return str(answer.get("ErrorCode", ""))


_TELL: dict[Service, Callable[[Any, str, Notice], str]] = {Service.TOPIC: _publish, Service.BUS: _put_event}


def _refused(target: Target, why: str) -> NotifyError:
    action = {Service.TOPIC: "sns:Publish", Service.BUS: "events:PutEvents"}[target.service]
    return NotifyError(
        f"{target.arn}: took no message that the run ended: {why}; check notify.target, the network, and that {action}"
        " is allowed on it"
    )

"""A studio: one business whose reports are exported, and the credential that it is asked with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NewType
from zoneinfo import ZoneInfo

StudioId = NewType("StudioId", str)

#: Stands for a credential wherever one is counted, paced or logged; says nothing about the secret behind it.
CredentialKey = NewType("CredentialKey", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """One business.

    Attributes:
        id: our name for it; unique in a configuration, safe in a path.
        credential: who is rate limited; several studios may share one.
        provider_id: the API's own id of the business, sent as a header where set.
        timezone: IANA name; windows are cut at its midnights.
    """

    id: StudioId
    credential: CredentialKey
    provider_id: int | None = None
    timezone: str = "UTC"


def local_day(moment: datetime, studio: Studio) -> date:
    """The day that it is where *studio* is."""
    return moment.astimezone(ZoneInfo(studio.timezone)).date()


def describe_credential(studios: Sequence[Studio]) -> str:
    """What a person calls the credential that *studios* share: by the first of them, and how many more there are."""
    first, *more = studios
    return f"credential of {first.id}" + (f" and {len(more)} more" if more else "")

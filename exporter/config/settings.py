"""The configuration as values: what `exporter.toml` may hold, of which type, in which range, with which default.

A type is also half of an error's text: what is allowed is its `description`, or the choice it stands for. What one
value says of another is in `rules.py`. The choices of an adapter (schemes, styles, codecs) are plain words here; the
adapter that knows what they mean has the type.
Source of keys and defaults: README.md, "Configuration".
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal, Self, get_type_hints

from msgspec import Meta, Struct

from exporter.core.answer import Format
from exporter.core.catalogue import REPORTS
from exporter.core.reconcile import Reconcile
from exporter.core.report import ColumnType, Filter, Pivot, Scalar
from exporter.core.window import Every

#: A bound from here on is there for the arithmetic, not for a person.
_FAR = 100_000


def _integer(low: int, high: int | None = None) -> Meta:
    """The bounds of an integer; *high* is not told where it is far."""
    text = f"an integer of at least {low}" if high is None or high >= _FAR else f"an integer from {low} to {high}"
    return Meta(ge=low, le=high, description=text)


Id = Annotated[int, _integer(1, 2**63 - 1)]
Names = Annotated[tuple[str, ...], Meta(description="a list of strings")]
StudioName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z",
        description='a word of 1 to 100 letters, digits, "_" and "-", beginning with a letter or digit',
    ),
]
DatasetText = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z][a-z0-9_]{0,99}\Z",
        description='a word of 1 to 100 lower-case letters, digits and "_", beginning with a letter',
    ),
]
AccountId = Annotated[str, Meta(pattern=r"\A([0-9]{12})?\Z", description="the 12 digits of an AWS account, or nothing")]
#: Goes into a request's header.
HeaderText = Annotated[
    str, Meta(pattern=r"\A[!-~]*\Z", description="printable ASCII characters without spaces, or nothing")
]


@cache
def _hints(section: type) -> Mapping[str, Any]:
    return get_type_hints(section, include_extras=True)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. Its fields are the table's keys, unless the class says otherwise."""

    @classmethod
    def kinds(cls, table: Mapping[str, object]) -> Mapping[str, Any]:  # noqa: ARG003 - for those whose keys depend on it
        """The type of each key that may stand in *table*, in the documented order."""
        return _hints(cls)

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """The section from values that are of the right types."""
        return cls(**values)


class Api(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the report API is asked.

    Attributes:
        requests_per_minute: per credential, in any sliding minute.
        spread: even spacing instead of as early as allowed.
        max_connections: in all.
        timeout: seconds for one attempt.
        max_attempts: for one page.
        page_size: rows.
        allow_http: plain http towards hosts other than this one.
    """

    base_url: str = "https://goteamup.com/api/v2"
    auth_scheme: Literal["Bearer", "Token", "JWT"] = "Bearer"
    requests_per_minute: Annotated[int, _integer(1, 10**9)] = 250
    spread: bool = False
    max_connections: Annotated[int, _integer(1, 1000)] = 32
    timeout: Annotated[float, Meta(gt=0, le=86_400, description="a number of seconds above 0, at most 86400")] = 30.0
    max_attempts: Annotated[int, _integer(1)] = 8
    format: Format = Format.JSON
    page_size: Annotated[int, _integer(1, 100)] = 100
    pagination: Literal["offset", "page"] = "offset"
    list_style: Literal["comma", "repeat", "brackets"] = "comma"
    studio_headers: bool = True
    allow_http: bool = False


def _filter_kind(spec: Filter) -> Any:
    """The type of a filter's value; the catalogue knows it, so it cannot be written down here."""
    kind: Any = Id if spec.type is ColumnType.INT64 else Annotated[str, Meta(min_length=1, description="a string")]
    if spec.allowed:
        kind = Literal[spec.allowed]  # a Literal of a tuple is one of its items
    if not spec.many:
        return kind
    items = "integers" if spec.type is ColumnType.INT64 else "strings"
    return Annotated[tuple[kind, ...], Meta(description=f"a list of {items}")]


class Report(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dataset: a report of the catalogue, its columns and filters.

    Filters are keys of the report's own table, as many as the catalogue knows of it. Once built, `dataset` and
    `columns` are never empty, unless the report is unknown.
    """

    name: str
    dataset: DatasetText = ""
    columns: Annotated[tuple[str, ...], Meta(min_length=1, description="a list of at least one column")] = ()
    pivot: Pivot = Pivot.ALL
    max_pivot_columns: Annotated[int, _integer(1, 12)] = 4
    filters: Mapping[str, tuple[Scalar, ...]] = {}

    @classmethod
    def kinds(cls, table: Mapping[str, object]) -> Mapping[str, Any]:
        """The fields, with the filters of the report that the table names in place of `filters`.

        A report that is unknown gets the filters of all, so that its one mistake is told once.
        """
        spec = REPORTS.get(str(table.get("name")))
        filters = [f for s in ([spec] if spec else REPORTS.values()) for f in s.filters]
        fields = {name: kind for name, kind in _hints(cls).items() if name != "filters"}
        return fields | {f.name: _filter_kind(f) for f in filters}

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """The report with its default name and columns; a filter without values is none."""
        fields = {key: value for key, value in values.items() if key in cls.__struct_fields__}
        filters = {k: v if isinstance(v, tuple) else (v,) for k, v in values.items() if k not in fields}
        spec = REPORTS.get(fields["name"])
        fields.setdefault("dataset", fields["name"].replace(".", "_"))
        fields.setdefault("columns", spec.default_columns if spec else ())
        return cls(**fields, filters={k: v for k, v in filters.items() if v})


class Windows(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which days are exported, and how they are cut.

    Attributes:
        start: first local day.
        end: first local day not included.
        lookback_days: windows younger than this are fetched again.
    """

    start: date
    end: date | Literal["today"]
    every: Every = Every.MONTH
    lookback_days: Annotated[int, _integer(0, 100_000)] = 35


class Privacy(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Columns that are not written as they come.

    Attributes:
        drop: never written.
        hash: written as keyed hashes.
        hash_key: reference of the key; empty where nothing is hashed.
    """

    drop: Names = ()
    hash: Names = ()
    hash_key: str = ""


class StudioSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One business; `token` is a reference."""

    id: StudioName
    token: str
    provider_id: Id | None = None
    timezone: str = "UTC"


class Run(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run goes about it.

    Attributes:
        reconcile: what becomes of a studio whose sum is not the API's own.
        when_busy: what to do about a credential that another run uses.
    """

    reconcile: Reconcile = Reconcile.WARN
    when_busy: Literal["wait", "skip"] = "wait"


class Sink(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the datasets lie; what is empty is not used.

    Attributes:
        readable_by: who besides the owner may read files and folders that are made; for a folder.
        expected_bucket_owner: the account that a bucket must belong to.
        allow_http: plain http towards an endpoint on another host.
    """

    url: str = "./lake"
    compression: Literal["zstd", "snappy", "none"] = "zstd"
    endpoint_url: str = ""
    kms_key_id: HeaderText = ""
    expected_bucket_owner: AccountId = ""
    allow_http: bool = False
    readable_by: Literal["owner", "group", "all"] = "owner"


class Notify(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told that a run has ended; `target` names an SNS topic or an EventBridge bus, or nobody where empty."""

    target: str = ""


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole configuration. One that `load.py` gave out keeps every rule of `rules.py`."""

    api: Api = Api()
    reports: Annotated[tuple[Report, ...], Meta(min_length=1, description="one or more [[reports]] tables")]
    windows: Windows
    privacy: Privacy = Privacy()
    studios: Annotated[tuple[StudioSection, ...], Meta(min_length=1, description="one or more [[studios]] tables")]
    sink: Sink = Sink()
    run: Run = Run()
    notify: Notify = Notify()

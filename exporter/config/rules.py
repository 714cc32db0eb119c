"""What the values of a configuration must be to one another, and to the world outside of it.

Each rule is told the sections it needs and yields what is wrong; it is not asked where one of them has a wrong shape.
"""

import difflib
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from exporter.config import urls
from exporter.config.problems import Path, Problem, choice, instead, shown
from exporter.config.secrets import FORMS, is_reference, is_valid_reference
from exporter.config.settings import Api, Notify, Privacy, Report, Sink, StudioSection, Windows
from exporter.core.catalogue import REPORTS
from exporter.core.notice import parse_target
from exporter.core.report import Dataset, DatasetName, Pivot, ReportSpec, most_periods
from exporter.core.window import Every, Window

#: Days outside of these are mistakes of typing.
_FIRST_DAY = date(1900, 1, 1)
_LAST_DAY = date(2200, 1, 1)
#: In so many days a week, a month and a year begin on every day that matters to how many periods a window touches.
_FOUR_YEARS = timedelta(days=1461)
#: The API's own limit of `max_pivot_columns`. Source: docs/api.md section 1.
_MOST_PIVOT_COLUMNS = 12
#: Columns that are ours; every dataset needs them. Source: README.md, "Output".
_OWN_COLUMNS: Final = frozenset(
    {"studio_id", "window_start", "window_end", "period_key", "period_label", "run_id", "exported_at"}
)


def problems_of(sections: Mapping[str, Any]) -> Iterator[Problem]:
    """All that is wrong with *sections*, those parts of the settings that have the right shape, by their names."""
    for rule, needs in _RULES:
        if all(name in sections for name in needs):
            yield from rule(*(sections[name] for name in needs))


def _api(api: Api) -> Iterator[Problem]:
    path = ("api", "base_url")
    if fault := urls.http_fault(api.base_url):
        yield instead(path, api.base_url, fault)
    elif urls.is_plain_http_elsewhere(api.base_url) and not api.allow_http:
        yield instead(path, api.base_url, "https; to send credentials in plain text, set api.allow_http = true")


def _windows(windows: Windows) -> Iterator[Problem]:
    if not _FIRST_DAY <= windows.start < _LAST_DAY:
        yield instead(("windows", "start"), windows.start, f"a day from {_FIRST_DAY} to before {_LAST_DAY}")
    if windows.end == "today":
        return
    if windows.end > _LAST_DAY:
        yield instead(("windows", "end"), windows.end, f"a day up to {_LAST_DAY}")
    elif windows.end <= windows.start:
        yield instead(("windows", "end"), windows.end, f"a day after windows.start ({windows.start})")


def _reports(reports: Sequence[Report]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, report in enumerate(reports):
        path: Path = ("reports", number)
        spec = REPORTS.get(report.name)
        if spec is None:
            yield instead((*path, "name"), report.name, choice(REPORTS))
            continue
        yield from _columns(path, report, spec)
        if report.pivot is not Pivot.ALL and report.pivot not in spec.pivots:
            yield instead(
                (*path, "pivot"), report.pivot, choice(spec.pivots or ("all",)) + f", as {spec.name} needs it"
            )
        first = seen.setdefault(report.dataset, number)
        if first != number:
            yield instead((*path, "dataset"), report.dataset, f"a name of its own; reports[{first}] has it")


def _columns(report_path: Path, report: Report, spec: ReportSpec) -> Iterator[Problem]:
    path = (*report_path, "columns")
    forms = spec.column_forms()
    unknown = [(number, name) for number, name in enumerate(report.columns) if name not in forms]
    for number, name in unknown:
        yield Problem((*path, number), f"is {_not_a_column(name, [spec])}")
    if unknown:
        return
    try:
        chosen = {column.name for column in spec.resolve(report.columns)}
    except ValueError as error:
        yield Problem(path, f": {error}")
        return
    for measure in spec.measures:
        if spec.grouped and measure not in chosen:
            yield Problem(path, f'has no "{measure}", without which grouped rows say nothing; add it')
    for name in spec.row_key:
        if name not in chosen:
            yield Problem(path, f'has no "{name}", without which rows that are alike could not be told apart; add it')


def _not_a_column(name: str, specs: Sequence[ReportSpec]) -> str:
    names = dict.fromkeys(form for spec in specs for form in spec.column_forms())
    near = difflib.get_close_matches(name, names, n=1)
    known = dict.fromkeys(name for spec in specs for name in spec.names())
    way_out = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{shown(name)}, which is no column of {choice(spec.name for spec in specs)}; {way_out}"


def _pivots(reports: Sequence[Report], windows: Windows) -> Iterator[Problem]:
    end = windows.start + _FOUR_YEARS if windows.end == "today" else windows.end
    if not _FIRST_DAY <= windows.start < end <= _LAST_DAY + _FOUR_YEARS:
        return  # told already
    for number, report in enumerate(reports):
        if report.pivot is Pivot.ALL:
            continue
        most = most_periods(windows.every, report.pivot, Window(windows.start, end))
        if most > report.max_pivot_columns:
            larger = "" if most > _MOST_PIVOT_COLUMNS else f"set max_pivot_columns = {most} or "
            yield Problem(
                ("reports", number, "max_pivot_columns"),
                f"is {report.max_pivot_columns}, but a window of one {windows.every} touches up to {most} periods "
                f"of one {report.pivot}; {larger}use a smaller windows.every",
            )


def _privacy(reports: Sequence[Report], privacy: Privacy) -> Iterator[Problem]:
    specs = list({report.name: REPORTS[report.name] for report in reports if report.name in REPORTS}.values())
    if specs:
        for key, names in (("drop", privacy.drop), ("hash", privacy.hash)):
            for number, name in enumerate(names):
                yield from _private_name(("privacy", key, number), name, specs)
    dropped = {name for spec in specs for name in private_columns(privacy.drop, spec)}
    hashed = {name for spec in specs for name in private_columns(privacy.hash, spec)}
    for name in sorted(dropped & hashed):
        yield Problem(("privacy", "hash"), f'has "{name}", which privacy.drop has too; name it in one of them')
    for number, report in enumerate(reports):
        keys = _key_columns(report)
        if keys and dropped.issuperset(keys):
            yield Problem(("privacy", "drop"), f"leaves reports[{number}] no key column; keep {choice(keys)}")
    if privacy.hash_key:
        yield from _reference(("privacy", "hash_key"), privacy.hash_key)
    elif privacy.hash:
        yield Problem(("privacy", "hash_key"), f"is missing, but privacy.hash needs a key; write {FORMS}")


def _private_name(path: Path, name: str, specs: Sequence[ReportSpec]) -> Iterator[Problem]:
    if name in _OWN_COLUMNS:
        yield Problem(path, f"is {shown(name)}, which every dataset needs; name a column of a report")
    elif not any(private_columns([name], spec) for spec in specs):
        yield Problem(path, f"is {_not_a_column(name, specs)}")
    elif any(private_columns([name], spec) & set(spec.measures) for spec in specs):
        yield Problem(path, f"is {shown(name)}, which is counted and says nothing of a person; leave it out")


def private_columns(names: Sequence[str], spec: ReportSpec) -> frozenset[str]:
    """The columns of *spec* that *names* stand for, asked for or not: the API may send some that were not."""
    forms = spec.column_forms()
    return frozenset(column.name for name in names for column in forms.get(name, ()))


def _key_columns(report: Report) -> tuple[str, ...]:
    """Names of the columns that identify a row; none where the report or a column is wrong."""
    try:
        spec = REPORTS[report.name]
        columns = spec.resolve(report.columns)
    except (KeyError, ValueError):
        return ()
    dataset = Dataset(name=DatasetName(report.dataset), spec=spec, columns=columns, every=Every.MONTH)
    return tuple(column.name for column in dataset.key_columns)


def _reference(path: Path, text: str) -> Iterator[Problem]:
    if not text:
        yield Problem(path, f"is empty; write {FORMS}")
    elif not is_reference(text):
        yield Problem(path, f"is written out instead of a reference; write {FORMS}")
    elif not is_valid_reference(text):
        yield instead(path, text, FORMS)


def _studios(studios: Sequence[StudioSection]) -> Iterator[Problem]:
    ids: dict[str, int] = {}
    businesses: dict[tuple[str, int | None], int] = {}
    for number, studio in enumerate(studios):
        path: Path = ("studios", number)
        yield from _reference((*path, "token"), studio.token)
        yield from _timezone((*path, "timezone"), studio.timezone)
        first = ids.setdefault(studio.id, number)
        if first != number:
            yield instead((*path, "id"), studio.id, f"an id of its own; studios[{first}] has it")
        first = businesses.setdefault((studio.token, studio.provider_id), number)
        if first != number:
            yield Problem(
                path,
                f"has the token and provider_id of studios[{first}], so one business would be exported twice; "
                "remove it or give it its own provider_id",
            )


def _timezone(path: Path, name: str) -> Iterator[Problem]:
    if not is_timezone(name):
        alike = difflib.get_close_matches(name, zoneinfo.available_timezones(), cutoff=0.8)
        near = next(filter(is_timezone, alike), None)
        way_out = f"; did you mean {near}?" if near else " such as Europe/London"
        yield instead(path, name, f"an IANA time zone{way_out}")


def is_timezone(name: str) -> bool:
    """Whether *name* is an IANA time zone that this machine knows."""
    # The folders hold copies, of which "right" counts leap seconds; "localtime" is whatever this machine is set to.
    if name.startswith(("posix/", "right/")) or name in {"localtime", "posixrules", "Factory"}:
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def _sink(sink: Sink) -> Iterator[Problem]:
    if fault := urls.sink_fault(sink.url):
        yield instead(("sink", "url"), sink.url, fault)
    elif not urls.is_s3(sink.url):
        for key in ("endpoint_url", "kms_key_id", "expected_bucket_owner"):
            if value := getattr(sink, key):
                yield instead(("sink", key), value, "nothing, since sink.url is not on S3")
        return
    elif sink.readable_by != "owner":
        yield instead(("sink", "readable_by"), sink.readable_by, "owner, since the bucket's policy says who may read")
    if not sink.endpoint_url:
        return
    if fault := urls.http_fault(sink.endpoint_url):
        yield instead(("sink", "endpoint_url"), sink.endpoint_url, fault)
    elif urls.is_plain_http_elsewhere(sink.endpoint_url) and not sink.allow_http:
        yield instead(
            ("sink", "endpoint_url"), sink.endpoint_url, "https; to send rows in plain text, set sink.allow_http = true"
        )


def _notify(notify: Notify) -> Iterator[Problem]:
    if notify.target and parse_target(notify.target) is None:
        yield instead(
            ("notify", "target"),
            notify.target,
            "the ARN of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME, not .fifo) or of an EventBridge bus"
            " (arn:aws:events:REGION:ACCOUNT:event-bus/NAME), or nothing",
        )


#: Each rule, and the sections it is about.
_RULES: Final[tuple[tuple[Callable[..., Iterator[Problem]], tuple[str, ...]], ...]] = (
    (_api, ("api",)),
    (_reports, ("reports",)),
    (_windows, ("windows",)),
    (_pivots, ("reports", "windows")),
    (_privacy, ("reports", "privacy")),
    (_studios, ("studios",)),
    (_sink, ("sink",)),
    (_notify, ("notify",)),
)

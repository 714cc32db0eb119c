"""The simulated API itself: a request in, an answer out. Never sees a socket and never waits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from math import ceil
from random import Random
from typing import assert_never

from exporter.sandbox.catalogue import REPORTS
from exporter.sandbox.encode import to_csv, to_json
from exporter.sandbox.faults import Fault, spoil
from exporter.sandbox.messages import (
    CSV_TYPE,
    HTML_TYPE,
    JSON_TYPE,
    Answer,
    Asked,
    Delivery,
    RefusalError,
    invalid_parameters,
)
from exporter.sandbox.options import RetryAfter, SandboxOptions
from exporter.sandbox.query import Query, Selection, parse_query
from exporter.sandbox.rate import SlidingMinute
from exporter.sandbox.studios import Customer, MadeUpStudio, World
from exporter.sandbox.tabulate import Table, tabulate

#: What every path begins with.
BASE_PATH = "/api/v2"

_CACHED_REPORTS = 128
_PAST_S = 3600.0
_SERVER_ERRORS = {
    Fault.ERROR_500: 500,
    Fault.ERROR_502: 502,
    Fault.ERROR_503: 503,
    Fault.ERROR_503_WAIT: 503,
    Fault.ERROR_504: 504,
}
_HTML_ERRORS = frozenset({502, 504})
_DELIVERIES = {Fault.SLOW: Delivery.LATE, Fault.TRUNCATE: Delivery.CUT, Fault.RESET: Delivery.RESET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The record of one request.

    Attributes:
        number: from 1, in the order of arrival.
        at: when it arrived, by the sandbox's clock.
        token: the place of its token in `World.tokens`; None for a token nobody knows.
        provider_id: the studio it was served for, or None.
        path: as asked.
        params: decoded pairs, in order.
        headers: all but Authorization, by their names in small letters.
        status: None where nothing was answered.
        rows: how many rows the answer holds; None where it is no report.
        fault: what was made to go wrong.
    """

    number: int
    at: float
    token: int | None
    provider_id: int | None
    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    status: int | None
    rows: int | None
    fault: str | None


class Simulation:
    """One simulated API over one world.

    Attributes:
        world: what it knows; may be changed at any time.
        requests: what was asked so far, in order of arrival.
    """

    def __init__(self, world: World, options: SandboxOptions) -> None:
        self.world = world
        self.requests: list[Served] = []
        self._options = options
        self._rng = Random(options.seed)  # noqa: S311 - repeatable
        self._revoked: set[str] = set()
        self._minutes: dict[str | None, SlidingMinute] = {}
        self._newcomers: set[int] = set()
        self._tabulate = lru_cache(maxsize=_CACHED_REPORTS)(_tabulate_version)

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self._revoked.add(token)

    def answer(self, asked: Asked) -> Answer:
        """Answer one request, and remember it."""
        number, at = len(self.requests) + 1, self._options.clock()
        token = self._token(asked)
        fault = self._options.faults(number, asked)
        try:
            answer = self._serve(asked, token, fault, at)
        except RefusalError as refusal:
            answer = refusal.answer()
        self.requests.append(
            Served(
                number=number,
                at=at,
                token=None if token is None else self.world.tokens.index(token),
                provider_id=answer.provider_id,
                path=asked.path,
                params=asked.params,
                headers={name.lower(): text for name, text in asked.headers.items() if name.lower() != "authorization"},
                status=None if answer.delivery is Delivery.RESET else answer.status,
                rows=answer.rows,
                fault=answer.fault,
            )
        )
        return answer

    def _serve(self, asked: Asked, token: str | None, fault: Fault | None, at: float) -> Answer:
        self._keep_pace(token, at)
        if fault is not None and (failure := _failure(fault)) is not None:
            return failure
        studio = self._studio(asked, token)
        report = REPORTS.get(asked.path.removeprefix(BASE_PATH)) if asked.path.startswith(BASE_PATH) else None
        if report is None:
            raise RefusalError("Not found.", status=404, code="not_found")
        if asked.method != "GET":
            raise RefusalError(f"{asked.method} is not allowed here.", status=405, code="method_not_allowed")
        options = self._options
        query = parse_query(report, asked.params, list_style=options.list_style, required=options.required_columns)
        if fault is Fault.DRIFT:
            self._drift(studio, query.selection)
        return self._report(studio, query, fault)

    def _report(self, studio: MadeUpStudio, query: Query, fault: Fault | None) -> Answer:
        table = self._tabulate(studio, studio.version, query.selection)
        page = spoil(table.page(query.offset, query.limit, self._rng), fault, table, query.offset)
        as_json = query.format == "json"
        answer = Answer(
            status=200,
            content_type=JSON_TYPE if as_json else CSV_TYPE,
            body=to_json(page) if as_json else to_csv(page, self._options.csv_headers),
            provider_id=studio.provider_id,
            rows=len(page.rows),
            fault=fault,
            delivery=Delivery.WHOLE if fault is None else _DELIVERIES.get(fault, Delivery.WHOLE),
        )
        if fault is Fault.HTML_200:
            return replace(answer, content_type=HTML_TYPE, body=_html("Please come back soon"), rows=None)
        if fault is Fault.BAD_JSON:
            whole = to_json(page)
            return replace(answer, content_type=JSON_TYPE, body=whole[: len(whole) // 2], rows=None)
        return answer

    def _token(self, asked: Asked) -> str | None:
        """The token that a request carries, where it is known, in force, and stands behind an accepted scheme."""
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        good = scheme.lower() in self._options.schemes and token in self.world.tokens and token not in self._revoked
        return token if good else None

    def _keep_pace(self, token: str | None, at: float) -> None:
        options = self._options
        if options.rate is None:
            return
        if token not in self._minutes:
            self._minutes[token] = SlidingMinute(options.rate, count_rejected=options.count_rejected)
        wait_s = self._minutes[token].ask(at)
        if wait_s is not None:
            raise _throttled(_retry_after(options.retry_after, wait_s, options.wall_clock()))

    def _studio(self, asked: Asked, token: str | None) -> MadeUpStudio:
        """The studio that a request is for."""
        if token is None:
            raise _unauthorized()
        mode = asked.headers.get("TeamUp-Request-Mode", "provider")
        if mode != "provider":
            raise RefusalError("This report needs the provider mode.", status=403, code="mode_not_allowed")
        reached = self.world.reached_by(token)
        wanted = asked.headers.get("TeamUp-Provider-ID")
        if self._options.ignore_provider_header or (wanted is None and len(reached) == 1):
            return reached[0]
        if wanted is None:
            raise invalid_parameters({"TeamUp-Provider-ID": ["This credential reaches several providers; name one."]})
        for studio in reached:
            if str(studio.provider_id) == wanted:
                return studio
        raise RefusalError("This credential does not reach that provider.", status=403, code="provider_invalid")

    def _drift(self, studio: MadeUpStudio, selection: Selection) -> None:
        """Let one more customer miss an event among those selected, or take it back if that has happened already.

        The customer is new, so that a group comes or goes wherever the rows name customers. Nothing changes where
        nothing is selected.
        """
        there = studio.between(selection.since, selection.until)
        for infraction in there:
            if infraction.id in self._newcomers:
                studio.remove(infraction.id)
                return
        if there:
            model = self._rng.choice(there)
            infraction_id = max(infraction.id for infraction in studio.infractions) + 1
            customer = Customer(
                id=model.customer.id * 1_000 + 999, name="Newcomer Example", email="newcomer@example.test"
            )
            studio.add(replace(model, id=infraction_id, customer=customer))
            self._newcomers.add(infraction_id)


def _tabulate_version(studio: MadeUpStudio, _version: int, selection: Selection) -> Table:
    """`tabulate`, with what a cache must tell apart among its arguments."""
    return tabulate(studio, selection)


def _failure(fault: Fault) -> Answer | None:
    """The answer to a request that *fault* keeps from being looked at."""
    if fault is Fault.THROTTLED:
        return _throttled({}).answer(fault=fault)
    if fault is Fault.UNAUTHORIZED:
        return _unauthorized().answer(fault=fault)
    status = _SERVER_ERRORS.get(fault)
    if status is None:
        return None
    if status in _HTML_ERRORS:
        return Answer(status=status, content_type=HTML_TYPE, body=_html(f"{status} Bad gateway"), fault=fault)
    headers = {"Retry-After": "1"} if fault is Fault.ERROR_503_WAIT else {}
    refusal = RefusalError("The server made a mistake.", status=status, code="server_error", headers=headers)
    return refusal.answer(fault=fault)


def _unauthorized() -> RefusalError:
    return RefusalError("The credential is missing or wrong.", status=401, code="authentication_failed")


def _throttled(headers: Mapping[str, str]) -> RefusalError:
    return RefusalError("Too many requests; slow down.", status=429, code="throttled", headers=headers)


def _retry_after(kind: RetryAfter, wait_s: float, now: float) -> dict[str, str]:
    match kind:
        case RetryAfter.NONE:
            return {}
        case RetryAfter.SECONDS:
            value = str(ceil(wait_s))
        case RetryAfter.DATE:
            value = formatdate(ceil(now + wait_s), usegmt=True)
        case RetryAfter.ZERO:
            value = "0"
        case RetryAfter.PAST:
            value = formatdate(now - _PAST_S, usegmt=True)
        case _:
            assert_never(kind)
    return {"Retry-After": value}


def _html(title: str) -> bytes:
    return f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()

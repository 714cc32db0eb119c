import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from exporter.sandbox.encode import CsvHeaders
from exporter.sandbox.faults import Fault
from exporter.sandbox.messages import Answer
from exporter.sandbox.options import RetryAfter, SandboxOptions
from exporter.sandbox.simulation import Simulation
from exporter.sandbox.studios import World
from tests.support.made_up import (
    GROUPED,
    UNGROUPED,
    make_infraction,
    make_request,
    make_studio,
    make_tiny_world,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def simulate(world: World | None = None, **options) -> Simulation:
    return Simulation(world or make_tiny_world(), SandboxOptions(**options))


def two_studios() -> World:
    """Two studios behind one token, with one and two infractions."""
    return World(
        (
            make_studio([make_infraction(1)], provider_id=11, token="shared"),
            make_studio([make_infraction(2), make_infraction(3)], provider_id=22, token="shared"),
        )
    )


def document(answer: Answer) -> dict:
    return json.loads(answer.body)


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, document(answer)["code"]


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "JWT", "bearer"])
def test_every_documented_scheme_is_accepted(scheme):
    assert simulate().answer(make_request(scheme=scheme)).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        make_request(token=None),
        make_request(token="token-2"),
        make_request(token="Token-1"),
        make_request(scheme="Basic"),
        make_request(scheme=""),
    ],
)
def test_a_missing_or_wrong_credential_is_401(request_):
    answer = simulate().answer(request_)
    assert outcome(answer) == (401, "authentication_failed")
    assert document(answer)["type"] == "invalid_request_error"


def test_a_scheme_that_is_not_accepted_is_401():
    assert simulate(schemes=frozenset({"token"})).answer(make_request()).status == 401


def test_a_revoked_token_is_401_from_then_on():
    simulation = simulate()
    assert simulation.answer(make_request()).status == 200
    simulation.revoke("token-1")
    assert simulation.answer(make_request()).status == 401


@pytest.mark.parametrize(("provider_id", "rows"), [("11", 1), ("22", 2)])
def test_studios_behind_one_token_are_told_apart_by_the_header(provider_id, rows):
    answer = simulate(two_studios()).answer(make_request(token="shared", headers={"TeamUp-Provider-ID": provider_id}))
    assert document(answer)["total"] == rows


def test_the_header_may_be_left_out_where_the_token_reaches_one_studio():
    assert simulate().answer(make_request()).status == 200


def test_the_header_must_be_there_where_the_token_reaches_several():
    assert outcome(simulate(two_studios()).answer(make_request(token="shared"))) == (400, "parameter_invalid")


@pytest.mark.parametrize("provider_id", ["33", "", "x"])
def test_a_provider_out_of_reach_is_403(provider_id):
    request = make_request(headers={"TeamUp-Provider-ID": provider_id})
    assert outcome(simulate().answer(request)) == (403, "provider_invalid")


def test_a_server_that_ignores_the_header_serves_the_first_studio_to_all():
    simulation = simulate(two_studios(), ignore_provider_header=True)
    for provider_id in ("11", "22"):
        request = make_request(token="shared", headers={"TeamUp-Provider-ID": provider_id})
        assert document(simulation.answer(request))["rows"] == [{"customer": {"id": 1}, "count": 1}]


def test_the_report_needs_the_provider_mode():
    simulation = simulate()
    assert simulation.answer(make_request(headers={"TeamUp-Request-Mode": "provider"})).status == 200
    assert outcome(simulation.answer(make_request(headers={"TeamUp-Request-Mode": "customer"}))) == (
        403,
        "mode_not_allowed",
    )


@pytest.mark.parametrize("path", ["/", GROUPED + "/", GROUPED.replace("/reports", "//reports"), GROUPED[7:]])
def test_an_unknown_path_is_404(path):
    assert simulate().answer(make_request(path)).status == 404


def test_another_method_is_405():
    assert simulate().answer(make_request(method="POST")).status == 405


def test_a_wrong_parameter_is_400_with_its_name():
    answer = simulate().answer(make_request(shoe="43"))
    assert outcome(answer) == (400, "parameter_invalid")
    assert document(answer)["field_errors"] == {"shoe": ["Unknown parameter."]}


def test_csv_comes_unless_json_is_asked_for():
    request = make_request(UNGROUPED, columns="id", sort="id", limit="2")
    plain = replace(request, params=tuple(pair for pair in request.params if pair[0] != "format"))
    answer = simulate().answer(plain)
    assert (answer.content_type, answer.body) == ("text/csv; charset=utf-8", b"id\r\n1\r\n2\r\n")
    labelled = simulate(csv_headers=CsvHeaders.LABEL).answer(plain)
    assert labelled.body.startswith(b"ID\r\n")


def test_required_columns_come_with_their_mark():
    answer = document(simulate(required_columns=("status",)).answer(make_request(columns="count")))
    assert [(header["key"], header["required"]) for header in answer["column_headers"]] == [
        ("status", True),
        ("count", False),
    ]


def test_a_change_of_the_world_shows_in_the_next_answer():
    simulation = simulate()
    studio = simulation.world.studio(1)
    assert document(simulation.answer(make_request()))["total"] == 3
    studio.add(make_infraction(9))
    assert document(simulation.answer(make_request()))["total"] == 4
    studio.remove(9)
    studio.replace(make_infraction(1, status="voided"))
    assert document(simulation.answer(make_request(status="voided")))["total"] == 1


def test_each_token_has_its_own_rate():
    world = World((make_studio([], provider_id=1, token="one"), make_studio([], provider_id=2, token="two")))
    clock = Clock()
    simulation = simulate(world, rate=2, clock=clock)
    asked = [simulation.answer(make_request(token=token)).status for token in ("one", "one", "one", "two")]
    assert asked == [200, 200, 429, 200]
    clock.now = 60.0
    assert simulation.answer(make_request(token="one")).status == 200


def test_there_may_be_no_rate():
    simulation = simulate(rate=None, clock=Clock())
    assert {simulation.answer(make_request()).status for _ in range(300)} == {200}


def test_studios_behind_one_token_share_its_rate():
    simulation = simulate(two_studios(), rate=1, clock=Clock())
    statuses = [
        simulation.answer(make_request(token="shared", headers={"TeamUp-Provider-ID": provider_id})).status
        for provider_id in ("11", "22")
    ]
    assert statuses == [200, 429]


def test_requests_that_are_refused_otherwise_use_up_the_rate():
    simulation = simulate(rate=1, clock=Clock())
    assert [simulation.answer(make_request(limit="0")).status for _ in range(2)] == [400, 429]


def throttled(kind: RetryAfter) -> Answer:
    simulation = simulate(rate=1, retry_after=kind, clock=Clock(), wall_clock=lambda: 1e9)
    simulation.answer(make_request())
    answer = simulation.answer(make_request())
    assert answer.status == 429
    assert document(answer).keys() == {"code", "field_errors", "message", "type"}
    return answer


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (RetryAfter.NONE, {}),
        (RetryAfter.SECONDS, {"Retry-After": "60"}),
        (RetryAfter.ZERO, {"Retry-After": "0"}),
    ],
)
def test_a_429_says_when_to_come_back_as_it_was_told_to(kind, headers):
    assert throttled(kind).headers == headers


@pytest.mark.parametrize(("kind", "seconds"), [(RetryAfter.DATE, 60), (RetryAfter.PAST, -3600)])
def test_a_429_may_name_a_date(kind, seconds):
    named = parsedate_to_datetime(throttled(kind).headers["Retry-After"])
    assert named == datetime.fromtimestamp(1e9, UTC) + timedelta(seconds=seconds)


def test_drift_lets_a_group_come_and_then_go():
    simulation = simulate(faults=lambda _number, _asked: Fault.DRIFT)
    totals = [document(simulation.answer(make_request()))["total"] for _ in range(4)]
    assert totals == [4, 3, 4, 3]


def test_drift_stays_within_the_dates_that_are_asked_for():
    simulation = simulate(faults=lambda number, _asked: Fault.DRIFT if number == 1 else None)
    elsewhere = {"event_starts_at_gte": "2025-02-01T00:00:00Z"}
    assert document(simulation.answer(make_request(**elsewhere)))["total"] == 0
    assert document(simulation.answer(make_request()))["total"] == 3


def test_a_function_may_plan_faults_and_see_what_is_asked():
    simulation = simulate(faults=lambda _number, asked: Fault.ERROR_500 if ("offset", "2") in asked.params else None)
    assert [simulation.answer(make_request(offset=offset)).status for offset in ("0", "2", "4")] == [200, 500, 200]


def test_requests_are_remembered_without_their_credential():
    simulation = simulate(clock=Clock(), faults=lambda number, _asked: Fault.RESET if number == 2 else None)
    for _ in range(2):
        simulation.answer(make_request(headers={"User-Agent": "exporter"}))
    simulation.answer(make_request(token="unknown-token"))
    first, second, third = simulation.requests
    assert (first.number, first.token, first.provider_id, first.path, first.status) == (1, 0, 1, GROUPED, 200)
    assert first.params == (("format", "json"), ("columns", "customer_id,count"))
    assert (first.rows, first.fault, first.headers) == (3, None, {"user-agent": "exporter"})
    assert (second.status, second.fault) == (None, "reset")
    assert (third.token, third.provider_id, third.status) == (None, None, 401)
    assert "token-1" not in repr(simulation.requests)

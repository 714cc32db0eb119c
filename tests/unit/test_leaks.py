"""The net below the test run catches what it is there for."""

import pytest

from exporter.sandbox.invent import make_world
from tests.conftest import pytest_runtest_makereport
from tests.support.api_answers import TOKEN
from tests.support.exports import bench, tokens_of
from tests.support.leaks import leaked_bytes, leaked_words
from tests.support.s3_servers import S3Server


def test_every_secret_and_every_person_of_made_up_worlds_is_known():
    world = make_world(3, per_month=40)
    people = {infraction.customer.email for studio in world.studios for infraction in studio.infractions}
    server = S3Server(endpoint_url="", access_key="", secret_key="moto-secret")
    secrets = {*tokens_of(world).values(), TOKEN, server.secret_key}
    assert len(people) > 10
    for word in secrets | people:
        assert leaked_words(f"this {word}.") == {word}, word
    assert all(leaked_bytes(secret.encode()) for secret in secrets)


async def test_a_sink_that_holds_a_token_at_the_end_of_a_bench_is_a_failure():
    with pytest.raises(AssertionError, match="staged"):
        async with bench(make_world(1)) as running:
            await running.store.put("staged", running.world.tokens[0].encode())


@pytest.mark.parametrize(("printed", "outcome"), [("sandbox-token-1", "failed"), ("a sandbox", "passed")])
def test_a_passing_test_that_prints_a_token_fails(printed, outcome):
    report = pytest.TestReport("a test", ("", 0, ""), {}, "passed", None, "call", [("Captured stdout call", printed)])
    hook = pytest_runtest_makereport()
    next(hook)
    with pytest.raises(StopIteration) as stopped:
        hook.send(report)
    assert stopped.value.value.outcome == outcome

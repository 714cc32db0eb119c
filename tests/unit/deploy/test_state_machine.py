"""The state machine's definition: whole, within ASL, and asking the function for what it knows.

It is not executed here. What is shown: every state can be reached, every placeholder is filled by the template, and
every call of the function is repeated when Lambda itself fails.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.templates import DEPLOY, Template

TEXT = (DEPLOY / "state-machine.asl.json").read_text()
MACHINE = json.loads(TEXT)
SHARD = MACHINE["States"]["Shards"]["ItemProcessor"]


def levels() -> Iterator[dict[str, Any]]:
    yield MACHINE
    yield SHARD


def targets(state: dict[str, Any]) -> set[str]:
    """Where *state* may lead."""
    rules = [state, *state.get("Choices", ()), *state.get("Catch", ())]
    return {rule[key] for rule in rules for key in ("Next", "Default") if key in rule}


def test_every_state_is_reached_and_leads_to_one_that_is_there():
    for level in levels():
        states, reached, todo = level["States"], set(), {level["StartAt"]}
        while todo:
            name = todo.pop()
            reached.add(name)
            todo |= targets(states[name]) - reached
        assert reached == set(states)


def test_every_placeholder_is_filled_by_the_template_and_no_other_is_given():
    given = Template("template.yaml").body["Resources"]["StateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(given)


def test_every_call_of_the_function_is_repeated_when_lambda_itself_fails():
    tasks = [state for level in levels() for state in level["States"].values() if state["Type"] == "Task"]
    assert len(tasks) == 4
    for task in tasks:
        assert "Lambda.TooManyRequestsException" in task["Retry"][0]["ErrorEquals"]


def test_a_function_that_was_ended_is_called_again_only_when_its_lease_has_run_out():
    (_, ended) = SHARD["States"]["Export"]["Retry"]
    assert "Sandbox.Timedout" in ended["ErrorEquals"]
    assert ended["IntervalSeconds"] > 60


def test_shards_are_read_from_s3_and_a_failed_one_stops_no_other():
    shards = MACHINE["States"]["Shards"]
    assert shards["ItemReader"]["ReaderConfig"] == {"InputType": "JSON", "ItemsPointer": "/shards"}
    assert SHARD["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert shards["ToleratedFailurePercentage"] == 100.0
    assert SHARD["States"]["Export"]["Catch"][0]["ErrorEquals"] == ["States.ALL"]


def test_a_shard_goes_on_while_it_answers_more_and_not_for_ever():
    too_often, more = SHARD["States"]["MoreToDo"]["Choices"]
    assert more["StringEquals"] == "more"
    assert targets(SHARD["States"]["HandOver"]) == {"Export"}
    assert too_often["And"][1]["NumericGreaterThanEqualsPath"] == "$.hand_overs_at_most"
    assert SHARD["States"]["HandOver"]["Parameters"]["hand_overs.$"] == "States.MathAdd($.hand_overs, 1)"


def test_whatever_is_not_whole_fails_the_execution_by_a_name_that_the_guide_explains():
    ends = {state["Error"] for state in MACHINE["States"].values() if state["Type"] == "Fail"}
    guide = (DEPLOY.parent / "docs" / "operations.md").read_text()
    assert ends == {name for name in ends if f"`{name}`" in guide}
    assert len(ends) == 3

"""The state machine of deploy/ on ministack: a mock of AWS that interprets it and runs the function's Python for real.

It has an environment of its own, `.venv-fanout`, made by `make test-fanout`. The function's code comes from a zip of
this clone's package, and what it depends on from the environment of the tests, with the locked versions.
"""

import asyncio
import io
import json
import os
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.support.s3_servers import S3Server, free_port, running
from tests.support.templates import ACCOUNT, REGION, Template

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".venv-fanout" / "bin" / "ministack"

_STATES_AT_AN_END = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of the state machine that has ended.

    Attributes:
        status: SUCCEEDED or FAILED.
        output: what it told; empty where it failed.
        error, cause: why it failed.
        history: its events.
    """

    status: str
    output: Mapping[str, Any]
    error: str
    cause: str
    history: tuple[Mapping[str, Any], ...]

    def input_of(self, state: str) -> Any:
        """What *state* was entered with."""
        return json.loads(self._of("stateEnteredEventDetails", state)["input"])

    def answer_of(self, state: str) -> Any:
        """What *state* was left with."""
        return json.loads(self._of("stateExitedEventDetails", state)["output"])

    def _of(self, details: str, state: str) -> Mapping[str, Any]:
        (found,) = [event[details] for event in self.history if event.get(details, {}).get("name") == state]
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A deployed state machine, its function and its bucket.

    Attributes:
        server: where they are.
        functions, states: clients of Lambda and Step Functions.
        function: its name.
        arn: of the state machine.
    """

    server: S3Server
    functions: Any
    states: Any
    function: str
    arn: str

    def give(self, environ: Mapping[str, str]) -> None:
        """Have the function find these in its environment from now on."""
        known = self.functions.get_function_configuration(FunctionName=self.function)["Environment"]["Variables"]
        self.functions.update_function_configuration(
            FunctionName=self.function, Environment={"Variables": {**known, **environ}}
        )

    async def execute(self, name: str, event: Mapping[str, object], *, every_s: float = 0.2) -> Execution:
        """Start it and wait for its end."""
        started = await asyncio.to_thread(
            self.states.start_execution, stateMachineArn=self.arn, name=name, input=json.dumps(event)
        )
        arn = started["executionArn"]
        while True:  # Step Functions tells nobody of an end by itself
            found = await asyncio.to_thread(self.states.describe_execution, executionArn=arn)
            if found["status"] in _STATES_AT_AN_END:
                break
            await asyncio.sleep(every_s)
        history = await asyncio.to_thread(self.states.get_execution_history, executionArn=arn, maxResults=1000)
        return Execution(
            status=found["status"],
            output=json.loads(found.get("output") or "{}"),
            error=found.get("error", ""),
            cause=found.get("cause", ""),
            history=tuple(history["events"]),
        )


@contextmanager
def deployed(folder: Path, *, environ: Mapping[str, str], timeout_s: int, **parameters: object) -> Iterator[Machine]:
    """The function and the state machine as deploy/template.yaml has them, with these *parameters*.

    Args:
        folder: takes a log.
        environ: of the function, beside what the template gives it.
        timeout_s: of the function, in place of the template's fifteen minutes.
        parameters: of the template.
    """
    port = free_port()
    template = Template("template.yaml", **parameters)
    server = S3Server(
        endpoint_url=f"http://127.0.0.1:{port}",
        access_key=ACCOUNT,  # ministack takes a key of twelve digits for the account
        secret_key="made-up",
        bucket="lakebucket",  # what the template's bucket is called where its names are resolved
    )
    process_environ = {
        **os.environ,
        **server.environment,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LAMBDA_EXECUTOR": "local",
        "MINISTACK_REGION": REGION,
        "SFN_WAIT_SCALE": "0.01",
    }
    with ExitStack() as stack:
        stack.enter_context(running([str(PROGRAM)], server, folder, environ=process_environ))
        functions, states = (
            boto3.client(
                service,
                endpoint_url=server.endpoint_url,
                region_name=REGION,
                aws_access_key_id=server.access_key,
                aws_secret_access_key=server.secret_key,
            )
            for service in ("lambda", "stepfunctions")
        )
        stack.callback(functions.close)
        stack.callback(states.close)
        function = template.resource("ExporterFunction")
        variables = function["Environment"]["Variables"] | environ
        made = functions.create_function(
            FunctionName=function["FunctionName"],
            Runtime=function["Runtime"],
            Handler=function["Handler"],
            MemorySize=function["MemorySize"],
            Role=template.arn("ExporterRole"),
            Timeout=timeout_s,
            Code={"ZipFile": _package()},
            Environment={"Variables": {**variables, "PYTHONPATH": sysconfig.get_path("purelib")}},
        )
        machine = template.resource("StateMachine")
        text = (ROOT / "deploy" / machine["DefinitionUri"]).read_text()
        for name, value in (machine["DefinitionSubstitutions"] | {"FunctionArn": made["FunctionArn"]}).items():
            text = text.replace(f"${{{name}}}", str(value))
        arn = states.create_state_machine(
            name=machine["Name"], definition=text, roleArn=template.arn("StateMachineRole")
        )["stateMachineArn"]
        yield Machine(server=server, functions=functions, states=states, function=made["FunctionName"], arn=arn)


def _package() -> bytes:
    """The program, zipped."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in sorted((ROOT / "exporter").rglob("*.py")):
            archive.write(path, path.relative_to(ROOT))
    return data.getvalue()

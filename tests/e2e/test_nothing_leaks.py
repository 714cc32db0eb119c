"""Every command, in good order and in trouble: no token, key or person in what it says, no person where none may be."""

import asyncio
import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from exporter.cli.sandbox import config_text, tokens
from exporter.sandbox.faults import parse_faults
from exporter.sandbox.invent import make_world
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.api_answers import http, json_page, says, tiny_server
from tests.support.command import Ended, Exporter
from tests.support.watched import values_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("leaks")]

HASH_KEY = "made-up-hash-key-7Qf2"
PRIVATE = '\n[privacy]\nhash = ["customer_id"]\nhash_key = "env:HASH_KEY"\n'
NAMED = '\ncolumns = ["customer_id", "customer_name", "customer_email", "status", "count"]\n'
MARCH = ("--end", "2025-03-01")


@dataclass
class Said:
    """What was printed by each command, and what lies in the sinks."""

    secrets: list[str]
    people: set[str]
    ended: dict[str, Ended] = field(default_factory=dict)
    lakes: dict[str, Path] = field(default_factory=dict)
    forgotten: str = ""

    def texts(self):
        return {name: ended.stdout + ended.stderr for name, ended in self.ended.items()}


def people_of(world):
    customers = [i.customer for studio in world.studios for i in studio.infractions]
    # The word that JSON has for nothing tells of nobody.
    return {text for customer in customers for text in (customer.name, customer.email)} - {"null"}


async def run_everything(folder):
    world = make_world(2, start=date(2025, 1, 1), end=date(2025, 3, 1), per_month=40)
    environ = tokens(world) | {"HASH_KEY": HASH_KEY}
    said = Said([*tokens(world).values(), HASH_KEY], people_of(world))
    faults = parse_faults("500:0.1,html200:0.05,drift:0.05,reset:0.05", seed=3)
    async with serve(world, SandboxOptions(rate=None, faults=faults)) as sandbox:
        plain = config_text(world, sandbox.base_url, sink="./lake")
        named = plain.replace('"attendance_strikes.grouped"\n', f'"attendance_strikes.grouped"{NAMED}')
        configs = {
            "private": plain + PRIVATE,
            "named": named,
            "unreachable": plain.replace(sandbox.base_url, "http://127.0.0.1:9/api/v2") + "\n",
            "written out": plain.replace("env:SANDBOX_TOKEN_1", said.secrets[0]),
            "no variable": plain.replace("env:SANDBOX_TOKEN_1", "env:NOT_SET"),
            "sink in the way": plain.replace("./lake", "./exporter.toml/lake"),
        }
        programs = {}
        for name, text in configs.items():
            place = folder / name
            place.mkdir()
            (place / "exporter.toml").write_text(text.replace("[api]\n", "[api]\nmax_attempts = 2\n"))
            programs[name] = Exporter(place, environ)
            said.lakes[name] = place / "lake"

        async def call(name, *arguments):
            said.ended[" ".join((name, *arguments))] = await programs[name](*arguments)

        await asyncio.gather(
            *(call(name, "run", *MARCH, "--log-format", "text") for name in ("private", "named")),
            *(call(name, "run", *MARCH, "--json") for name in ("unreachable", "written out", "no variable")),
        )
        await asyncio.gather(
            *(
                call("named", *words)
                for words in (("doctor",), ("plan",), ("verify", "--source"), ("status", "--json"))
            ),
            *(call("private", *words) for words in (("run", "--full", *MARCH), ("ddl", "--dialect", "spark"))),
            *(call("sink in the way", *words) for words in (("run", *MARCH), ("doctor",))),
        )
        said.forgotten = str(world.studios[0].infractions[0].customer.id)
        await asyncio.gather(
            call("named", "forget", "--customer", said.forgotten, "--dry-run"),
            call("private", "forget", "--customer", said.forgotten, "--json"),
            call("sink in the way", "forget", "--customer", said.forgotten),
        )
        await call("named", "forget", "--customer", said.forgotten)
        for part in said.lakes["named"].rglob("month=2025-01/*.parquet"):
            shutil.copy(part, part.parent.parent / "month=2025-02" / part.name)
        await call("named", "verify")
        sandbox.revoke(said.secrets[0])
        await asyncio.gather(
            *(
                call("named", *words)
                for words in (("verify", "--source", "--json"), ("run", "--full", *MARCH, "--json"))
            ),
        )
    await call("named", "status")
    return said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def said(tmp_path_factory):
    return await run_everything(tmp_path_factory.mktemp("leaks"))


async def test_the_commands_met_the_trouble_they_were_sent_into(said):
    codes = {ended.code for ended in said.ended.values()}
    assert codes == {0, 1, 2, 3}


async def test_no_command_says_a_token_or_a_hash_key(said):
    for command, text in said.texts().items():
        assert not [secret for secret in said.secrets if secret in text], command


async def test_no_command_names_a_person(said):
    for command, text in said.texts().items():
        assert not [person for person in said.people if person in text], command


async def test_no_command_repeats_the_id_of_whoever_is_forgotten_and_no_object_holds_it(said):
    for command, text in said.texts().items():
        assert said.forgotten not in text, command
    for path in (path for lake in said.lakes.values() for path in lake.rglob("*") if path.is_file()):
        assert said.forgotten not in values_in(path.name, path.read_bytes()), path


async def test_no_object_holds_a_token_or_a_hash_key(said):
    for lake in said.lakes.values():
        for path in (path for path in lake.rglob("*") if path.is_file()):
            data = path.read_bytes()
            values = values_in(path.name, data)
            for secret in said.secrets:
                assert secret.encode() not in data
                assert not [value for value in values if secret in value], path


async def test_people_are_in_parts_where_they_were_asked_for_and_nowhere_else(said):
    def holding(name):
        paths = (path for path in said.lakes[name].rglob("*") if path.is_file())
        return {path.suffix for path in paths if values_in(path.name, path.read_bytes()) & said.people}

    assert holding("named") == {".parquet"}
    assert holding("private") == set()


async def test_an_api_that_repeats_the_credential_and_a_person_s_address_is_shown_without_either(tmp_path):
    world = make_world(1)
    (token,) = tokens(world).values()

    async def repeats(writer):
        sent = re.search(r"Authorization: (.*)\r", server.heads[-1])[1]
        message = f"\x1b[2Jno {sent}\nexporter: all is well\r../../etc for jane.sample@example.test \u202e <script>"
        writer.write(http(400, json.dumps({"message": message}).encode(), "Content-Type: application/json"))
        await writer.drain()

    async with tiny_server(repeats) as server:
        (tmp_path / "exporter.toml").write_text(config_text(world, server.url, sink="./lake"))
        program = Exporter(tmp_path, tokens(world))
        run, doctor = await asyncio.gather(program("run", *MARCH, "--log-format", "text"), program("doctor"))
        status = await program("status", "--json")
    stored = "".join(path.read_text() for path in (tmp_path / "lake").rglob("*.json"))
    assert "no Bearer ***" in run.stdout
    for text in (run.stdout, run.stderr, doctor.stdout, doctor.stderr, status.stdout, stored):
        assert token not in text
        assert "jane.sample" not in text
        assert all(line.isprintable() for line in text.splitlines())
        assert not [line for line in text.splitlines() if line.startswith("exporter: all is well")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exporter.toml", "lake"]


async def test_an_api_that_lies_about_the_total_is_asked_once_a_task(tmp_path):
    rows = [{"customer": {"id": n}, "status": "open", "count": 1} for n in range(100)]
    headers = [{"key": key, "label": key} for key in ("customer.id", "status", "count")]
    world = make_world(1)
    async with tiny_server(says(json_page(total=10**18, rows=rows, column_headers=headers))) as server:
        text = config_text(world, server.url, sink="./lake")
        columns = '"attendance_strikes.grouped"\ncolumns = ["customer_id", "status", "count"]\n'
        (tmp_path / "exporter.toml").write_text(text.replace('"attendance_strikes.grouped"\n', columns))
        ended = await Exporter(tmp_path, tokens(world))("run", *MARCH, "--json")
    assert (ended.code, ended.document["totals"]["failed"], len(server.heads)) == (1, 2, 2)
    assert "smaller windows.every" in ended.document["datasets"][0]["failures"][0]["error"]


async def test_what_an_export_makes_can_be_read_by_its_user_alone(said):
    made = list(said.lakes["named"].rglob("*"))
    assert made
    assert not [path for path in (said.lakes["named"], *made) if path.stat().st_mode & 0o077]


def listening():
    """Local addresses and ports that somebody listens on, in hex. Source: proc(5), /proc/net/tcp; state 0A listens."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [fields[1] for fields in lines if fields[3] == "0A"]


async def test_the_sandbox_listens_on_loopback_alone():
    async with serve(make_world(1)) as sandbox:
        port = int(sandbox.base_url.split(":")[2].split("/")[0])
        addresses = listening()
    assert [address for address in addresses if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]

"""`exporter report`, as a person calls it."""

import re

from exporter.cli.sandbox import config_text, tokens
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.command import Exporter
from tests.support.exports import small_world


async def test_the_page_tells_of_the_last_run_and_of_every_month(tmp_path):
    world = small_world()
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        (tmp_path / "exporter.toml").write_text(config_text(world, sandbox.base_url, sink="./lake"))
        program = Exporter(tmp_path, tokens(world))
        early = await program("report")
        ran = await program("run", "--json")
        written = await program("report", "--out", "report.html")
        printed = await program("report")
    assert "there is no run yet" in early.stdout
    assert "<h2>Runs</h2>" not in early.stdout
    assert "<h2>Runs</h2>" in printed.stdout
    assert (ran.code, written.code, written.stdout, printed.code) == (0, 0, "", 0)
    text = (tmp_path / "report.html").read_text()
    without_time = re.compile(r"written at [^<]*")
    assert without_time.sub("", text) == without_time.sub("", printed.stdout)
    months = re.findall(r"<tr><td>(\d{4}-\d\d)</td><td class=\"number\">(\d+)</td>", text)
    assert [month for month, _ in months] == sorted(path.name[6:] for path in (tmp_path / "lake").glob("*/month=*"))
    assert {studios for _, studios in months} == {"2"}
    assert '<span class="ok">ok</span>' in text


async def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path):
    world = small_world(1)
    (tmp_path / "exporter.toml").write_text(config_text(world, "http://127.0.0.1:9/api/v2", sink="./lake"))
    told = await Exporter(tmp_path, tokens(world))("report", "--out", "no/such/folder.html")
    assert (told.code, told.stdout) == (2, "")
    assert (
        told.stderr
        == "exporter: --out: no/such/folder.html cannot be written (No such file or directory); choose another file\n"
    )

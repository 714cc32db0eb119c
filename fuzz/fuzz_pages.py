"""Feeds made-up bytes to all that reads a page, from the answer to staged rows: `make fuzz SECONDS=60`.

An end other than rows or one of our errors is a crash; the input is then left in `crash-...` beside the corpus, and
`python fuzz/fuzz_pages.py FILE` replays it. Flags are libFuzzer's.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["exporter", "tests.support.hostile"]):
    from exporter.core.answer import Format
    from exporter.errors import ExporterError
    from tests.support.hostile import DATASETS, read_answer

_CONTENT_TYPES = ("application/json", "text/csv", "", "text/csv; charset=utf-16", "text/html")
_STATUSES = (200, 200, 200, 200, 400, 401, 429, 503)


def read_once(data: bytes) -> None:
    """Read one answer; the first byte says how it is asked for and served."""
    if not data:
        return
    how, body = data[0], data[1:]
    end = read_answer(
        body,
        content_type=_CONTENT_TYPES[how % len(_CONTENT_TYPES)],
        kind=(Format.JSON, Format.CSV)[how // 5 % 2],
        dataset=how // 10 % len(DATASETS),
        status=_STATUSES[how // 30 % len(_STATUSES)],
    )
    if isinstance(end, ExporterError):
        assert str(end).isprintable()


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_once)
    atheris.Fuzz()

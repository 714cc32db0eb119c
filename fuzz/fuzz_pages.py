"""Feeds made-up bytes to all that reads a page, from the answer to staged rows: `make fuzz SECONDS=60`.

An end other than rows or one of our errors is a crash; the input is then left in `crash-...` beside the corpus, and
`python fuzz/fuzz_pages.py FILE` replays it. Flags are libFuzzer's.
"""

import sys
from pathlib import Path

import atheris
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["exporter", "tests.support.hostile"]):
    from exporter.api.envelope import EnvelopeReader
    from exporter.core.answer import Format
    from exporter.errors import ExporterError
    from tests.support.hostile import DATASETS, read_answer

_CONTENT_TYPES = ("application/json", "text/csv", "", "text/csv; charset=utf-16", "text/html")
_STATUSES = (200, 200, 200, 200, 400, 401, 429, 503)

#: How the answers of one window begin, and from which first byte on the rest is a later page of it.
_BEGINNING = b'{"total":500,"column_headers":[{"key":"count"}],"rows":'
_LATER = 240
_LIMIT = 100


def read_once(data: bytes) -> None:
    """Read one answer; the first byte says how it is asked for and served."""
    if not data:
        return
    how, body = data[0], data[1:]
    if how >= _LATER:
        read_later(_BEGINNING + body)
    end = read_answer(
        body,
        content_type=_CONTENT_TYPES[how % len(_CONTENT_TYPES)],
        kind=(Format.JSON, Format.CSV)[how // 5 % 2],
        dataset=how // 10 % len(DATASETS),
        status=_STATUSES[how // 30 % len(_STATUSES)],
    )
    if isinstance(end, ExporterError):
        assert str(end).isprintable()


def read_later(body: bytes) -> None:
    """Read a later page of a window; where rows are cut out of it that are JSON, they are those that parsing finds."""
    reader = EnvelopeReader()
    reader.read(_BEGINNING + b'[{"count":1}]}', _LIMIT)
    try:
        found = reader.read(body, _LIMIT)
        msgspec.json.decode(found.rows)
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        return
    assert found == EnvelopeReader().read(body, _LIMIT)


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_once)
    atheris.Fuzz()

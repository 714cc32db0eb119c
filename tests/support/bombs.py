"""Answers of a few megabytes that would cost gigabytes or hours; each is read in a process that may spend neither.

`python -m tests.support.bombs` reads them all and prints how each ended, a JSON object a line.
"""

import json
import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from exporter.core.answer import Format
from exporter.errors import ExporterError
from tests.support.hostile import DATASETS, read_answer
from tests.support.pages import headers_of

_MEGA = 1_000_000
_HEADERS = [{"key": h.key, "label": h.label} for h in headers_of(DATASETS[0])]
_PAGE = [{"customer": {"id": n}, "status": "", "event": {"venue": {"name": ""}}, "count": 1} for n in range(100)]


def _json(rows: str, *, headers: object = _HEADERS, total: str = "100") -> bytes:
    return f'{{"total":{total},"column_headers":{json.dumps(headers)},"rows":{rows}}}'.encode()


def _row(more: str) -> str:
    return f'[{{"customer":{{"id":1}},"status":"","event":{{"venue":{{"name":""}}}},"count":1,{more}}}]'


def _nested(inner: str, depth: int, name: str) -> str:
    return f'{{"{name}":' * depth + inner + "}" * depth


def _csv(first_line: str, rows: str) -> bytes:
    return f"{first_line}\n{rows}".encode()


_FIRST_LINE = "customer.id,status,event.venue.name,count"
_WIDE = ",".join(f'"k{n}":1' for n in range(90_000))

BOMBS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "a total of 10**18": lambda: {"body": _json(json.dumps(_PAGE), total=str(10**18))},
    "a total of 400 digits": lambda: {"body": _json(json.dumps(_PAGE), total="9" * 400)},
    "a plausible total that is huge": lambda: {"body": _json(json.dumps(_PAGE), total=str(2**40))},
    "millions of rows of nothing": lambda: {"body": _json(f"[{'{},' * 5 * _MEGA}{{}}]")},
    "millions of empty lists": lambda: {"body": _json(f"[{'[],' * 5 * _MEGA}[]]")},
    "a million headers": lambda: {"body": _json("[]", headers=[{"key": f"k{n}"} for n in range(_MEGA // 2)])},
    "a thousand headers of deep keys": lambda: {
        "body": _json("[]", headers=[*_HEADERS, *({"key": f"k{n}" + ".a" * 240} for n in range(990))])
    },
    "a thousand headers of one name": lambda: {
        "body": _json("[]", headers=[*_HEADERS, *({"key": "!" * (n % 400 + 1)} for n in range(990))])
    },
    "a header of megabytes": lambda: {"body": _json("[]", headers=[*_HEADERS, {"key": "k" * 12 * _MEGA}])},
    "a row of very many columns": lambda: {"body": _json(_row(_WIDE))},
    "many columns at the end of a long path": lambda: {
        "body": _json(_row(f'"deep":{_nested(f"{{{_WIDE}}}", 200, "d" * 40_000)}'))
    },
    "a number of megabytes": lambda: {"body": _json(_row(f'"count":{"9" * 10 * _MEGA}'))},
    "a fraction of megabytes": lambda: {"body": _json(_row(f'"count":1.{"9" * 10 * _MEGA}'))},
    "a text of megabytes": lambda: {"body": _json(_row(f'"more":"{"x" * 10 * _MEGA}"'))},
    "brackets without end": lambda: {"body": _json("[" * 10 * _MEGA)},
    "a charset that takes hours": lambda: {
        "body": b"a" * 2 * _MEGA + b"-" + b"b" * 2 * _MEGA,
        "content_type": "application/json; charset=punycode",
    },
    "an error of megabytes": lambda: {"body": b"[" + b"[]," * 5 * _MEGA + b"[]]", "status": 500},
    "a million columns of CSV": lambda: {
        "body": _csv(f"{_FIRST_LINE},{','.join(f'k{n}' for n in range(_MEGA))}", ""),
        "content_type": "text/csv",
        "kind": Format.CSV,
    },
    "a thousand long names of CSV": lambda: {
        "body": _csv(f"{_FIRST_LINE},{','.join('n' * 10_000 for n in range(1_500))}", ""),
        "content_type": "text/csv",
        "kind": Format.CSV,
    },
    "a million fields in a line of CSV": lambda: {
        "body": _csv(_FIRST_LINE, "," * 10 * _MEGA),
        "content_type": "text/csv",
        "kind": Format.CSV,
    },
    "millions of lines of CSV": lambda: {
        "body": _csv(_FIRST_LINE, "1,,,1\n" * 2 * _MEGA),
        "content_type": "text/csv",
        "kind": Format.CSV,
    },
    "a field of CSV of megabytes": lambda: {
        "body": _csv(_FIRST_LINE, f'1,"{"x" * 10 * _MEGA}\0",,1\n'),
        "content_type": "text/csv",
        "kind": Format.CSV,
    },
}

#: What reading one may cost. The bodies are up to 15 MB, and stand in memory in three forms while they are read.
MOST_BYTES = 200 * _MEGA
MOST_CPU_S = 10


def main() -> None:
    """Read each in a process of its own, forked after the imports; the system ends one that takes far too much."""
    for name, make in BOMBS.items():
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if status:
                print(json.dumps({"name": name, "end": f"ended with status {status}"}), flush=True)  # noqa: T201
        else:
            _read(name, make())
            os._exit(0)


def _read(name: str, answer: Mapping[str, Any]) -> None:
    spent = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + MOST_CPU_S, spent + MOST_CPU_S))
    mapped = _memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 5 * MOST_BYTES, mapped + 5 * MOST_BYTES))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted anew. Source: proc(5)
    before = _memory("VmRSS")
    try:
        end: object = read_answer(**answer)
    except MemoryError as error:
        end = error
    found = {
        "name": name,
        "end": type(end).__name__,
        "ours": isinstance(end, ExporterError | pa.Table),
        "message": str(end) if isinstance(end, ExporterError) else "",
        "grown": _memory("VmHWM") - before,
    }
    print(json.dumps(found), flush=True)  # noqa: T201 - read by the test


def _memory(kind: str) -> int:
    """What the system counts for this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


if __name__ == "__main__":
    main()

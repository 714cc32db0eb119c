"""The report page: one file that needs nothing else, safe to open whatever the sink holds. Pure.

Rules kept here: every text is escaped on its way in, and the page may neither run nor load anything; a table is the
same `Grid` that the terminal shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from exporter.cli.grid import Grid
from exporter.core.text import printable

#: Nothing is fetched and nothing runs, even if something slipped through the escaping.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

#: The longest bar, in widths of a letter.
_LONGEST_REM = 20

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; } .wide { overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #d9dee4; white-space: nowrap; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: block; height: .7rem; background: #3b7dd8; min-width: 1px; }
.failed, .interrupted { color: #b3261e; } .ok { color: #1a7f37; }
@media (prefers-color-scheme: dark) {
  body { background: #16191d; color: #e6e9ec; } th, td { border-color: #3a4149; }
  .ok { color: #5fc77f; } .failed, .interrupted { color: #ff8a80; }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        lines: said above the table.
        grid: the table; None where there is none.
        bars: for each row of the table how long its bar is, from 0 to 1; empty where there are none.
    """

    title: str
    lines: Sequence[str] = ()
    grid: Grid | None = None
    bars: Sequence[float] = ()


def page(title: str, state: str, sections: Iterable[Section]) -> str:
    """A whole HTML document.

    Args:
        title: heading of the page.
        state: of the last run, one of `RunState`; empty where there was none.
        sections: one under the other.
    """
    heading = _text(title)
    shown = f' <span class="{_text(state)}">{_text(state)}</span>' if state else ""
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{heading}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{heading}{shown}</h1>\n",
            *map(_section, sections),
            "</body>\n</html>\n",
        ]
    )


def _section(section: Section) -> str:
    lines = "".join(f"<p>{_text(line)}</p>\n" for line in section.lines)
    table = _table(section.grid, section.bars) if section.grid else ""
    return f"<h2>{_text(section.title)}</h2>\n{lines}{table}"


def _table(grid: Grid, bars: Sequence[float]) -> str:
    kinds = [' class="number"' if right else "" for right in grid.numeric()]
    head = "".join(f"<th{kind}>{_text(name)}</th>" for name, kind in zip(grid.columns, kinds, strict=True))
    ends = [_bar(length) for length in bars] or [""] * len(grid.rows)
    rows = "".join(f"<tr>{_cells(row, kinds)}{end}</tr>\n" for row, end in zip(grid.cells(), ends, strict=True))
    return f'<div class="wide"><table>\n<tr>{head}{"<th></th>" if bars else ""}</tr>\n{rows}</table></div>\n'


def _cells(row: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(f"<td{kind}>{_text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))


def _bar(length: float) -> str:
    return f'<td><span class="bar" style="width: {_LONGEST_REM * length:.2f}rem"></span></td>'


def _text(text: str) -> str:
    return escape(printable(text))

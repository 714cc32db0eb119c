"""Tables for people: with lines on a terminal, in plain aligned text elsewhere."""

import sys
from dataclasses import dataclass

from exporter.cli.output import emit, is_terminal
from exporter.core.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table; a column whose first value is a number stands at the right, and numbers get separators."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Every row as text, without anything that a terminal might obey: manifests come from the sink."""
        return tuple(
            tuple(f"{value:,}" if isinstance(value, int) else printable(value) for value in row) for row in self.rows
        )

    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers; without a row, none does."""
        return tuple(bool(self.rows) and isinstance(self.rows[0][at], int) for at in range(len(self.columns)))


def show(grid: Grid) -> None:
    """Write the table to stdout."""
    emit(_boxed(grid) if is_terminal(sys.stdout) else aligned(grid))


def aligned(grid: Grid) -> str:
    """The table in plain text, a line for each row."""
    table = (grid.columns, *grid.cells())
    widths = [max(len(row[at]) for row in table) for at in range(len(grid.columns))]
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, grid.numeric(), strict=True)
        )
        for row in table
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _boxed(grid: Grid) -> str:
    """The table as rich draws it on this terminal."""
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for name, right in zip(grid.columns, grid.numeric(), strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in grid.cells():
        table.add_row(*map(Text, row))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()

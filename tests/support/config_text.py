"""A made-up configuration as text, to be changed one key at a time."""

from collections.abc import Mapping

#: Dotted key to TOML value; a number stands for an item of a list of tables.
VALID = {
    "reports.0.name": '"attendance_strikes.grouped"',
    "windows.start": '"2025-01-01"',
    "windows.end": '"2026-01-01"',
    "studios.0.id": '"harbour-yoga"',
    "studios.0.token": '"env:TOKEN_HARBOUR"',
}


def config_text(changes: Mapping[str, str | None] | None = None) -> str:
    """TOML of the valid configuration with *changes*; None leaves a key out."""
    values = {key: value for key, value in ({**VALID, **(changes or {})}).items() if value is not None}
    tables: dict[str, list[str]] = {}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {value}")
    lines: list[str] = []
    for table in sorted(tables):  # what has no table comes first; items come in their order
        name, _, number = table.partition(".")
        header = [f"[[{name}]]" if number else f"[{name}]"] if table else []
        lines += header + tables[table]
    return "\n".join(lines) + "\n"

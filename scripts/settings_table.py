#!/usr/bin/env python3
"""Writes the table of settings into README.md, between its two markers, from the key table.

    .venv/bin/python scripts/settings_table.py           writes it
    .venv/bin/python scripts/settings_table.py --check   exits 1 if it is not what the key table says

A README without the markers has no such table, and is left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from weir.core.key import Key
from weir.core.keys import KEYS

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- settings:begin -->"
END = "<!-- settings:end -->"


def table() -> str:
    """Give the key table in Markdown."""
    rows = [("Key", "Default", "Unit", "Allowed", "Meaning"), ("---",) * 5, *map(_row, KEYS)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def with_table(text: str) -> str:
    """Give the text with the table between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}\n{end}{after}" if begin and end else text


def _row(key: Key) -> tuple[str, ...]:
    path = key.path.replace("*", "NAME")
    return f"`{path}`", f"`{_default(key)}`", key.unit, key.allowed, key.meaning


def _default(key: Key) -> str:
    if key.default is None:
        return "none" if key.or_none else "null"
    return str(key.default).lower() if isinstance(key.default, bool) else str(key.default)


def main() -> int:
    """Write the table, or check it."""
    if not README.exists():
        return 0
    text = README.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--check"]:
        return int(with_table(text) != text)
    README.write_text(with_table(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

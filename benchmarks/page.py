"""The page that the figures stand on: each benchmark has a place there, and fills only its own.

Owns the markers. The text around them is written by people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
END = "<!-- end -->"


def begin(name: str) -> str:
    """Give the marker before the figures of a benchmark."""
    return f"<!-- {name}: made by `python -m benchmarks {name} --write`, changes are lost -->"


def write(name: str, text: str, path: Path = PAGE) -> None:
    """Put the text between the markers of a benchmark; a page without them gets them at its end."""
    page = path.read_text(encoding="utf-8") if path.exists() else "# What it costs and what it carries\n"
    before, marker, rest = page.partition(begin(name))
    _, end, after = rest.partition(END)
    if marker and not end:
        raise ValueError(f"{path} has the first marker of {name} and not the second")
    if not marker:
        before, after = f"{page.rstrip()}\n\n", "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{begin(name)}\n\n{text.strip()}\n\n{END}{after}", encoding="utf-8")


def figures(name: str, path: Path = PAGE) -> Iterator[tuple[str, float]]:
    """Read the medians of a benchmark back from the page."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    block = page.partition(begin(name))[2].partition(END)[0]
    for line in block.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and (number := re.match(r"-?[\d,]+(\.\d+)?", cells[2])):
            yield cells[1], float(number[0].replace(",", ""))

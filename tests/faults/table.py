"""The one table of the long form: a line a fault, summed over the tests that tried it.

`python -m tests.faults.table FILE` reads the lines that the tests wrote to FILE; its exit code is 1 if anything was
lost or unaccounted for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEADS = ("fault", "trials", "records", "lost", "unaccounted", "twins", "bound")


def rows(path: Path) -> list[list[str | int]]:
    """Sum up the lines of each fault."""
    sums: dict[str, list[int]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        fault, *numbers = json.loads(line)
        sums[fault] = [a + b for a, b in zip(sums.get(fault, [0] * len(numbers)), numbers, strict=True)]
    return [[fault, *numbers] for fault, numbers in sorted(sums.items())]


def table(lines: list[list[str | int]]) -> str:
    """Lay the lines out in columns."""
    cells = [list(HEADS), *([str(cell) for cell in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


if __name__ == "__main__":
    found = rows(Path(sys.argv[1]))
    print(table(found))  # noqa: T201 - it speaks to a person
    sys.exit(any(line[3] or line[4] for line in found))

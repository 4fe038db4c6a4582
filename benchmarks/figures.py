"""What was measured, and the table of it.

Owns the summary of several rounds and how it is written. Knows nothing of how a value comes about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

RATIO = "ratio"

_HEAD = ("figure", "median", "min to max", "rounds", "aim")
_DECIMALS = {RATIO: 2, "s": 3, "MiB": 1, "µs": 1, "1/s": 0, "KiB": 1, "x": 2, "%": 2, "": 0}


class Figure(NamedTuple):
    """One row: a value for each round. `aim` is what it is meant to be, in words; nothing fails if it is missed."""

    benchmark: str
    name: str
    unit: str
    values: Sequence[float]
    aim: str = ""


def ratios(these: Iterable[float], those: Iterable[float]) -> list[float]:
    """Divide round by round: what disturbs the machine for a while disturbs both sides of one round."""
    return [this / that for this, that in zip(these, those, strict=True)]


def table(figures: Iterable[Figure]) -> str:
    """Write figures as a Markdown table that can also be read as it is."""
    rows = [_HEAD, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    rule = "|".join("-" * (width + 1) + (":" if _is_number(column) else "-") for column, width in enumerate(widths))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _row(figure: Figure) -> tuple[str, ...]:
    decimals = _DECIMALS[figure.unit]
    low, middle, high = (f"{make(figure.values):,.{decimals}f}" for make in (min, median, max))
    unit = "" if figure.unit in {RATIO, ""} else f" {figure.unit}"
    return (figure.name, middle + unit, f"{low} to {high}", str(len(figure.values)), figure.aim)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (c.rjust(w) if _is_number(i) else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
    return f"| {' | '.join(cells)} |"


def _is_number(column: int) -> bool:
    return _HEAD[column] in {"median", "min to max", "rounds"}

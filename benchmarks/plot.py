"""The plot of the figures: what each way carries, what a record costs, and what reaches the flash.

Drawn as SVG by hand: bars on logarithmic scales need no library. Owns the drawing; the numbers are read back from the
page, so that page and plot cannot say different things. A panel whose benchmark was never run is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks.page import PAGE, figures

FILE = PAGE.with_suffix(".svg")
_WIDTH, _LABELS, _NUMBERS = 860, 330, 70
_ROW, _HEAD, _GAP = 22, 44, 18
_OURS, _OTHERS = "#1b6ca8", "#9aa5ad"


class Bar(NamedTuple):
    """One bar; `ours` is drawn in the stronger colour."""

    name: str
    value: float
    ours: bool


class Panel(NamedTuple):
    """Bars that share a scale."""

    title: str
    bars: Sequence[Bar]


def write(page: Path = PAGE, file: Path = FILE) -> None:
    """Draw what the page says."""
    file.write_text(drawn(panels(page)), encoding="utf-8")


def panels(page: Path) -> list[Panel]:
    """Read the panels from the page."""
    every = [_rates(page), _costs(page), _flash(page)]
    return [panel for panel in every if panel.bars]


def _rates(page: Path) -> Panel:
    bars = [Bar("the bare client, one record a message", 1.0, ours=False)]
    for name, value in figures("peers", page):
        if name.endswith(": rate"):
            bars.append(Bar(name.removesuffix(": rate"), value, ours=name.startswith("Weir")))
    for benchmark in ("messages", "batches"):
        for name, value in figures(benchmark, page):
            if name.endswith(", rate"):
                bars.append(Bar(f"Weir, {benchmark}: {name.removesuffix(', rate')}", value, ours=True))
    bars.sort(key=lambda bar: bar.value)
    return Panel("Records a second, the bare client = 1 (logarithmic)", bars if len(bars) > 1 else [])


def _costs(page: Path) -> Panel:
    bars = [
        Bar(name.removesuffix(": CPU a record"), value, ours=True)
        for name, value in figures("scale", page)
        if name.endswith(": CPU a record")
    ]
    return Panel("CPU microseconds a record, draining a stored backlog in batches (logarithmic)", bars)


def _flash(page: Path) -> Panel:
    bars = [
        Bar(name.removesuffix(": against the payload"), value, ours=True)
        for name, value in figures("flash", page)
        if name.endswith(": against the payload")
    ]
    return Panel("Bytes at the block device, payload = 1, link down (logarithmic)", bars)


def drawn(every: Sequence[Panel]) -> str:
    """Draw panels below each other."""
    parts: list[str] = []
    top = _GAP
    for panel in every:
        parts += _panel(panel, top)
        top += _HEAD + _ROW * len(panel.bars) + _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{top}" fill="white"/>', *parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    values = [bar.value for bar in panel.bars if bar.value > 0]
    low = 10 ** math.floor(math.log10(min(values) / 2)) if values else 1.0
    high = max(values, default=1.0)
    room = _WIDTH - _LABELS - _NUMBERS
    lines = [f'<text x="12" y="{top + 18}" font-weight="bold" font-size="13">{escape(panel.title)}</text>']
    for number, bar in enumerate(panel.bars):
        y = top + _HEAD - 14 + number * _ROW
        part = math.log(bar.value / low) / math.log(high / low) if bar.value > low < high else 0.0
        width, colour = max(1.0, room * part), _OURS if bar.ours else _OTHERS
        lines += [
            f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>',
            f'<text x="{_LABELS + width + 6:.1f}" y="{y + 13}">{_short(bar.value)}</text>',
        ]
    return lines


def _short(value: float) -> str:
    return re.sub(r"\.0+$", "", f"{value:.2f}" if value < 10 else f"{value:.1f}")

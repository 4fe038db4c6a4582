"""Rounds of the same work done in several ways, in an order that changes from round to round.

What disturbs the machine for a while disturbs all of one round, and a ratio is taken within a round: so ratios can be
compared where the times themselves cannot. Owns the order, the places, and the ceiling that the others stand beside.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import TOPIC, WINDOW
from benchmarks.processes import Run, measure, python
from benchmarks.work import Work
from tests.broker import Broker

CEILING = "ceiling"
T = TypeVar("T")
Way = Callable[[Path], T]  # does the work in a directory that is there only for it


def interleaved(work: Work, what: str, ways: Mapping[str, Way[T]], tell: Callable[[T], str]) -> dict[str, list[T]]:
    """Do the work in every way, once a round."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    place = work.directory / "now"
    for number in range(1, work.sizes.rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            place.mkdir()
            try:
                results[name].append(ways[name](place))
            finally:
                shutil.rmtree(place, ignore_errors=True)
            work.say(f"{what}, round {number}: {name}: {tell(results[name][-1])}")
    return results


def rate(run: Run) -> str:
    """Tell the rate of a run."""
    return f"{run.rate:,.0f} a second"


def ceiling(broker: Broker, messages: int) -> Way[Run]:
    """Make the way that everything is compared with: the client library itself, with nothing around it."""

    def way(place: Path) -> Run:
        to, report = broker.connection(), place / "report.json"
        files = (to.certificate, to.private_key, to.ca)
        return measure(
            python("benchmarks.ceiling", to.port, *files, TOPIC, messages, WINDOW, report), report, place / "log"
        )

    return way


def absolute(benchmark: str, name: str, runs: list[Run]) -> list[Figure]:
    """Give the figures of a way itself, for the scale of the ratios."""
    return [
        Figure(benchmark, f"{name}, a second", "1/s", [run.rate for run in runs]),
        Figure(benchmark, f"{name}, CPU each", "µs", [run.cpu_micros for run in runs]),
    ]


def against(runs: list[Run], those: list[Run]) -> list[float]:
    """Give the rate of one way against that of another, round by round."""
    return ratios((run.rate for run in runs), (run.rate for run in those))


def compared(
    benchmark: str, name: str, runs: list[Run], raw: list[Run], *, aim: str = "", memory_aim: str = ""
) -> list[Figure]:
    """Give rate and CPU of a way against the ceiling, and its memory."""
    cpu = ratios((run.cpu_micros for run in runs), (run.cpu_micros for run in raw))
    return [
        Figure(benchmark, f"{name}, rate", RATIO, against(runs, raw), aim),
        Figure(benchmark, f"{name}, CPU each", RATIO, cpu),
        Figure(benchmark, f"{name}, peak resident memory", "MiB", [run.report.peak_mib for run in runs], memory_aim),
    ]

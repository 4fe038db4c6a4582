"""How fast records go, one a message, against the client library alone.

No one subscribes while the time runs: a subscriber would take the CPU that client and broker share. That all has
arrived is seen from the acknowledgements, which the status counts.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import TOPIC, WINDOW, Gateway
from benchmarks.processes import Run, measure, python
from benchmarks.workload import write_records
from tests.broker import Broker

CEILING, DIRECTORY, BACKLOG = "ceiling", "directory", "backlog"
_AIMS = {DIRECTORY: "at least 0.8", BACKLOG: ""}


class Throughput:
    """Rounds of the same work done in several ways, in an order that changes from round to round."""

    def __init__(self, directory: Path, broker: Broker, records: int) -> None:
        self._directory = directory
        self._broker = broker
        self._records = records
        self._inbox = directory / "inbox"
        self._inbox.mkdir(parents=True)
        self._input = self._inbox / "records.jsonl"
        self._filled = directory / "filled"
        self._runs = 0
        write_records(self._input, records)

    def measure(self, names: Iterable[str], rounds: int, say: Callable[[str], None]) -> list[Figure]:
        """Measure the ceiling and these beside it."""
        wanted = [name for name in (DIRECTORY, BACKLOG) if name in names]
        if BACKLOG in wanted:
            Gateway(self._filled, self._broker).fill(self._input, self._records, signal.SIGTERM)
        results: dict[str, list[Run]] = {name: [] for name in (CEILING, *wanted)}
        for number in range(1, rounds + 1):
            for name in random.sample(list(results), len(results)):
                results[name].append(self._measure(name))
                say(f"round {number}: {name} {results[name][-1].rate:,.0f} messages a second")
        return [
            *_absolute(CEILING, results[CEILING]),
            *(figure for name in wanted for figure in _compared(name, results[name], results[CEILING])),
        ]

    def _measure(self, name: str) -> Run:
        self._runs += 1
        directory = self._directory / f"run-{self._runs}"
        try:
            return self._measure_in(directory, name)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _measure_in(self, directory: Path, name: str) -> Run:
        if name == CEILING:
            return self._ceiling(directory)
        gateway = Gateway(directory, self._broker)
        if name == DIRECTORY:
            return gateway.drain_directory(self._inbox, self._records)
        gateway.state.mkdir(mode=0o700)
        for file in (self._filled / "state").glob("weir.db*"):
            shutil.copy2(file, gateway.state)
        return gateway.drain_backlog(self._records)

    def _ceiling(self, directory: Path) -> Run:
        directory.mkdir()
        connection = self._broker.connection()
        report = directory / "report.json"
        files = (connection.certificate, connection.private_key, connection.ca)
        command = python("benchmarks.ceiling", connection.port, *files, TOPIC, self._records, WINDOW, report)
        return measure(command, report, directory / "log")


def _absolute(name: str, runs: list[Run]) -> list[Figure]:
    return [
        Figure(name, "messages a second", "1/s", [run.rate for run in runs]),
        Figure(name, "CPU a message", "µs", [run.cpu_micros for run in runs]),
    ]


def _compared(name: str, runs: list[Run], ceiling: list[Run]) -> list[Figure]:
    rate = ratios((run.rate for run in runs), (run.rate for run in ceiling))
    whole = ratios((run.whole_rate for run in runs), (run.whole_rate for run in ceiling))
    cpu = ratios((run.cpu_micros for run in runs), (run.cpu_micros for run in ceiling))
    return [
        *_absolute(name, runs),
        Figure(name, "rate against the ceiling, first publish to last PUBACK", RATIO, rate, _AIMS[name]),
        Figure(name, "rate against the ceiling, whole process", RATIO, whole),
        Figure(name, "CPU a message against the ceiling", RATIO, cpu),
        Figure(name, "peak resident memory", "MiB", [run.report.peak_mib for run in runs]),
    ]

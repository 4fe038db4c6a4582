"""What a large backlog costs: memory, the time to the first publish, and the time to ask for the status."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import Gateway, end_process
from benchmarks.processes import peak_mib
from benchmarks.work import Work
from benchmarks.workload import write_records
from tests.broker import Broker
from tests.observer import Observer

LARGE = "large"
_WAYS = (signal.SIGKILL, signal.SIGTERM)
_RUN_SECONDS_A_RECORD = 0.5e-6  # so long at most it drains before it is ended: most of the backlog is to be left


def large(work: Work) -> list[Figure]:
    """Measure with a large backlog."""
    with work.broker(LARGE) as broker:
        return _Large(work.directory / f"{LARGE}-work", broker, work.sizes.stored).measure(work.sizes.rounds, work.say)


class _Large:
    """One store with a large backlog, and an empty one to compare it with."""

    def __init__(self, directory: Path, broker: Broker, records: int) -> None:
        self._records = records
        self._input = directory / "records.jsonl"
        self._broker = broker
        self._full = Gateway(directory / "full", broker)
        self._empty = Gateway(directory / "empty", broker)
        self._peaks: list[float] = []
        self._starts: dict[signal.Signals, list[float]] = {way: [] for way in _WAYS}
        self._started = 0
        directory.mkdir(exist_ok=True)

    def measure(self, rounds: int, say: Callable[[str], None]) -> list[Figure]:
        """Fill the store, start and end again and again, ask for the status, and at last drain all that is left."""
        write_records(self._input, self._records)
        filling = self._full.fill(self._input, self._records, signal.SIGKILL, say)
        self._input.unlink()
        say(f"{LARGE}: the store has {self._records:,} records")
        self._measure_starts(rounds)
        say(f"{LARGE}: started {self._started} times")
        full, empty = self._measure_status(rounds)
        left = self._full.status()["records"]["pending"]
        say(f"{LARGE}: draining the {left:,} records that are left")
        run = self._full.drain_backlog(left)
        return [
            Figure(LARGE, "peak resident memory, taking the backlog in", "MiB", [filling]),
            Figure(LARGE, "peak resident memory, draining all of it", "MiB", [run.report.peak_mib], "at most 45"),
            *self._start_figures(),
            Figure(LARGE, "`weir status` against an empty store", RATIO, ratios(full, empty), "at most 1.5"),
            Figure(LARGE, "`weir status`", "s", full),
            Figure(LARGE, "CPU a message, draining all of it", "µs", [run.cpu_micros]),
        ]

    def _measure_starts(self, rounds: int) -> None:
        ended = signal.SIGKILL  # as the filling was
        ways = [way for _ in range(rounds) for way in random.sample(_WAYS, len(_WAYS))]
        observer = self._broker.observe()
        for way in ways:
            self._starts[ended].append(self._measure_start(observer, way))
            ended = way
        self._starts[ended].append(self._measure_start(observer, signal.SIGTERM))

    def _measure_start(self, observer: Observer, end: signal.Signals) -> float:
        """Start on the backlog; give the seconds until the first message came to the observer."""
        self._started += 1
        self._full.topic = topic = f"start/{self._started}"
        begun = time.monotonic()
        with self._full.draining() as process:
            observer.wait_for(lambda: observer.messages and observer.messages[-1].topic == topic)
            seconds = time.monotonic() - begun
            time.sleep(random.uniform(0, _RUN_SECONDS_A_RECORD * self._records))  # noqa: S311 - not a secret
            self._peaks.append(peak_mib(process.pid))
            end_process(process, end)
        return seconds

    def _start_figures(self) -> list[Figure]:
        names = {signal.SIGTERM: "after an orderly stop", signal.SIGKILL: "after SIGKILL"}
        return [
            Figure(LARGE, "peak resident memory, just started", "MiB", self._peaks, "at most 45"),
            *(
                Figure(LARGE, f"start to first message, {names[way]}", "s", self._starts[way], "at most 0.5")
                for way in _WAYS
            ),
        ]

    def _measure_status(self, rounds: int) -> tuple[list[float], list[float]]:
        self._empty.begin_empty()
        times: dict[Gateway, list[float]] = {self._full: [], self._empty: []}
        for _ in range(2 * rounds):
            for gateway in random.sample(list(times), len(times)):
                begun = time.monotonic()
                gateway.ask_status()
                times[gateway].append(time.monotonic() - begun)
        return times[self._full], times[self._empty]

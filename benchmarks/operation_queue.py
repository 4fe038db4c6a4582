"""The operation queue against the bare client, at three windows.

Both publish the same record through a connection of the same kind, each in a process of its own: this module, run as a
program, is the one with the queue. The time begins before the first operation is added, and ends with the last PUBACK.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from awscrt import mqtt

from benchmarks.ceiling import connection
from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import TOPIC
from benchmarks.processes import Mark, Report, Run, mark, measure, peak_mib, python, write_report
from benchmarks.work import Work
from benchmarks.workload import record
from tests.broker import Broker
from weir.operation_queue import ConnectionEvents, MqttOperationQueue

OPERATION_QUEUE = "operation_queue"
WINDOWS = {1: 0.1, 10: 0.5, 100: 1.0}  # and what part of the messages each is given: a narrow one is slow
_AIM = "at least 0.9"
_RAW, _QUEUED = "benchmarks.ceiling", "benchmarks.operation_queue"


def operation_queue(work: Work) -> list[Figure]:
    """Measure the three windows."""
    with work.broker(OPERATION_QUEUE) as broker:
        directory = work.directory / f"{OPERATION_QUEUE}-work"
        return _OperationQueue(directory, broker, work.sizes.records).measure(work.sizes.rounds, work.say)


class _OperationQueue:
    """Rounds of the same publishes, raw and through a queue, in an order that changes from round to round."""

    def __init__(self, directory: Path, broker: Broker, messages: int) -> None:
        self._directory = directory
        self._broker = broker
        self._messages = messages
        directory.mkdir(parents=True)

    def measure(self, rounds: int, say: Callable[[str], None]) -> list[Figure]:
        """Measure each window both ways."""
        runs: dict[tuple[str, int], list[Run]] = {
            (module, window): [] for window in WINDOWS for module in (_RAW, _QUEUED)
        }
        for number in range(1, rounds + 1):
            for module, window in random.sample(list(runs), len(runs)):
                runs[module, window].append(self._run(module, window))
                say(
                    f"round {number}: {module}, window {window}: {runs[module, window][-1].rate:,.0f} messages a second"
                )
        return [figure for window in WINDOWS for figure in _figures(window, runs[_QUEUED, window], runs[_RAW, window])]

    def _run(self, module: str, window: int) -> Run:
        to = self._broker.connection()
        report = self._directory / "report.json"
        count = max(1, int(self._messages * WINDOWS[window]))
        files = (to.certificate, to.private_key, to.ca)
        command = python(module, to.port, *files, TOPIC, count, window, report)
        return measure(command, report, self._directory / "log")


def _figures(window: int, queued: list[Run], raw: list[Run]) -> list[Figure]:
    rate = ratios((run.rate for run in queued), (run.rate for run in raw))
    cpu = ratios((run.cpu_micros for run in queued), (run.cpu_micros for run in raw))
    return [
        Figure(OPERATION_QUEUE, f"messages a second, window {window}", "1/s", [run.rate for run in queued]),
        Figure(OPERATION_QUEUE, f"rate against the bare client, window {window}", RATIO, rate, _AIM),
        Figure(OPERATION_QUEUE, f"CPU a message against the bare client, window {window}", RATIO, cpu),
    ]


class _Queued:
    """So many publishes through a queue."""

    def __init__(self, client: mqtt.Connection, events: ConnectionEvents, total: int, window: int) -> None:
        self._total = total
        self._done = threading.Event()
        self.acknowledged = 0
        self.last: Mark | None = None
        self.queue = MqttOperationQueue(
            connection=client, events=events, max_incomplete=window, max_in_flight=window, on_acknowledged=self._count
        )

    def run(self, topic: str) -> Mark:
        """Publish all of it and wait for every PUBACK; give the moment before the first operation is added."""
        publish, payload, at_least_once = self.queue.publish, record(0), mqtt.QoS.AT_LEAST_ONCE
        self.queue.start()
        first = mark()
        for _ in range(self._total):
            publish(topic, payload, at_least_once)
        self._done.wait()
        self.queue.stop()
        return first

    def _count(self, *_: object) -> None:
        self.acknowledged += 1
        if self.acknowledged == self._total:
            self.last = mark()
            self._done.set()


def main() -> None:
    port, certificate, key, ca, topic, total, window, report = sys.argv[1:]
    failures: list[object] = []
    client = connection(int(port), certificate, key, ca, lambda **failure: failures.append(failure))
    client.connect().result(30)
    queued = _Queued(client, ConnectionEvents(up=True), int(total), int(window))
    first = queued.run(topic)
    if failures or queued.last is None or queued.queue.account().failed:
        sys.exit(f"the connection did not hold: {failures}")
    write_report(Path(report), Report(first, queued.last, queued.acknowledged, peak_mib()))
    client.disconnect().result(5)


if __name__ == "__main__":
    main()

"""How fast records go against the client library alone: one a message, and many.

No one subscribes while the time runs: a subscriber would take the CPU that client and broker share. That all has
arrived is seen from the acknowledgements, which the status counts. With many records a message a rate is records of
Weir against messages of the client.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gateway import GZIP, GZIP_DENSE, LINES, Gateway
from benchmarks.interleaved import CEILING, Way, absolute, ceiling, compared, interleaved, rate
from benchmarks.processes import Run
from benchmarks.work import Work
from benchmarks.workload import write_records
from tests.broker import Broker

MESSAGES, BATCHES = "messages", "batches"
_BACKLOG = "from a stored backlog"
_AIMS = {
    "from a directory": "at least 0.9",
    _BACKLOG: "at least 0.8",
    "lines from a directory": "at least 20",
    "gzip 1 from a directory": "at least 12",
    f"lines {_BACKLOG}": "at least 20",
}


def messages(work: Work) -> list[Figure]:
    """Measure one record a message."""
    with work.broker(MESSAGES) as broker:
        given = _Given(work, MESSAGES, broker, work.sizes.records)
        return _measured(
            work,
            MESSAGES,
            broker,
            {"from a directory": given.directory({}), _BACKLOG: given.backlog({})},
        )


def batches(work: Work) -> list[Figure]:
    """Measure 500 records a message."""
    with work.broker(BATCHES) as broker:
        given = _Given(work, BATCHES, broker, work.sizes.batched)
        ways = {
            "lines from a directory": given.directory(LINES),
            "gzip 1 from a directory": given.directory(GZIP),
            "gzip 6 from a directory": given.directory(GZIP_DENSE),
            f"lines {_BACKLOG}": given.backlog(LINES),
            f"gzip 1 {_BACKLOG}": given.backlog(GZIP),
        }
        return _measured(work, BATCHES, broker, ways)


def _measured(work: Work, what: str, broker: Broker, ways: Mapping[str, Way[Run]]) -> list[Figure]:
    results = interleaved(work, what, {CEILING: ceiling(broker, work.sizes.records), **ways}, rate)
    raw = results.pop(CEILING)
    figures = absolute(what, "the bare client", raw)
    for name, runs in results.items():
        memory_aim = "at most 45" if name.endswith(_BACKLOG) else ""
        figures += compared(what, name, runs, raw, aim=_AIMS.get(name, ""), memory_aim=memory_aim)
    return figures


class _Given:
    """Records in a directory and in a store, made once and forwarded again and again."""

    def __init__(self, work: Work, what: str, broker: Broker, records: int) -> None:
        directory = work.directory / f"{what}-given"
        self._broker = broker
        self._records = records
        self._inbox = directory / "inbox"
        self._inbox.mkdir(parents=True)
        self._filled = Gateway(directory / "filled", broker)
        write_records(self._inbox / "records.jsonl", records)
        self._filled.fill(self._inbox / "records.jsonl", records, signal.SIGTERM, work.say)

    def directory(self, settings: Mapping[str, object]) -> Way[Run]:
        return lambda place: Gateway(place, self._broker, settings=settings).drain_directory(self._inbox, self._records)

    def backlog(self, settings: Mapping[str, object]) -> Way[Run]:
        def way(place: Path) -> Run:
            gateway = Gateway(place, self._broker, settings=settings)
            gateway.take_over(self._filled)
            return gateway.drain_backlog(self._records)

        return way

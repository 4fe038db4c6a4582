"""What gets through the limits of IoT Core for one connection, and what it costs there, on real data.

The pace is the default one: 90 publishes and 471,859 bytes a second. A message is billed in steps of 5 KB. Counted is
what arrived at the broker, decompressed and line by line. The data sets are repeated to be long enough; each is several
times as long as the window in which gzip finds repetitions, so that it gains nothing by it.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import Gateway
from benchmarks.interleaved import Way, interleaved
from benchmarks.work import QUICK, Missing, Work
from tests.broker import Broker
from tests.observer import Message

PACE = "pace"
STEP_BYTES = 5 * 1024
_SETS = ("seattle-weather", "airports")
_SETTLING_SECONDS = 1.0
_LEAST_SECONDS = 2.5  # the pace looks at a second: what goes comes in bursts
_MOST_A_SECOND = 60_000  # records; more than this no way carries
_DEFAULT = {
    "pace.publishesPerSecond": 90,
    "pace.bytesPerSecond": 471_859,
    "streams.telemetry.queue.maxRecords": 100_000,
}
# 23 whole steps, and with the topic a quarter of the bytes of a second: of the largest messages only three would fit.
_MANY = {
    **_DEFAULT,
    "streams.telemetry.batch.maxRecords": 10_000,
    "streams.telemetry.batch.maxBytes": 23 * STEP_BYTES,
}
_WAYS: dict[str, Mapping[str, object]] = {
    "one a message": _DEFAULT,
    "lines": _MANY,
    "gzip": {**_MANY, "streams.telemetry.batch.compression": "gzip"},
}


class Carried(NamedTuple):
    """What arrived in a while."""

    records: int
    steps: int
    seconds: float

    @property
    def rate(self) -> float:
        """Give records a second."""
        return self.records / self.seconds

    @property
    def steps_a_million(self) -> float:
        """Give billed steps for a million records."""
        return 1e6 * self.steps / self.records


def measure(work: Work) -> list[Figure]:
    """Measure each way on each data set."""
    seconds = max(_LEAST_SECONDS, work.sizes.seconds / 3)
    figures: list[Figure] = []
    for name in _SETS[: 1 if work.sizes == QUICK else None]:
        inbox = work.directory / name
        inbox.mkdir()
        _write(inbox / f"{name}.jsonl", name, int((seconds + 2 * _SETTLING_SECONDS) * _MOST_A_SECOND))
        with work.broker(f"broker-{name}") as broker:
            ways = {way: _carrying(broker, inbox, settings, seconds) for way, settings in _WAYS.items()}
            figures += _figures(name, interleaved(work, f"{PACE}, {name}", ways, _told))
    return figures


def _figures(of: str, results: dict[str, list[Carried]]) -> list[Figure]:
    single = results["one a message"]
    figures: list[Figure] = []
    for name, all_carried in results.items():
        figures += [
            Figure(PACE, f"{of}, {name}: records a second", "1/s", [each.rate for each in all_carried]),
            Figure(PACE, f"{of}, {name}: billed steps a million", "", [each.steps_a_million for each in all_carried]),
        ]
        if name != "one a message":
            more = ratios((each.rate for each in all_carried), (each.rate for each in single))
            fewer = ratios((each.steps_a_million for each in single), (each.steps_a_million for each in all_carried))
            aim = "at least 150" if name == "gzip" else ""
            figures += [
                Figure(PACE, f"{of}, {name}: times the records", RATIO, more, aim),
                Figure(PACE, f"{of}, {name}: times fewer steps", RATIO, fewer, aim),
            ]
    return figures


def _carrying(broker: Broker, inbox: Path, settings: Mapping[str, object], seconds: float) -> Way[Carried]:
    def way(place: Path) -> Carried:
        topic = f"telemetry/{place.name}/{time.monotonic_ns()}"
        observer = broker.observe(topic)
        with Gateway(place, broker, topic=topic, settings=settings).running(["--watch", inbox]):
            observer.wait_for(lambda: observer.messages)
            time.sleep(_SETTLING_SECONDS)
            first, begun = len(observer.messages), time.monotonic()
            time.sleep(seconds)
            arrived, took = observer.messages[first:], time.monotonic() - begun
        observer.close()
        return _count(arrived, took)

    return way


def _count(messages: list[Message], seconds: float) -> Carried:
    records = steps = 0
    for message in messages:
        payload = message.payload
        steps += -(-len(payload) // STEP_BYTES)
        records += len((gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload).splitlines())
    return Carried(records, steps, seconds)


def _told(carried: Carried) -> str:
    return f"{carried.rate:,.0f} records a second, {carried.steps_a_million:,.0f} steps a million"


def _write(path: Path, name: str, count: int) -> None:
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in _rows(name)]
    whole, rest = divmod(count, len(lines))
    with path.open("wb") as file:
        for _ in range(whole):
            file.writelines(lines)
        file.writelines(lines[:rest])


def _rows(name: str) -> Iterator[dict[str, str]]:
    spec = importlib.util.find_spec("vega_datasets")
    if spec is None or spec.origin is None:
        raise Missing("vega-datasets is not installed: scripts/setup.sh")
    with (Path(spec.origin).parent / "_data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)

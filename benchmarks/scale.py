"""What a record costs with few of them stored and with very many, and with few streams and with many.

Cost is CPU time, which other programs disturb far less than the time on the clock. Batches of 500, for with one record
a message the cost of the message hides that of the record.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import LINES, Gateway
from benchmarks.interleaved import Way, interleaved
from benchmarks.processes import Run, peak_mib
from benchmarks.work import Work
from benchmarks.workload import write_records
from tests.broker import Broker

SCALE, STREAMS = "scale", "streams"
_BACKLOGS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_REFERENCE = 1_000_000
_DISK_BYTES_A_RECORD = 700  # the input, what is stored of it, and a copy of that
_LOOK_AGAIN_SECONDS = 0.1
_LOOKS = 20
_UNHURRIED = {"pace.bytesPerSecond": 1_000_000}  # or all of a small store is gone before the broker is silent
_STREAMS = (1, 10, 100)


def scale(work: Work) -> list[Figure]:
    """Drain backlogs of every size up to the largest."""
    sizes = list(_sizes(work))
    names = [f"{size:,} records" for size in sizes]
    with work.broker(SCALE) as broker:
        filled = [_filled(work, broker, size) for size in sizes]
        ways = {n: _draining(broker, f, s) for n, f, s in zip(names, filled, sizes, strict=True)}
        results = interleaved(work, SCALE, ways, _cost)
        unanswered = [_peak_unanswered(work, broker, filled[-1]) for _ in range(min(2, work.sizes.rounds))]
    compare_with = f"{min(_REFERENCE, max(sizes)):,} records"
    figures: list[Figure] = []
    for name, runs in results.items():
        cost = ratios((run.cpu_micros for run in runs), (run.cpu_micros for run in results[compare_with]))
        aim = "at most 1.3" if name == "10,000,000 records" else ""
        figures += [
            Figure(SCALE, f"{name}: CPU a record", "µs", [run.cpu_micros for run in runs]),
            Figure(SCALE, f"{name}: the same against {compare_with}", RATIO, cost, aim),
            Figure(SCALE, f"{name}: start to first publish", "s", [run.start_seconds for run in runs], "at most 0.5"),
            Figure(SCALE, f"{name}: peak resident memory", "MiB", [r.report.peak_mib for r in runs], "at most 45"),
        ]
    most = f"{names[-1]}: peak resident memory, with all in flight that may be"
    return [*figures, Figure(SCALE, most, "MiB", unanswered, "at most 45")]


def _sizes(work: Work) -> Iterator[int]:
    for size in _BACKLOGS:
        need = size * _DISK_BYTES_A_RECORD
        if size > work.sizes.backlog:
            return
        if need > shutil.disk_usage(work.directory).free:
            work.skip(
                f"{SCALE}: {size:,} records need {need >> 30} GiB of disk: set TMPDIR to a directory with so much"
            )
            return
        yield size


def _filled(work: Work, broker: Broker, records: int) -> Gateway:
    filled = Gateway(work.directory / f"{SCALE}-{records}", broker)
    given = work.directory / f"{SCALE}-{records}.jsonl"
    write_records(given, records)
    filled.fill(given, records, signal.SIGTERM, work.say)
    given.unlink()
    work.say(f"{SCALE}: a store has {records:,} records")
    return filled


def _draining(broker: Broker, filled: Gateway, records: int) -> Way[Run]:
    """Drain a copy each time."""

    def way(place: Path) -> Run:
        gateway = Gateway(place, broker, settings=LINES)
        gateway.take_over(filled)
        return gateway.drain_backlog(records)

    return way


def _peak_unanswered(work: Work, broker: Broker, filled: Gateway) -> float:
    """Let the broker fall silent in the middle, and give the peak memory once no more is let out."""
    gateway = Gateway(work.directory / f"{SCALE}-unanswered", broker, settings={**LINES, **_UNHURRIED})
    gateway.take_over(filled)
    with gateway.draining() as process:
        while not gateway.status()["records"]["delivered"]:
            time.sleep(_LOOK_AGAIN_SECONDS)
        broker.freeze()
        try:
            in_flight = _last_in_flight(gateway)
            peak = peak_mib(process.pid)
        finally:
            broker.thaw()
    shutil.rmtree(gateway.directory)
    work.say(f"{SCALE}: {in_flight:,} records in flight: {peak:.1f} MiB")
    return peak


def _last_in_flight(gateway: Gateway) -> int:
    """Wait until the number of records in flight rests."""
    seen: list[int] = []
    while len(seen) < _LOOKS or len(set(seen[-_LOOKS:])) > 1:
        time.sleep(_LOOK_AGAIN_SECONDS)
        seen.append(gateway.status()["records"]["inFlight"])
    if not seen[-1]:
        raise RuntimeError("all was delivered before the broker fell silent")
    return seen[-1]


def streams(work: Work) -> list[Figure]:
    """Forward the same number of records through one stream and through many, one record a message."""
    counts = [count for count in _STREAMS if count * 20 <= work.sizes.records]
    with work.broker(STREAMS) as broker:
        ways = {f"{count} streams": _through(work, broker, count) for count in counts}
        results = interleaved(work, STREAMS, ways, _cost)
    one = results["1 streams"]
    figures: list[Figure] = []
    for (name, runs), count in zip(results.items(), counts, strict=True):
        of = "1 stream" if count == 1 else name
        cost = ratios((run.cpu_micros for run in runs), (run.cpu_micros for run in one))
        figures += [
            Figure(STREAMS, f"{of}: CPU a record", "µs", [run.cpu_micros for run in runs]),
            *([Figure(STREAMS, f"{of}: the same against 1 stream", RATIO, cost)] if count > 1 else []),
            Figure(STREAMS, f"{of}: start to first publish", "s", [run.start_seconds for run in runs]),
            Figure(STREAMS, f"{of}: peak resident memory", "MiB", [run.report.peak_mib for run in runs]),
        ]
    return figures


def _through(work: Work, broker: Broker, count: int) -> Way[Run]:
    each = work.sizes.records // count
    directory = work.directory / f"{STREAMS}-{count}"
    streams: dict[str, object] = {}
    for number in range(count):
        inbox = directory / f"inbox-{number}"
        inbox.mkdir(parents=True)
        write_records(inbox / "records.jsonl", each)
        streams[f"s{number}"] = {"source": {"path": str(inbox)}, "topic": f"telemetry/gateway/s{number}"}
    configuration = directory / "streams.json"
    configuration.write_text(json.dumps({"streams": streams}), encoding="utf-8")
    return lambda place: Gateway(place, broker).drain_configured(configuration, each * count)


def _cost(run: Run) -> str:
    return f"{run.cpu_micros:.2f} µs of CPU a record"

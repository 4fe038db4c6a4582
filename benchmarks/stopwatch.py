"""`weir`, unchanged, with a stopwatch: `python -m benchmarks.stopwatch REPORT run …`. A process of its own.

The moment of the first publish is taken by a stand-in that takes itself out at once; that of the last PUBACK is what
the loop has noted itself when it comes to its end. So between the two nothing runs that would not run anyway.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Mark, Report, mark, peak_mib, write_report
from weir.cli.main import main as weir
from weir.core.ports import Operation
from weir.forwarder.forwarder import Forwarder
from weir.transports.mqtt311 import Mqtt311Transport

Marks = dict[str, Mark]


def watch_first_publish(marks: Marks) -> None:
    """Take the moment of the first publish."""
    publish = Mqtt311Transport.publish

    def first(transport: Mqtt311Transport, topic: str, payload: bytes, qos: int, *more: bytes | None) -> Operation:
        Mqtt311Transport.publish = publish  # type: ignore[method-assign]
        marks["first"] = mark()
        return publish(transport, topic, payload, qos, *more)

    Mqtt311Transport.publish = first  # type: ignore[assignment,method-assign]


def watch_last_outcome(marks: Marks) -> None:
    """Take the moment of the last PUBACK; the CPU time is that of a moment later, in which the loop only waits."""
    stop = Forwarder.stop

    def stopping(forwarder: Forwarder, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - they are passed on
        marks["last"] = Mark(forwarder.progress_at, time.process_time())
        return stop(forwarder, *arguments, **named)

    Forwarder.stop = stopping  # type: ignore[assignment,method-assign]


def main() -> int:
    report, *argv = sys.argv[1:]
    marks: Marks = {}
    watch_first_publish(marks)
    watch_last_outcome(marks)
    code = weir(argv)
    if marks.keys() >= {"first", "last"}:
        write_report(Path(report), Report(marks["first"], marks["last"], 0, peak_mib()))
    return code


if __name__ == "__main__":
    sys.exit(main())

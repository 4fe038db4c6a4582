"""The `stats` line: the counters, and how fast they move.

Owns the figures of that line and the rates between two of them. Knows nothing of when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.core.accounting import DROPPED, QUARANTINED
from weir.core.span import RECORD_OVERHEAD
from weir.core.view import StreamView, View
from weir.report.status import totals

SENT = ("delivered", "unconfirmed", "handedOver")


class Stats:
    """Makes one line after the other; rates are those since the line before, or since the beginning."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self._last: tuple[float, int, int] | None = None

    def fields(self, view: View, now: float, wall: float) -> dict[str, Any]:
        """Give the fields of a line; `now` is monotonic. None stands where there is nothing to say."""
        counts = totals(view)
        streams = view.streams.values()
        into, out = self._rates(now, counts)
        left = sum(_left(stream) for stream in streams)
        return {
            "state": view.state,
            **{name: counts[name] for name in ("read", *SENT)},
            "dropped": sum(counts[name] for name in DROPPED.values()),
            "quarantined": sum(counts[name] for name in QUARANTINED.values()),
            "pending": counts["pending"],
            "inFlight": sum(stream.in_flight for stream in streams),
            "bytesUnread": sum(stream.bytes_unread for stream in streams),
            "oldestSeconds": None if view.oldest_at is None else max(0, round(wall - view.oldest_at)),
            "inPerSecond": round(into, 1),
            "outPerSecond": round(out, 1),
            "etaSeconds": round(left / out) if left and out > 0 else None,
        }

    def _rates(self, now: float, counts: Mapping[str, int]) -> tuple[float, float]:
        into, out = counts["read"], sum(counts[name] for name in SENT)
        last, self._last = self._last, (now, into, out)
        if last is None or now <= last[0]:
            return 0.0, 0.0
        return (into - last[1]) / (now - last[0]), (out - last[2]) / (now - last[0])


def _left(stream: StreamView) -> float:
    """Count the records that are still to go; those in what is not read yet are as long as those that wait."""
    waiting = stream.queue_records
    length = stream.queue_bytes / waiting - RECORD_OVERHEAD if waiting else 0.0
    return waiting + stream.in_flight + (stream.bytes_unread / length if length > 0 else 0.0)

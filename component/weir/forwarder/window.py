"""What is out at the client: every record that was handed over and has no outcome yet.

Owns our own count of outstanding operations and the table from operation to record. Knows nothing of why an operation
ended.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import NamedTuple

from weir.core.gate import Outstanding
from weir.core.ports import Operation
from weir.core.span import Span
from weir.forwarder.stream import Stream

DELIVERED, UNCONFIRMED, HANDED_OVER = "delivered", "unconfirmed", "handedOver"


class Run(NamedTuple):
    """What records that were sent one after the other have in common. `at` is in monotonic seconds."""

    stream: Stream
    span: Span
    qos: int
    at: float
    outcome: str  # what a good outcome is counted as

    @property
    def may_come_twice(self) -> bool:
        """Tell whether a record without an outcome may have arrived, and be sent again all the same."""
        return self.qos > 0 or self.outcome == HANDED_OVER


# One record at the client: its run, its index in the span, its size as the client counts an operation. A bare tuple,
# since one is made for every record.
Sent = tuple[Run, int, int]


class Window:
    """The records that are out, in the order in which they were sent."""

    def __init__(self) -> None:
        """Begin with nothing out."""
        self._sent: dict[Operation, Sent] = {}
        self._bytes = 0
        self._unacknowledged = 0  # of these, QoS 0: they get no PUBACK
        self._unacknowledged_bytes = 0

    def __len__(self) -> int:
        """Count the records that are out."""
        return len(self._sent)

    def add(self, operation: Operation, sent: Sent) -> None:
        """Note a record that was handed to the client."""
        self._sent[operation] = sent
        self._bytes += sent[2]
        if not sent[0].qos:
            self._unacknowledged += 1
            self._unacknowledged_bytes += sent[2]

    def remove(self, operation: Operation) -> Sent | None:
        """Find the record of an outcome; None for an operation that is not ours any more."""
        sent = self._sent.pop(operation, None)
        if sent is not None:
            self._bytes -= sent[2]
            if not sent[0].qos:
                self._unacknowledged -= 1
                self._unacknowledged_bytes -= sent[2]
        return sent

    def clear(self) -> list[Sent]:
        """Take back everything: the client can never send it again."""
        sent = list(self._sent.values())
        self._sent.clear()
        self._bytes = self._unacknowledged = self._unacknowledged_bytes = 0
        return sent

    def outstanding(self) -> Outstanding:
        """Give our own count for the gate."""
        count, size = len(self._sent), self._bytes
        return Outstanding(count, size, count - self._unacknowledged, size - self._unacknowledged_bytes)

    def all(self) -> list[Sent]:
        """List what is out."""
        return list(self._sent.values())

    def by_stream(self) -> Counter[Stream]:
        """Count what is out of each stream."""
        return Counter(run.stream for run, _, _ in self._sent.values())

    def overdue(self, sent_before: float, online_at: float) -> list[Sent]:
        """List what was sent so long ago, and had a connection for so long, that its outcome is overdue."""
        if online_at > sent_before:
            return []
        return list(takewhile(lambda sent: sent[0].at <= sent_before, self._sent.values()))

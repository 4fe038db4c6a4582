"""What is out at the client: every record that was handed over and has no outcome yet.

Owns our own count of outstanding operations and the table from future to record. Knows nothing of why an operation
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


class Sent(NamedTuple):
    """One record at the client.

    `number` is its index in the span, `size` in bytes as the client counts an operation, `at` in monotonic seconds.
    """

    stream: Stream
    span: Span
    number: int
    qos: int
    size: int
    at: float


class Window:
    """The records that are out, in the order in which they were sent."""

    def __init__(self) -> None:
        """Begin with nothing out."""
        self._sent: dict[Operation, Sent] = {}
        self._zero()

    def _zero(self) -> None:
        self._bytes = self._acknowledged = self._acknowledged_bytes = 0

    def __len__(self) -> int:
        """Count the records that are out."""
        return len(self._sent)

    def add(self, future: Operation, sent: Sent) -> None:
        """Note a record that was handed to the client."""
        self._sent[future] = sent
        self._bytes += sent.size
        if sent.qos:
            self._acknowledged += 1
            self._acknowledged_bytes += sent.size

    def remove(self, future: Operation) -> Sent | None:
        """Find the record of an outcome; None for an operation that is not ours any more."""
        sent = self._sent.pop(future, None)
        if sent is not None:
            self._bytes -= sent.size
            if sent.qos:
                self._acknowledged -= 1
                self._acknowledged_bytes -= sent.size
        return sent

    def clear(self) -> list[Sent]:
        """Take back everything: the client can never send it again."""
        sent = list(self._sent.values())
        self._sent.clear()
        self._zero()
        return sent

    def outstanding(self) -> Outstanding:
        """Give our own count for the gate."""
        return Outstanding(len(self._sent), self._bytes, self._acknowledged, self._acknowledged_bytes)

    def all(self) -> list[Sent]:
        """List what is out."""
        return list(self._sent.values())

    def by_stream(self) -> Counter[Stream]:
        """Count what is out of each stream."""
        return Counter(sent.stream for sent in self._sent.values())

    def overdue(self, sent_before: float, online_at: float) -> list[Sent]:
        """List what was sent so long ago, and had a connection for so long, that its outcome is overdue."""
        if online_at > sent_before:
            return []
        return list(takewhile(lambda sent: sent.at <= sent_before, self._sent.values()))

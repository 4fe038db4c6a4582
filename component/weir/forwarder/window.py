"""What is out at the client: every record that was handed over and has no outcome yet, and a note beside them.

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


class _NoteOut(NamedTuple):
    """A message of QoS 1 that no record stands behind, its size as an operation, and when it was sent (monotonic s)."""

    operation: Operation
    size: int
    at: float


class Window:
    """The records that are out, in the order in which they were sent; beside them at most one note."""

    def __init__(self) -> None:
        """Begin with nothing out."""
        self._sent: dict[Operation, Sent] = {}
        self._bytes = 0
        self._unacknowledged = 0  # of these, QoS 0: they get no PUBACK
        self._unacknowledged_bytes = 0
        self._note: _NoteOut | None = None

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
        self._note = None
        return sent

    def outstanding(self) -> Outstanding:
        """Give our own count for the gate."""
        count, size = len(self._sent), self._bytes
        if self._note is not None:
            count, size = count + 1, size + self._note.size
        return Outstanding(count, size, count - self._unacknowledged, size - self._unacknowledged_bytes)

    @property
    def has_note(self) -> bool:
        """Tell whether a note is out."""
        return self._note is not None

    def add_note(self, operation: Operation, size: int, at: float) -> None:
        """Note a message that is no record; `at` is in monotonic seconds."""
        self._note = _NoteOut(operation, size, at)

    def remove_note(self, operation: Operation) -> bool:
        """Take out the note that this is the outcome of; False if it is not ours, or not any more."""
        found = self._note is not None and self._note.operation is operation
        if found:
            self._note = None
        return found

    def oldest_at(self) -> float | None:
        """Say when the oldest of what is out was sent (monotonic seconds), None if nothing is out."""
        first = next(iter(self._sent.values()), None)
        ats = [] if first is None else [first[0].at]
        ats += [] if self._note is None else [self._note.at]
        return min(ats, default=None)

    def note_is_overdue(self, sent_before: float, online_at: float) -> bool:
        """Tell whether a note is out for so long, and had a connection for so long."""
        return self._note is not None and max(self._note.at, online_at) <= sent_before

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

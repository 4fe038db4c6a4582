"""What is out at the client: every message that was handed over and has no outcome yet, and a note beside them.

Owns our own count of outstanding operations and the table from operation to records. Knows nothing of why an operation
ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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


Part = tuple[Run, int, int]  # the records [low, high) of one span

# One message at the client: the records of one span that it carries, its size as the client counts an operation, and
# what it carries of further spans. A bare tuple, since one is made for every message.
Sent = tuple[Run, int, int, int, tuple[Part, ...]]


def parts(sent: Sent) -> tuple[Part, ...]:
    """List the records that a message carries."""
    run, low, high, _, more = sent
    return ((run, low, high), *more)


def message(parts: Sequence[Part], size: int) -> Sent:
    """Put together what one message carries; `size` is as the client counts an operation."""
    (run, low, high), *more = parts
    return run, low, high, size, tuple(more)


def halves(sent: Sent) -> tuple[Sent, Sent]:
    """Divide a message of at least two records into two."""
    left = records(sent) // 2
    low_half: list[Part] = []
    high_half: list[Part] = []
    for run, low, high in parts(sent):
        middle = min(high, low + left)
        left -= middle - low
        if middle > low:
            low_half.append((run, low, middle))
        if high > middle:
            high_half.append((run, middle, high))
    return message(low_half, sent[3] // 2), message(high_half, sent[3] // 2)


def held_bytes(sent: Sent) -> int:
    """Count the bytes of the records that a message keeps in memory; compressed it may be a tenth of that itself."""
    return sum(run.span.run_length(low, high) for run, low, high in parts(sent))


def records(sent: Sent) -> int:
    """Count the records that a message carries."""
    return sent[2] - sent[1] + sum(high - low for _, low, high in sent[4])


class _NoteOut(NamedTuple):
    """A message of QoS 1 that no record stands behind, its size as an operation, and when it was sent (monotonic s)."""

    operation: Operation
    size: int
    at: float


class Window:
    """The messages that are out, in the order in which they were sent; beside them at most one note."""

    def __init__(self) -> None:
        """Begin with nothing out."""
        self._sent: dict[Operation, Sent] = {}
        self.records = 0  # that they carry
        self.held_bytes = 0  # of the records of batches
        self._bytes = 0
        self._unacknowledged = 0  # of these, QoS 0: they get no PUBACK
        self._unacknowledged_bytes = 0
        self._note: _NoteOut | None = None

    def __len__(self) -> int:
        """Count the messages that are out."""
        return len(self._sent)

    def add(self, operation: Operation, sent: Sent) -> None:
        """Note a message that was handed to the client."""
        self._sent[operation] = sent
        self._count(sent, 1)
        self._bytes += sent[3]
        if not sent[0].qos:
            self._unacknowledged += 1
            self._unacknowledged_bytes += sent[3]

    def remove(self, operation: Operation) -> Sent | None:
        """Find the message of an outcome; None for an operation that is not ours any more."""
        sent = self._sent.pop(operation, None)
        if sent is not None:
            self._count(sent, -1)
            self._bytes -= sent[3]
            if not sent[0].qos:
                self._unacknowledged -= 1
                self._unacknowledged_bytes -= sent[3]
        return sent

    def _count(self, sent: Sent, sign: int) -> None:
        if sent[2] - sent[1] == 1 and not sent[4]:
            self.records += sign
            return
        self.records += sign * records(sent)
        self.held_bytes += sign * held_bytes(sent)

    def clear(self) -> list[Sent]:
        """Take back everything: the client can never send it again."""
        sent = list(self._sent.values())
        self._sent.clear()
        self.records = self.held_bytes = self._bytes = self._unacknowledged = self._unacknowledged_bytes = 0
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
        """Count the records of each stream that are out."""
        out: Counter[Stream] = Counter()
        for sent in self._sent.values():
            out[sent[0].stream] += records(sent)
        return out

    def overdue(self, sent_before: float, online_at: float) -> list[Sent]:
        """List what was sent so long ago, and had a connection for so long, that its outcome is overdue."""
        if online_at > sent_before:
            return []
        return list(takewhile(lambda sent: sent[0].at <= sent_before, self._sent.values()))

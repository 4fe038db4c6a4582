"""What is published beside the records: a message of our own that no record stands behind.

Owns the one that waits and what becomes of it. It goes through the same gate and pace as records, is never stored, and
a newer one takes the place of one that still waits. Knows nothing of what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from weir.core.errors import Refused
from weir.core.ports import Operation, Transport
from weir.forwarder.queue import Notice
from weir.forwarder.window import Window

QOS = 1

Count = Callable[[str, int], None]  # adds to one of the counters of messages


class Note(NamedTuple):
    """One such message."""

    topic: str
    payload: bytes

    @property
    def size(self) -> int:
        """Count the bytes of topic and payload."""
        return len(self.topic.encode()) + len(self.payload)


class Beside:
    """At most one note waits, and at most one is out."""

    def __init__(
        self, transport: Transport, window: Window, count: Count, notice: Notice, monotonic: Callable[[], float]
    ) -> None:
        """Begin with nothing to say."""
        self._transport = transport
        self._window = window
        self._count = count
        self._notice = notice
        self._monotonic = monotonic
        self._waiting: Note | None = None

    def offer(self, topic: str, payload: bytes) -> None:
        """Let this go as soon as it may."""
        self._waiting = Note(topic, payload)

    def release(self, holds: Callable[[int], bool]) -> None:
        """Publish what waits, unless the one before it is still out; `holds` asks gate and pace for so many bytes."""
        note = self._waiting
        if note is None or self._window.has_note or holds(note.size):
            return
        self._waiting = None
        try:
            operation = self._transport.publish(note.topic, note.payload, QOS)
        except Refused as error:
            self._notice("publish_failed", topic=note.topic, reason=str(error))
            return
        self._window.add_note(operation, note.size + self._transport.operation_bytes, self._monotonic())
        self._count("published", 1)
        self._count("bytes", note.size)

    def settle(self, operation: Operation) -> None:
        """Take an outcome that belongs to no record. One that failed is not sent again: the next note says more."""
        if not self._window.remove_note(operation):
            return  # of an object that was replaced
        error = operation.exception()
        if error is not None:
            self._notice("publish_failed", what="report.topic", reason=str(error))
        elif not self._transport.hands_over:
            self._count("acknowledged", 1)

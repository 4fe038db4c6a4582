"""What lies in quarantine, as plain values: an entry, whether it can be replayed, and the spans a replay is made of.

Owns which entries can go again. Knows nothing of SQL, sockets or queues.

A replay is a new reading, and has a place of its own: it counts down from -1, so that no record of a file or a pipe has
the same one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from weir.core.span import SPAN_BYTES, SPAN_RECORDS, Span

DAMAGED = "what was kept is not what was written"
QUEUE_FULL = "the queue is full; it stays here, try again once there is room"


class Entry(NamedTuple):
    """One entry, all but its bytes. `number` is never given to another one; `place` is below 0 for a replay."""

    number: int
    record: bytes
    stream: str
    at: float
    reason: str
    detail: str
    topic: str
    file: bytes
    place: int
    size: int
    kept: int

    @property
    def obstacle(self) -> str | None:
        """Say why it cannot be replayed; None if it can."""
        if self.reason == "corrupt":
            return "it is a damaged row of the backlog, and no record"
        if self.kept == self.size:
            return None
        if not self.kept:
            return "nothing of it was kept, for the quarantine was full"
        return f"only its first {self.kept} of {self.size} bytes were kept"


class Kept(NamedTuple):
    """A record that was kept whole."""

    number: int
    stream: str
    body: bytes


class Held(NamedTuple):
    """What the quarantine holds: entries, their bytes with what a row costs, and how many were counted only."""

    entries: int
    bytes: int
    not_kept: int
    newest: int  # the number of the newest entry there ever was


class Shelf(Protocol):
    """What a store shows of its quarantine. Every method may raise `StoreFailed`."""

    def held(self) -> Held:
        """Say how much is held."""

    def page(self, after: int, upto: int, most: int) -> list[Entry]:
        """List the first entries with after < number <= upto, at most so many, in order."""

    def found(self, numbers: Sequence[int]) -> list[Entry]:
        """List those of these entries that there are, in order."""

    def piece(self, number: int, offset: int, size: int) -> bytes:
        """Give a part of what was kept."""

    def bodies(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Give what was kept of these entries, but for what is not as it was written."""


def spans_of(records: Iterable[bytes], *, replayed: int, at: float, read_at: float | None) -> list[Span]:
    """Make spans without a file of records that are replayed, in order; `replayed` is how many there were before."""
    parts: list[list[bytes]] = []
    size = SPAN_BYTES
    for record in records:
        if size + len(record) > SPAN_BYTES or len(parts[-1]) == SPAN_RECORDS:
            parts.append([])
            size = 0
        parts[-1].append(record)
        size += len(record) + 1
    spans = []
    for part in parts:
        replayed += len(part)
        ends = array("Q", accumulate(len(record) + 1 for record in part))
        body = b"\n".join(part) + b"\n"
        spans.append(Span(body=body, ends=ends, offset=-replayed, at=at, read_at=read_at))
    return spans

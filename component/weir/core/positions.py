"""Where a watched file stands: who it is, and which of its bytes are accounted for.

Owns the arithmetic of byte ranges. Knows nothing of how a file is found, read or stored.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

PACKED: Final = 10**18  # no file is as large: from here on an offset is one among what a compressed file unpacks to
MOST_RUNGS = 6
RUNG_BYTES = 1_024  # from one rung to the next, and from the head of the file to the first, at least
RUNG_HASH_BYTES = 8


class Rung(NamedTuple):
    """An earlier position: how far it was, and the start of the hash of the bytes just before it."""

    at: int
    tail: bytes


class FilePosition:
    """One generation of one file of one stream.

    A byte is accounted for once the record it belongs to is settled or stored: `position` is the end of the accounted
    prefix, `beyond` the accounted ranges after it (ascending, neither touching nor overlapping). A file is known by
    inode, birth time (nanoseconds, None where the file system has none) and the hash of its first `head_length` bytes;
    `tail` is the hash of the bytes just before `position`, empty while nobody has hashed them. `rungs` are a few
    earlier positions, close together near `position` and ever farther apart before it: should the file lose its end,
    they tell how far it is still what was read. `number` is its row id, 0 until it has one.
    """

    __slots__ = (
        "beyond",
        "birth",
        "changed",
        "format",
        "generation",
        "gone_since",
        "head",
        "head_length",
        "inode",
        "name",
        "number",
        "position",
        "rungs",
        "stream",
        "tail",
        "vanished",
    )

    def __init__(
        self,
        *,
        stream: int,
        name: bytes,
        inode: int,
        birth: int | None,
        head: bytes = b"",
        head_length: int = 0,
        generation: int = 0,
        fmt: str = "lines",
        number: int = 0,
    ) -> None:
        """Begin at the start of the file, with nothing accounted for."""
        self.stream = stream
        self.name = name
        self.inode = inode
        self.birth = birth
        self.head = head
        self.head_length = head_length
        self.generation = generation
        self.format = fmt
        self.number = number
        self.position = 0
        self.beyond: list[tuple[int, int]] = []
        self.tail = b""
        self.rungs: list[Rung] = []
        self.gone_since: float | None = None  # wall time at which it was found to be gone for good
        self.vanished = False  # its directory no longer shows it: what is read of it may not be there to be read again
        self.changed = False  # differs from its row

    @property
    def identity(self) -> tuple[int, int | None, int]:
        """Give what tells this generation of this file from every other one of its stream."""
        return self.inode, self.birth, self.generation

    def as_new(self) -> FilePosition:
        """Give the same generation of the same file without a row, and with nothing accounted for."""
        return FilePosition(
            stream=self.stream,
            name=self.name,
            inode=self.inode,
            birth=self.birth,
            head=self.head,
            head_length=self.head_length,
            generation=self.generation,
            fmt=self.format,
        )

    def account(self, start: int, end: int) -> None:
        """Account for the bytes [start, end)."""
        if end <= start:
            return
        self.changed = True
        before = self.position
        if start <= self.position:
            self.position = max(self.position, end)
        else:
            self._merge(start, end)
        while self.beyond and self.beyond[0][0] <= self.position:
            self.position = max(self.position, self.beyond.pop(0)[1])
        if self.position != before:
            if self.tail:
                self._leave_rung(before)
            self.tail = b""  # it was of other bytes: those before the old position

    def _leave_rung(self, at: int) -> None:
        """Keep the position that was hashed last as a rung; where there are too many, the least useful one goes."""
        rungs = self.rungs
        if at < (rungs[-1].at if rungs else self.head_length) + RUNG_BYTES:
            return
        rungs.append(Rung(at, self.tail[:RUNG_HASH_BYTES]))
        if len(rungs) > MOST_RUNGS:
            del rungs[min(range(len(rungs) - 1), key=self._worth)]

    def _worth(self, index: int) -> float:
        """Say by how much more would be read again without this rung, in relation to what is read again with it."""
        below = self.rungs[index - 1].at if index else 0
        above = self.rungs[index + 1].at
        return (self.position - below) / (self.position - above + RUNG_BYTES)

    def _merge(self, start: int, end: int) -> None:
        ranges = self.beyond
        first = bisect_left(ranges, (start, start))
        if first and ranges[first - 1][1] >= start:
            first -= 1
        last = first
        while last < len(ranges) and ranges[last][0] <= end:
            start = min(start, ranges[last][0])
            end = max(end, ranges[last][1])
            last += 1
        ranges[first:last] = [(start, end)]

    def unaccounted_from(self, offset: int) -> tuple[int, int | None]:
        """Give the next range at or after `offset` that is not accounted for: (start, end), end None if open."""
        start = max(offset, self.position)
        for low, high in self.beyond:
            if start < low:
                return start, low
            start = max(start, high)
        return start, None

    @property
    def reach(self) -> int:
        """Give the end of the last accounted byte."""
        return self.beyond[-1][1] if self.beyond else self.position

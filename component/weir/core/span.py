"""A span: a run of consecutive records of one stream, read together from one place.

Owns where each record lies and what became of it (waiting, out, settled). Knows nothing of files, rows or brokers.
Work is per span, not per record; the law counts records.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Iterator

from weir.core.positions import FilePosition

SPAN_RECORDS = 256  # a span holds at most so many records
SPAN_BYTES = 65_536  # and so many bytes, unless a single record is larger
RECORD_OVERHEAD = 64  # what a queued record counts beyond its own bytes

WAITING, OUT, SETTLED, ABSENT = 0, 1, 2, 3  # absent: read, but not arrived in the line yet

Runs = tuple[tuple[int, int], ...]  # half-open index ranges [low, high), ascending, not touching


class Span:
    """Consecutive records of one stream.

    `body` is canonical: each record's bytes followed by one newline, so record i is `body[ends[i-1] : ends[i]-1]`
    whatever it contains. `offset` is where the span begins in its source: a byte offset in a file, a sequence number
    for a pipe. `extents`, where given, holds the file offset just past each record and what belongs to it (blank lines,
    a carriage return); without it the records lie in the file exactly as in the body. `seq` orders the spans of all
    streams by arrival and is the row id once stored. `at` is the wall time of reading, `read_at` the monotonic one
    (None for a span of an earlier process).
    """

    __slots__ = (
        "at",
        "attempts",
        "body",
        "counted",
        "counted_bytes",
        "dirty",
        "ends",
        "extents",
        "file",
        "high",
        "low",
        "offset",
        "read_at",
        "seq",
        "settled",
        "state",
        "stored",
        "waiting",
    )

    def __init__(
        self,
        *,
        body: bytes,
        ends: array[int],
        offset: int,
        at: float,
        file: FilePosition | None = None,
        extents: array[int] | None = None,
        read_at: float | None = None,
    ) -> None:
        """Take the records as read; all of them wait."""
        self.body = body
        self.ends = ends
        self.offset = offset
        self.at = at
        self.read_at = read_at
        self.file = file
        self.extents = extents
        self.seq = 0  # given by the line that admits it
        self.stored = False  # there is a row of it
        self.counted = 0  # how many settled records the last commit has counted
        self.counted_bytes = 0  # what its rows count in the queue's bytes
        self.dirty = False  # something happened to it since the last commit
        self.attempts = 0  # how often records of it came back after they were sent
        self.state = bytearray(len(ends))
        self.low = 0  # no record below is waiting
        self.high = len(ends)  # no record from here on is waiting
        self.waiting = len(ends)
        self.settled = 0

    def __len__(self) -> int:
        """Count the records, whatever became of them."""
        return len(self.ends)

    def payload(self, index: int) -> bytes:
        """Give the bytes of one record."""
        return self.body[self.ends[index - 1] if index else 0 : self.ends[index] - 1]

    def payloads(self, low: int, high: int) -> list[bytes]:
        """Give the bytes of the records [low, high)."""
        body, ends = self.body, self.ends[low:high]
        begins = [self.ends[low - 1] if low else 0, *ends[:-1]]
        return [body[begin : end - 1] for begin, end in zip(begins, ends, strict=True)]

    def lines(self, low: int, high: int) -> bytes:
        """Give the bytes of the records [low, high) with a newline between each two."""
        return self.body[self.ends[low - 1] if low else 0 : self.ends[high - 1] - 1]

    def size(self, index: int) -> int:
        """Count the bytes of one record."""
        return self.ends[index] - (self.ends[index - 1] if index else 0) - 1

    @property
    def left(self) -> int:
        """Count the records that are not settled: waiting or out."""
        return len(self.state) - self.settled

    @property
    def weight(self) -> int:
        """Estimate the bytes of memory it costs: its body, what is kept for each record, and the object itself.

        A span of a file stands for the file too, as if it had no other: of very many small ones that is the most of it.
        """
        own = _BYTES_PER_SPAN + (0 if self.file is None else _BYTES_PER_FILE)
        return len(self.body) + _BYTES_PER_RECORD * len(self.ends) + own

    @property
    def durable(self) -> bool:
        """Tell whether a crash cannot lose it: it has a row, or its file still gives it."""
        return self.stored or (self.file is not None and not self.file.vanished)

    @property
    def at_rest(self) -> bool:
        """Tell whether its rows say all there is to say of it, so that it can be forgotten and loaded again."""
        return self.stored and not self.dirty and self.waiting == self.left

    @property
    def pristine(self) -> bool:
        """Tell whether all of its records wait and none ever left."""
        return self.waiting == len(self.state)

    def oldest(self) -> int:
        """Find the waiting record nearest to the old end; there must be one."""
        self.low = self.state.index(WAITING, self.low)
        return self.low

    def newest(self) -> int:
        """Find the waiting record nearest to the new end; there must be one."""
        self.high = self.state.rindex(WAITING, 0, self.high) + 1
        return self.high - 1

    def waiting_run(self, low: int) -> int:
        """Find the end of the run of waiting records that begins at `low`."""
        rest = self.state[low:]
        return low + len(rest) - len(rest.lstrip(b"\x00"))

    def waiting_runs(self, *, newest: bool = False) -> Iterator[tuple[int, int]]:
        """Go through the waiting records as index ranges, the oldest first; with `newest` one by one from there on."""
        if newest:
            at = self.state.rfind(_WAITS)
            while at >= 0:
                yield at, at + 1
                at = self.state.rfind(_WAITS, 0, at)
            return
        low = self.state.find(_WAITS, self.low)
        while low >= 0:
            high = self.waiting_run(low)
            yield low, high
            low = self.state.find(_WAITS, high)

    def withhold(self) -> None:
        """Let no record wait yet: they arrive one by one."""
        self.state = bytearray([ABSENT]) * len(self.ends)
        self.waiting = 0
        self.low = len(self.ends)
        self.high = 0

    def arrive(self, index: int) -> None:
        """Let a record wait, in its place, that was withheld or out."""
        self.state[index] = WAITING
        self.waiting += 1
        self.low = min(self.low, index)
        self.high = max(self.high, index + 1)

    def come_back(self, low: int, high: int) -> None:
        """Let the records [low, high), which are out, wait again."""
        self.state[low:high] = _WAITS * (high - low)
        self.waiting += high - low
        self.low = min(self.low, low)
        self.high = max(self.high, high)

    def waits(self, low: int, high: int) -> bool:
        """Tell whether all of the records [low, high) wait."""
        return self.waiting_run(low) >= high

    def wait_again(self) -> None:
        """Let all that is not settled wait, as in a span that no books know: it had not arrived, or it was out."""
        self.dirty = False
        self.counted = self.settled
        self.state = self.state.translate(_ALL_WAIT)
        self.waiting, self.low, self.high = self.left, 0, len(self.ends)

    def take_run(self, low: int, high: int) -> None:
        """Send the waiting records [low, high) out."""
        self.state[low:high] = bytes([OUT]) * (high - low)
        self.waiting -= high - low

    def settle_out(self, low: int, high: int) -> None:
        """Mark the records [low, high), which are out, as gone for good."""
        self.state[low:high] = bytes([SETTLED]) * (high - low)
        self.settled += high - low

    def settle(self, index: int) -> None:
        """Mark a record as gone for good."""
        if self.state[index] == WAITING:
            self.waiting -= 1
        self.state[index] = SETTLED
        self.settled += 1

    def settled_runs(self) -> Runs:
        """List the settled records as index ranges."""
        return tuple(_runs(self.state, SETTLED))

    def settle_runs(self, runs: Iterable[tuple[int, int]]) -> None:
        """Mark the records of these ranges, which are waiting, as gone for good."""
        for low, high in runs:
            self.state[low:high] = bytes([SETTLED]) * (high - low)
            self.waiting -= high - low
            self.settled += high - low

    def split(self, index: int) -> Span:
        """Keep the records before `index`, all of them waiting, and give the others as a span of their own."""
        cut = self.ends[index - 1]
        rest = Span(
            body=self.body[cut:],
            ends=array("Q", (end - cut for end in self.ends[index:])),
            offset=self.offset + index if self.file is None else self.extent(0, index)[1],
            at=self.at,
            read_at=self.read_at,
            file=self.file,
            extents=None if self.extents is None else self.extents[index:],
        )
        self.body, self.ends, self.state = self.body[:cut], self.ends[:index], self.state[:index]
        self.extents = None if self.extents is None else self.extents[:index]
        self.waiting = self.high = index
        return rest

    def waiting_bytes(self) -> int:
        """Count the queue's bytes of what waits: the records and the overhead of each."""
        if self.pristine:
            return len(self.body) + (RECORD_OVERHEAD - 1) * self.waiting
        return sum(self.run_bytes(low, high) for low, high in _runs(self.state, WAITING))

    def left_bytes(self) -> int:
        """Count the queue's bytes of what is not settled."""
        if not self.left:
            return 0
        total = len(self.body) + (RECORD_OVERHEAD - 1) * len(self)
        return total - sum(self.run_bytes(low, high) for low, high in _runs(self.state, SETTLED))

    def run_length(self, low: int, high: int) -> int:
        """Count the bytes of the records [low, high) and of a newline after each."""
        return self.ends[high - 1] - (self.ends[low - 1] if low else 0)

    def run_bytes(self, low: int, high: int) -> int:
        """Count the queue's bytes of the records [low, high)."""
        return self.ends[high - 1] - (self.ends[low - 1] if low else 0) + (RECORD_OVERHEAD - 1) * (high - low)

    def extent(self, low: int, high: int) -> tuple[int, int]:
        """Give the range of the source that the records [low, high) cover."""
        if self.extents is not None:
            return (self.extents[low - 1] if low else self.offset, self.extents[high - 1])
        return (self.offset + (self.ends[low - 1] if low else 0), self.offset + self.ends[high - 1])

    def place(self, index: int) -> int:
        """Give where one record begins in its source: a byte offset, or its sequence number in a pipe."""
        if self.file is None:
            return self.offset + index
        return self.extent(index, index + 1)[0]

    def checksum(self) -> int:
        """Make the checksum that its row carries, over all that cannot change."""
        head = f"{self.seq} {self.offset} {self.at!r} {len(self.ends)}".encode()
        extents = b"" if self.extents is None else self.extents.tobytes()
        return zlib.crc32(self.body, zlib.crc32(extents, zlib.crc32(self.ends.tobytes(), zlib.crc32(head))))


_WAITS = bytes([WAITING])
_BYTES_PER_RECORD = 9  # an end and a state
_BYTES_PER_SPAN = 500
_BYTES_PER_FILE = 1_000  # what its source keeps of it until all of it is settled
_ALL_WAIT = bytes(SETTLED if state == SETTLED else WAITING for state in range(256))


def _runs(state: bytearray, wanted: int) -> Iterator[tuple[int, int]]:
    mark = bytes([wanted])
    low = state.find(mark)
    while low >= 0:
        rest = state[low:]
        length = len(rest) - len(rest.lstrip(mark))
        yield low, low + length
        low = state.find(mark, low + length)

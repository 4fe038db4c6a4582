"""A source with its records in memory: the lines of one file, or of one pipe, in the hands of the test.

A file can be read again from where its position stands, a pipe cannot; everything else is the same.
"""

from __future__ import annotations

from itertools import takewhile

from tests.spans import make_span
from weir.core.changes import StreamState
from weir.core.ports import Reading, SourceCounts
from weir.core.positions import FilePosition
from weir.core.span import SPAN_RECORDS, Span

EPOCH = 1_700_000_000.0  # the wall time at the monotonic time 0


class Tape:
    """What there is to read: it outlives every reader of it, as a file or a pipe outlives a process."""

    def __init__(self, *, replayable: bool, fmt: str = "lines") -> None:
        self.replayable = replayable
        self.format = fmt
        self.records: list[bytes] = []
        self.begins: list[int] = [0]  # where each record begins in the file, and where the next one will
        self.taken = 0  # of a pipe: whoever reads next begins here

    def write(self, records: list[bytes]) -> None:
        for record in records:
            self.records.append(record)
            self.begins.append(self.begins[-1] + len(record) + 1)


class FakeSource:
    """Fulfils `weir.core.ports.Source`."""

    def __init__(self, tape: Tape, state: StreamState) -> None:
        """Go on where the last commit stands in the file, or where the last reader of the pipe stopped."""
        self.replayable = tape.replayable
        self._tape = tape
        self._sequence = state.sequence
        known = next(iter(state.files), None)
        self._file = known or FilePosition(stream=state.stream, name=b"tape", inode=1, birth=1, fmt=tape.format)
        self._next = 0 if tape.replayable else tape.taken
        self._closed = False

    def read(self, now: float, max_records: int) -> Reading | None:
        if self._closed:
            return None
        self._skip_accounted()
        limit = min(max_records, SPAN_RECORDS)
        span = self._from_file(limit, now) if self.replayable else self._from_pipe(limit, now)
        return None if span is None else Reading(span, ())

    def _from_file(self, limit: int, now: float) -> Span | None:
        first = self._next
        fresh = takewhile(self._is_unaccounted, range(first, min(first + limit, len(self._tape.records))))
        records = [self._tape.records[index] for index in fresh]
        self._next += len(records)
        offset = self._tape.begins[first]
        return make_span(records, offset=offset, at=EPOCH + now, read_at=now, file=self._file) if records else None

    def _from_pipe(self, limit: int, now: float) -> Span | None:
        records = self._tape.records[self._next : self._next + limit]
        span = make_span(records, offset=self._sequence, at=EPOCH + now, read_at=now) if records else None
        self._next += len(records)
        self._tape.taken = self._next
        self._sequence += len(records)
        return span

    def _is_unaccounted(self, index: int) -> bool:
        begin = self._tape.begins[index]
        return self._file.unaccounted_from(begin)[0] == begin

    def _skip_accounted(self) -> None:
        while self.replayable and self._next < len(self._tape.records) and not self._is_unaccounted(self._next):
            self._next += 1

    def advance(self, now: float) -> float | None:
        return None

    def before_commit(self) -> list[FilePosition]:
        return [self._file] if self._file.changed else []

    def forgotten(self) -> list[FilePosition]:
        return []

    def after_commit(self, now: float) -> None:
        """Do nothing: whoever commits clears `changed`."""

    def counts(self) -> SourceCounts:
        return SourceCounts()

    def unfinished(self) -> dict[int, int]:
        return {}

    def expect(self, files: dict[int, int]) -> None:
        """Do nothing: there are no files that could vanish."""

    def held_by(self) -> str | None:
        return None

    def unread(self) -> tuple[int, int]:
        self._skip_accounted()
        left = self._tape.begins[-1] - self._tape.begins[self._next]
        return left, int(left > 0)

    def exhausted(self) -> bool:
        return self.unread()[0] == 0

    def close(self) -> None:
        self._closed = True

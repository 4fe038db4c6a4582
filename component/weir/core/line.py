"""The queue of one stream: a line of spans in order of arrival, of which only the ends need to be in memory.

Owns what waits, the limits, who goes next and who is cut when there is no room. Knows nothing of files, rows or
brokers: where the line goes on in the store it has a gap, says so (`lacks`) and is fed.

        old end                                                            new end
        [span][span]        . . . stored, not in memory: the gap . . .        [span][span]
        `left`                                                                     `right`

While there is no gap every span is in `left`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from weir.core.modes import End, Mode
from weir.core.span import RECORD_OVERHEAD, Span


class Cut(NamedTuple):
    """Waiting records [low, high) of a span that were taken out of the line for good."""

    span: Span
    low: int
    high: int


class Gap(NamedTuple):
    """What of the line is only in the store: the spans whose seq lies strictly between the two."""

    after: int
    before: int


class Loaded(NamedTuple):
    """What a store gave for one end of a gap."""

    spans: list[Span]  # in order of arrival
    damaged: list[tuple[int, int]]  # rows that are not what was written: seq, and the records lost with it
    edge: int  # the seq that was looked at last, seen from the end
    last: bool  # the gap is empty now


class Line:
    """What waits in one stream. Limits count what waits: records, and bytes with RECORD_OVERHEAD for each record."""

    def __init__(self, mode: Mode, max_records: int | None, max_bytes: int | None) -> None:
        """Begin empty. None is no limit; at least one of the two must be a limit."""
        self.mode = mode
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.records = 0
        self.bytes = 0
        self.gap_records = 0
        self.gap_bytes = 0
        self.forgettings = 0  # how often spans in memory were let go of that still have something waiting
        self._gap = Gap(0, 0)
        self._left: deque[Span] = deque()
        self._right: deque[Span] = deque()
        self._next: Span | None = None
        self._arriving: Span | None = None
        self._arrived = 0

    def begin_with(self, records: int, size: int, gap: Gap) -> None:
        """Begin with a backlog that lies in the store as a whole."""
        self.records = self.gap_records = records
        self.bytes = self.gap_bytes = size
        self._gap = gap

    def change(self, mode: Mode, max_records: int | None, max_bytes: int | None) -> None:
        """Go by another mode and other limits from now on.

        Nothing is cut for that: what is over the new limits goes first when the next record arrives.
        """
        if self._arriving is not None:  # what was let in record by record by the old mode is in as a whole
            span, self._arriving = self._arriving, None
            for index in range(self._arrived, len(span)):
                span.arrive(index)
                self.records += 1
                self.bytes += span.size(index) + RECORD_OVERHEAD
        self.mode, self.max_records, self.max_bytes = mode, max_records, max_bytes
        self._next = None

    # -- room ---------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Say how many more records may wait, as far as counts go; a large number where there is no such limit."""
        return 1 << 30 if self.max_records is None else max(0, self.max_records - self.records)

    @property
    def half_full(self) -> bool:
        """Tell whether half of what may wait does."""
        return (self.max_records is not None and 2 * self.records >= self.max_records) or (
            self.max_bytes is not None and 2 * self.bytes >= self.max_bytes
        )

    def fitting(self, span: Span) -> int:
        """Say how many of the first records of a span fit beside what waits."""
        count = min(len(span), self.room())
        if self.max_bytes is None:
            return count
        free = self.max_bytes - self.bytes
        while count and span.ends[count - 1] + (RECORD_OVERHEAD - 1) * count > free:
            count -= 1
        return count

    def over(self) -> tuple[int, int]:
        """Say by how many records and bytes the line is over its limits; (0, 0) if it is not."""
        return (
            0 if self.max_records is None else max(0, self.records - self.max_records),
            0 if self.max_bytes is None else max(0, self.bytes - self.max_bytes),
        )

    # -- arriving -----------------------------------------------------------------------------------------------------

    def append(self, span: Span) -> None:
        """Put a span at the new end, whatever the limits say."""
        (self._right if self._has_gap else self._left).append(span)
        self.records += span.waiting
        self.bytes += span.waiting_bytes()
        if self.mode.take is End.NEW:
            self._next = None

    def admit(self, span: Span) -> list[Cut]:
        """Let the records of a span arrive one after the other, cutting by the mode where there is no room.

        Each record must fit an empty line. Afterwards, while `arriving`: the end that is cut lacks spans; feed it and
        call `make_room` again.
        """
        if self.mode.cut is End.NEW and self.fitting(span) < len(span):
            span.withhold()
            self._arriving = span
            self._arrived = 0
        self.append(span)
        return self.make_room()

    @property
    def arriving(self) -> bool:
        """Tell whether more must be cut than is in memory."""
        return self._arriving is not None or (self.mode.cut is End.OLD and any(self.over()))

    def make_room(self) -> list[Cut]:
        """Cut until what arrives fits, or until the end that is cut lacks spans."""
        return self._cut_until_in() if self.mode.cut is End.NEW else self._cut_until_fit()

    def _cut_until_fit(self) -> list[Cut]:
        # One after the other or all at once is the same here: the oldest go until the rest fits.
        cuts = []
        while any(over := self.over()) and not self.lacks(End.OLD):
            cuts.append(self._cut_old(*over))
        return cuts

    def _cut_until_in(self) -> list[Cut]:
        cuts: list[Cut] = []
        span = self._arriving
        while span is not None:
            size = span.size(self._arrived) + RECORD_OVERHEAD
            while not self._fits(size):
                if self.lacks(End.NEW):
                    return cuts
                cuts.append(self._cut_new())
            span.arrive(self._arrived)
            self.records += 1
            self.bytes += size
            self._arrived += 1
            if self._arrived == len(span):
                span = self._arriving = None
        return cuts

    def _fits(self, size: int) -> bool:
        return (self.max_records is None or self.records < self.max_records) and (
            self.max_bytes is None or self.bytes + size <= self.max_bytes
        )

    # -- cutting ------------------------------------------------------------------------------------------------------

    def _cut_old(self, records: int, size: int) -> Cut:
        """Cut the oldest waiting run, or as much of it as takes away so many records and bytes."""
        span = self._first(End.OLD)
        low = span.oldest()
        high, end = low, span.waiting_run(low)
        freed = 0
        while high < end and (high - low < records or freed < size):
            freed += span.size(high) + RECORD_OVERHEAD
            high += 1
        return self._cut(span, low, high, freed)

    def _cut_new(self) -> Cut:
        span = self._first(End.NEW)
        index = span.newest()
        return self._cut(span, index, index + 1, span.size(index) + RECORD_OVERHEAD)

    def cut_span(self, span: Span) -> list[Cut]:
        """Cut all that waits of a span that is in memory."""
        cuts = []
        while span.waiting:
            low = span.oldest()
            high = span.waiting_run(low)
            cuts.append(self._cut(span, low, high, span.run_bytes(low, high)))
        return cuts

    def _cut(self, span: Span, low: int, high: int, size: int) -> Cut:
        span.settle_runs(((low, high),))
        self.records -= high - low
        self.bytes -= size
        return Cut(span, low, high)

    # -- leaving and coming back --------------------------------------------------------------------------------------

    def peek(self) -> Span | None:
        """Give the span that the next record is taken from; None if nothing in memory may be sent from that end.

        What is not durable yet is passed over: a crash would lose it, though the broker had it.
        """
        if self._next is None or not self._next.waiting or not self._next.durable:
            self._trim()
            self._next = next((span for span in self._waiting(self.mode.take) if span.durable), None)
        return self._next

    def refresh(self) -> None:
        """Look anew for the next record: a commit has made more of the line durable."""
        self._next = None

    def next_run(self, span: Span, most: int) -> range:
        """Give which records of that span are the next, at most so many, as far as they lie in the order they go."""
        if self.mode.take is End.NEW:
            return range(span.newest(), span.newest() + 1)
        low = span.oldest()
        return range(low, min(span.waiting_run(low), low + most))

    def take_run(self, span: Span, run: range) -> None:
        """Send out records that `next_run` gave."""
        self.take_slice(span, run.start, run.stop)

    def give_back(self, span: Span, low: int, high: int) -> None:
        """Let records that were out wait again in their old place; they may exceed the limits and cut nothing."""
        span.come_back(low, high)
        self.records += high - low
        self.bytes += span.run_bytes(low, high)
        self._next = None

    def durable(self) -> Iterator[Span]:
        """Go through the spans in memory that may be sent from, in the order in which they go, as far as the gap."""
        return (span for span in self._waiting(self.mode.take) if span.durable)

    def take_slice(self, span: Span, low: int, high: int) -> None:
        """Send out waiting records of a span in memory."""
        span.take_run(low, high)
        self.records -= high - low
        self.bytes -= span.run_bytes(low, high)

    def oldest(self) -> Span | None:
        """Give the oldest span in memory with something waiting; ask `lacks(End.OLD)` first."""
        return next(self._waiting(End.OLD), None)

    # -- what is in memory --------------------------------------------------------------------------------------------

    @property
    def _has_gap(self) -> bool:
        return self.gap_records > 0

    def resident(self) -> Iterator[Span]:
        """Go through the spans in memory, in order of arrival."""
        return chain(self._left, self._right)

    def resident_bytes(self) -> int:
        """Count what the spans in memory cost."""
        return sum(span.weight for span in self.resident())

    def lacks(self, end: End) -> Gap | None:
        """Say which stored spans must be fed before anything can be taken from or cut at this end; None if none."""
        if not self._has_gap:
            return None
        part = self._left if end is End.OLD else self._right
        return None if any(span.waiting for span in part) else self._gap

    @property
    def behind(self) -> Gap | None:
        """Say which stored spans lie behind those in memory at the end that is taken from; None if none do."""
        return self._gap if self._has_gap else None

    def lacks_durable(self) -> Gap | None:
        """Say which stored spans must be fed before anything durable can be taken; None if none."""
        return self._gap if self._has_gap and self.peek() is None else None

    def feed(self, end: End, loaded: Loaded) -> None:
        """Take in what was loaded for an end."""
        for span in loaded.spans:
            self.gap_records -= span.waiting
            self.gap_bytes -= span.waiting_bytes()
        if end is End.OLD:
            self._left.extend(loaded.spans)
            self._gap = Gap(loaded.edge, self._gap.before)
        else:
            self._right.extendleft(reversed(loaded.spans))
            self._gap = Gap(self._gap.after, loaded.edge)
        if loaded.last or not self._has_gap:
            self.records -= self.gap_records  # 0 unless the store held less than it said
            self.bytes -= self.gap_bytes
            self.gap_records = self.gap_bytes = 0
            self._left.extend(self._right)
            self._right.clear()

    def forget(self, keep_bytes: int) -> None:
        """Forget the middle of the line as far as its rows say everything, keeping so many bytes near each end."""
        self.purge()
        if self._has_gap:
            self._forget(self._right, 0, _end_of_middle(self._right, keep_bytes))
            return
        spans = self._left
        start = len(spans) - _end_of_middle(deque(reversed(spans)), keep_bytes)
        self._forget(spans, start, _end_of_middle(spans, keep_bytes))

    def _forget(self, spans: deque[Span], start: int, stop: int) -> None:
        """Forget the run of spans at rest that begins at `start`, but none from `stop` on."""
        listed = list(spans)
        end = start
        while end < stop and listed[end].at_rest:
            end += 1
        if end <= start:
            return
        gone = listed[start:end]
        self.forgettings += 1
        if not self._has_gap:
            self._gap = Gap(gone[0].seq - 1, gone[-1].seq + 1)
            self._left, self._right = deque(listed[:start]), deque(listed[end:])
        else:
            self._gap = Gap(self._gap.after, gone[-1].seq + 1)
            self._right = deque(listed[end:])
        self.gap_records += sum(span.waiting for span in gone)
        self.gap_bytes += sum(span.waiting_bytes() for span in gone)
        self._next = None

    def _trim(self) -> None:
        """Let go of the spans at the ends of which nothing is left."""
        for part in (self._left, self._right):
            while part and not part[0].left:
                part.popleft()
            while part and not part[-1].left:
                part.pop()

    def purge(self) -> None:
        """Let go of the spans of which nothing is left."""
        if any(not span.left for span in self.resident()):
            self._left = deque(span for span in self._left if span.left)
            self._right = deque(span for span in self._right if span.left)

    def _waiting(self, end: End) -> Iterator[Span]:
        """Go through the spans with something waiting from an end on, as far as the gap."""
        parts: Iterable[Span]
        if end is End.OLD:
            parts = self._left
        else:
            parts = reversed(self._right) if self._has_gap else reversed(self._left)
        return (span for span in parts if span.waiting)

    def _first(self, end: End) -> Span:
        while end is End.OLD and self._left and not self._left[0].left:
            self._left.popleft()  # or a flood would look at all it has cut, again and again
        return next(self._waiting(end))


def _end_of_middle(spans: deque[Span], keep_bytes: int) -> int:
    """Count the spans that lie before the last `keep_bytes` of them."""
    kept = 0
    count = len(spans)
    for span in reversed(spans):
        kept += span.weight
        if kept > keep_bytes:
            break
        count -= 1
    return count

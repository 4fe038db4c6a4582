"""The queue of one stream at work: its line, what is cut from it, and what of it the store has to give.

Owns who enters and who has to go: numbering, cutting by the mode, expiry, loading. Knows nothing of where records come
from, nor of where they go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from weir.core.changes import StreamState
from weir.core.line import Cut, Gap, Line, Loaded
from weir.core.modes import MODES, End
from weir.core.settings import QueueSettings
from weir.core.span import Span
from weir.forwarder.books import Books

LOAD_SPANS = 16
MOST_LOAD_SPANS = 128  # 8 MiB at the most

Notice = Callable[..., None]


class Backlog(Protocol):
    """What a stream needs of the store."""

    def load(self, stream: int, gap: Gap, limit: int, *, newest: bool) -> Loaded:
        """Load spans from one end of a gap."""


class Now(NamedTuple):
    """What admitting depends on, looked up once a turn."""

    monotonic: float
    wall: float
    link_works: bool
    disk_low: bool


class Queue:
    """What waits in one stream, and the rules by which it does."""

    def __init__(
        self, name: str, settings: QueueSettings, state: StreamState, *, books: Books, backlog: Backlog, notice: Notice
    ) -> None:
        """Begin with what the store holds."""
        self.line = Line(MODES[settings.mode], settings.max_records, settings.max_bytes)
        self.line.begin_with(state.counts["pending"], state.backlog_bytes, state.gap)
        self.cutting = False  # something arrives, and more must be cut for it than was in memory
        self._name = name
        self._settings = settings
        self._books = books
        self._backlog = backlog
        self._notice = notice
        self._next_seq = state.next_seq

    def apply(self, settings: QueueSettings) -> None:
        """Go by other settings from now on."""
        self._settings = settings
        self.line.change(MODES[settings.mode], settings.max_records, settings.max_bytes)
        self.cutting = False

    def limit(self, now: Now) -> None:
        """Take a low disk for a full queue: what waits now is all that may wait."""
        configured = self._settings.max_records
        if now.disk_low:
            held = max(1, self.line.records)
            self.line.max_records = held if configured is None else min(configured, held)
        else:
            self.line.max_records = configured

    # -- who enters and who has to go ---------------------------------------------------------------------------------

    def admit(self, span: Span, wall: float) -> None:
        """Let a numbered span in, by the mode."""
        self.cutting = True
        self._drop_all(self.line.admit(span), wall)
        self.go_on(wall)

    def go_on(self, wall: float) -> None:
        """Cut until what arrives is in, a loaded part of the line at a time, or until a commit should come first."""
        while self.cutting and not self._books.crowded:
            self.cutting = self.line.arriving
            if self.cutting and self.line.mode.cut is not None:
                self._fill(self.line.mode.cut)
                self._drop_all(self.line.make_room(), wall)

    def _drop_all(self, cuts: list[Cut], wall: float) -> None:
        if self.line.mode.reason is not None:
            self._drop(cuts, self.line.mode.reason, wall)

    def number(self, span: Span) -> None:
        """Give a span its place in the order of arrival."""
        span.seq = self._next_seq
        self._next_seq += 1

    def _drop(self, cuts: list[Cut], reason: str, wall: float) -> None:
        """Count what was cut out of the line."""
        if cuts and (records := self._books.dropped(cuts, reason, wall)):
            self._notice("dropped", stream=self._name, reason=reason, records=records, mode=self.line.mode.name)

    def expire(self, now: Now) -> None:
        """Drop what has waited too long."""
        age = self._settings.max_age_seconds
        if age is None:
            return
        while not self._books.crowded:
            self._fill(End.OLD)
            span = self.line.oldest()
            if span is None or _age(span, now) <= age:
                return
            self._drop(self.line.cut_span(span), "expired", now.wall)

    # -- what the store has to give -----------------------------------------------------------------------------------

    def _fill(self, end: End) -> None:
        """Load stored spans where an end of the line lacks them."""
        while (gap := self.line.lacks(end)) is not None:
            self._load(end, gap)

    def _load(self, end: End, gap: Gap, limit: int = LOAD_SPANS) -> None:
        loaded = self._backlog.load(self._books.stream, gap, limit, newest=end is End.NEW)
        for seq, left in loaded.damaged:
            self._books.damaged(seq, left)
            self._notice("quarantined", stream=self._name, reason="corrupt", records=left)
        self.line.feed(end, loaded)

    def next(self) -> Span | None:
        """Give the span that the next record is taken from; None if nothing that is durable waits."""
        span = self.line.peek()
        while span is None and (gap := self.line.lacks_durable()) is not None:
            self._load(self.line.mode.take, gap)
            span = self.line.peek()
        return span

    def look_further(self, seen: int) -> bool:
        """Load more of what the store holds behind what is in memory; tell whether there was any.

        Who has `seen` so many spans in vain gets more at a time: they are small.
        """
        gap = self.line.behind
        if gap is not None:
            self._load(self.line.mode.take, gap, min(max(LOAD_SPANS, seen), MOST_LOAD_SPANS))
        return gap is not None


def _age(span: Span, now: Now) -> float:
    """Give the seconds since a span was read; by the wall clock only where another process read it.

    A wall time before 2020 was taken before the clock was set: its age is not known, so it is 0.
    """
    if span.read_at is not None:
        return now.monotonic - span.read_at
    return now.wall - span.at if span.at >= _CLOCK_SET else 0.0


_CLOCK_SET = 1_577_836_800.0  # 2020-01-01T00:00:00Z

"""One stream: its source, its line and its books, and what may come from the one into the other.

Owns reading: how much is taken from the source and when it has to wait, what a commit writes of it, and what outlives
a store that failed. Knows nothing of the broker but whether the link works.
"""

from __future__ import annotations

from weir.core.changes import Change, StreamState
from weir.core.line import Line
from weir.core.messages import FILE, JSON_FORMATS, Identity, Messages
from weir.core.modes import End, Mode
from weir.core.ports import Reading, Source, SourceCounts
from weir.core.positions import PACKED, FilePosition
from weir.core.quarantine import Kept, spans_of
from weir.core.settings import StreamSettings
from weir.core.span import SPAN_RECORDS, Span
from weir.core.topics import placeholders
from weir.core.view import StreamView
from weir.forwarder.batches import Batches
from weir.forwarder.books import Books
from weir.forwarder.carried import Carried, is_gone
from weir.forwarder.queue import Backlog, Notice, Now, Queue
from weir.forwarder.replay import NOTHING, Staged, choose, refuse_all

READS_A_TURN = 16  # so many looks into one source before outcomes are looked at again
RESIDENT_BYTES = 3 << 20  # what a stream keeps in memory of its line; the rest waits in the source or the store
KEEP_BYTES = 1 << 20  # what stays in memory near each end of a line that lies in the store

SOURCE_COUNTERS = (
    "sourceTruncatedBytes",
    "sourceVanishedFiles",
    "sourceLateBytes",
    "sourceSkippedFiles",
    "possibleTwins",
)


class Stream:
    """One source, one queue, one topic."""

    def __init__(
        self,
        *,
        name: str,
        settings: StreamSettings,
        topic: str,
        thing: str,
        epoch: str,
        state: StreamState,
        source: Source,
        backlog: Backlog,
        notice: Notice,
    ) -> None:
        """Begin with the backlog that the store holds."""
        self.name = name
        self.settings = settings
        self.topic = topic
        self.topic_bytes = len(topic.encode())
        self.source = source
        self.books = Books(state, topic, thing, epoch)
        self.messages = Messages(
            Identity(thing, name, epoch),
            topic,
            envelope=settings.envelope,
            pipe_is_json=settings.source.of_pipe in JSON_FORMATS,
        )
        self.queue = Queue(name, settings.queue, state, books=self.books, backlog=backlog, notice=notice)
        self.batches = Batches(settings, self.messages, self.queue) if settings.batch.in_use else None
        self.more_comes = False  # the source has more for us in the next turn
        self.held_by: str | None = None
        self.stopping = False
        self._notice = notice
        self._arrival: Span | None = None  # what of the last reading did not fit: the caller keeps it
        self._room = 0  # what the last turn left
        self._leaving = False  # there is more room than it left
        self._staged = NOTHING  # of the quarantine, until the next commit
        self._recovered: tuple[FilePosition, ...] = ()  # files that are gone, and that the source does not know
        self._unstored_bytes = 0  # what is in memory and has no row: at most so much, and counted anew when it matters

    @property
    def line(self) -> Line:
        """Give what waits."""
        return self.queue.line

    @property
    def mode(self) -> Mode:
        """Give the queue mode."""
        return self.queue.line.mode

    def apply(self, settings: StreamSettings) -> None:
        """Go by other queue settings from now on; the rest of the settings must be the same."""
        self.settings = settings
        self.queue.apply(settings.queue)

    # -- admitting ----------------------------------------------------------------------------------------------------

    def admit(self, now: Now) -> bool:
        """Read what the queue has room for, or what its mode lets in; tell whether there may be more to do now.

        Reading one record for each that leaves would cost a look at the file for each. So while they leave, it waits
        for a spanful; the queue is filled up when they do not.
        """
        self.queue.limit(now)
        self.queue.expire(now)
        self.queue.go_on(now.wall)
        self._leaving = self.line.room() > self._room
        self.more_comes = self._read(now)
        self._room = self.line.room()
        return self.more_comes

    def _read(self, now: Now) -> bool:
        for _ in range(READS_A_TURN):
            if self.books.crowded and not self.stopping:
                return True  # a commit comes first
            self._admit_arrival(now)
            wanted = self._wanted(now)
            if not wanted:
                return False
            reading = self.source.read(now.monotonic, wanted)
            if reading is None:
                self.held_by = self.source.held_by()
                return False
            self._take_in(reading, now)
        return True

    def _wanted(self, now: Now) -> int:
        """Say how many records to ask for now; 0, with `held_by` set, if the source has to wait."""
        self.held_by = None
        if self.stopping:  # what was taken from a pipe cannot be read again, and is committed above the limits
            return SPAN_RECORDS
        if self._must_wait(now):
            self.held_by = "diskLow" if now.disk_low else "queueFull"
            return 0
        if self.mode.cut is not None and not self._waits_when_full(now):
            return SPAN_RECORDS
        return min(SPAN_RECORDS, self.line.room())

    def _must_wait(self, now: Now) -> bool:
        if self._arrival is not None or self.memory_full:
            return True
        if not self._waits_when_full(now):
            return False
        if now.disk_low:
            return True
        return self.line.room() < (self._spanful if self._leaving else 1)

    @property
    def _spanful(self) -> int:
        return min(SPAN_RECORDS, max(1, (self.line.max_records or SPAN_RECORDS) // 4))

    def _waits_when_full(self, now: Now) -> bool:
        """Tell whether the source keeps what does not fit.

        With a link that works the files themselves are the better queue, so a directory waits in every mode.
        """
        return self.mode.cut is None or (self.source.replayable and (now.link_works or now.disk_low))

    @property
    def memory_full(self) -> bool:
        """Tell whether as much is in memory without a row as may be; a commit makes room, or sending does."""
        if self._unstored_bytes >= RESIDENT_BYTES:
            self._unstored_bytes = sum(s.weight for s in self.line.resident() if s.left and not s.stored)
        return self._unstored_bytes >= RESIDENT_BYTES

    def _take_in(self, reading: Reading, now: Now) -> None:
        for reject in reading.rejects:
            self.books.quarantined(reject, now.wall)
            self._say_quarantined(reject.reason, reject.detail, reject.file, reject.begin)
        span = reading.span
        if span is None:
            return
        self._unstored_bytes += span.weight
        self._arrival = span
        self._admit_arrival(now)

    def _say_quarantined(self, reason: str, detail: str, file: FilePosition | None, place: int) -> None:
        name = file.name if file else None
        where = None if place < 0 else place % PACKED  # below 0 it is a replay's
        self._notice("quarantined", stream=self.name, reason=reason, detail=detail, file=name, place=where)

    def _admit_arrival(self, now: Now) -> None:
        """Admit what fits of what was read; the rest stays with the caller."""
        span = self._arrival
        if span is None:
            return
        if not (self.stopping or self._waits_when_full(now)):
            self._arrival = None
            self.queue.number(span)
            self.queue.admit(span, now.wall)
            return
        fits = len(span) if self.stopping else self.line.fitting(span)
        if not fits:
            return
        self._arrival = span.split(fits) if fits < len(span) else None
        self.queue.number(span)
        self.line.append(span)

    def replay(self, kept: list[Kept], now: Now, message_bytes: int) -> dict[int, str]:
        """Take records out of the quarantine; say which stay there, by number, and why.

        A commit must be the next thing: it makes it so, and puts them into the line.
        """
        if FILE in placeholders(self.topic):
            return refuse_all(kept, "the topic of its stream names the file, and a replay comes from none")
        self.queue.limit(now)
        self.queue.go_on(now.wall)
        holds = self._waits_when_full(now)
        taken, refused = choose(kept, self.line, message_bytes - self.topic_bytes, holds=holds)
        replayed = self.books.committed["replayed"]
        spans = spans_of([k.body for k in taken], replayed=replayed, at=now.wall, read_at=now.monotonic)
        for span in spans:
            self.queue.number(span)
        self._staged = Staged(spans, [k.number for k in taken], holds)
        return refused

    def _admit_replayed(self) -> None:
        staged, self._staged = self._staged, NOTHING
        for span in staged.spans:
            if staged.holds or self.queue.cutting:
                self.line.append(span)
            else:
                self.queue.admit(span, span.at)
        if staged.numbers:
            self._notice("replayed", stream=self.name, records=len(staged.numbers))

    def set_aside(self, span: Span, index: int, reason: str, detail: str, wall: float) -> None:
        """Set aside a record that was taken out of the line and can never be sent."""
        self.books.unsendable(span, index, reason, detail, wall)
        self._say_quarantined(reason, detail, span.file, span.place(index))

    # -- the line and the store ---------------------------------------------------------------------------------------

    def prepare(self, now: Now) -> Change | None:
        """Say what the next commit writes for this stream, None if nothing."""
        inserts = self._to_store(now)
        self._count(self.source.counts())
        self.books.account(inserts)
        files = self.source.before_commit() + [file for file in self._recovered if file.changed]
        forgotten = self.source.forgotten()
        staged = self._staged
        if not (inserts or files or forgotten or self.books.changed or staged.numbers):
            return None
        return self.books.change([*inserts, *staged.spans], files, forgotten, staged.numbers)

    def _count(self, noticed: SourceCounts) -> None:
        for name, number in zip(SOURCE_COUNTERS, noticed, strict=True):
            self.books.count(name, number)

    def needs_rows(self, now: Now) -> bool:
        """Tell whether what waits is kept in the store: a pipe's always, and what a mode holds beyond its directory."""
        return not self.source.replayable or (self.mode.cut is not None and not now.link_works)

    def _to_store(self, now: Now) -> list[Span]:
        """Choose the spans that need a row: of a directory only what it cannot be asked for again."""
        if self.needs_rows(now):
            return [span for span in self.line.resident() if not span.stored and span.left]
        return [s for s in self.line.resident() if s.file is not None and s.file.vanished and not s.stored and s.left]

    def committed(self, change: Change, now: float) -> None:
        """Take over a commit: what it stored may be forgotten, and files may be finished."""
        self.books.committed_as(change)
        for file in change.files:
            file.changed = False
        if self.line.resident_bytes() > RESIDENT_BYTES:
            self.line.forget(KEEP_BYTES)
        else:
            self.line.purge()
        self._admit_replayed()
        self.line.refresh()
        self.source.after_commit(now)

    @property
    def starved(self) -> bool:
        """Tell whether something waits that only a commit makes durable, and nothing else can be sent."""
        line = self.line
        return not self.source.replayable and line.records > 0 and not line.gap_records and line.peek() is None

    @property
    def may_be_cut(self) -> bool:
        """Tell whether what waits is the first to be cut, by records that have to be committed before they can go."""
        return self.mode.cut is End.OLD and not self.source.replayable and self.line.records > 0

    @property
    def is_ending(self) -> bool:
        """Tell whether nothing comes to share a message with what waits, or not before some of it goes."""
        return self.stopping or self.held_by is not None or (not self.source.replayable and self.source.exhausted())

    @property
    def idle(self) -> bool:
        """Tell whether the source has nothing more and nothing of it waits here."""
        return self.source.exhausted() and self._arrival is None and not self.line.records

    # -- stopping, and a store that failed ----------------------------------------------------------------------------

    def stop(self, now: Now, *, keep: bool = False) -> None:
        """Read no more. What was taken and cannot be read again is admitted, above the limits if need be.

        A pipe to `keep` is left as it is, for the next stream of this name to read on.
        """
        if keep and not self.source.replayable:
            self.stopping = True
            self.queue.go_on(now.wall)
            self._admit_arrival(now)
            return
        self.source.close()
        if self.source.replayable and not self._holds_the_last_copy:
            return
        self.stopping = True
        while self.admit(now):
            pass

    @property
    def _holds_the_last_copy(self) -> bool:
        return self._arrival is not None and is_gone(self._arrival.file)

    def doubtful(self, out: int) -> int:
        """Count the records that the broker may have and a store opened anew takes for unsent; `out` are out now."""
        came_back = sum(span.attempts for span in self.line.resident() if span.dirty or not span.stored)
        return out + came_back + self.books.sent_and_settled + self.books.suspects

    def carry(self) -> Carried:
        """Give what must outlive these books, should their last commit turn out not to be made."""
        spans = [span for span in self.line.resident() if not span.stored and span.left and is_gone(span.file)]
        return Carried(
            commit=self.books.commit,
            sequence=self.books.sequence_after(spans),
            beside=self.books.beside(),
            noticed=self.source.counts()._replace(skipped_files=0),  # the next source notices them again
            spans=spans,
            arrival=self._arrival if self._holds_the_last_copy else None,
            set_aside=[one for one in self.books.set_aside if not one.had_row and is_gone(one.reject.file)],
            losses=self.books.lost_without_rows(is_gone),
            settled=self.books.settled_of(is_gone),
            unfinished=self.source.unfinished(),
        )

    def take_back(self, carried: Carried) -> None:
        """Take over what was carried; what arrived and was not admitted is never part of a commit."""
        self._count(carried.noticed)
        self.source.expect(carried.unfinished)
        self._arrival = carried.arrival
        self._recovered = carried.files
        if self.books.commit > carried.commit:
            return  # the commit that failed was made after all
        for span in carried.spans:
            span.wait_again()  # but for what is settled: it was delivered, or what was dropped of it is in the losses
            self.queue.number(span)
            self.line.append(span)
        self.books.take_back(carried.beside, carried.set_aside, carried.losses, carried.sequence)

    # -- looking ------------------------------------------------------------------------------------------------------

    def view(self, in_flight: int) -> StreamView:
        """Show this stream; the counts are the committed ones."""
        unread, waiting = self.source.unread()
        return StreamView(
            counts=self.books.committed,
            mode=self.mode.name,
            in_flight=in_flight,
            queue_records=self.line.records,
            queue_bytes=self.line.bytes,
            held_by=self.held_by,
            bytes_unread=unread,
            files_waiting=waiting,
        )

"""Batches of one stream: what its next message carries, where records share one.

Owns when a message is full enough to go, which records it takes, and that those of a message that came back stay
together. Decides through `core.batching`; knows nothing of gate, pace or outcomes. Nothing is taken out of the line
before its message goes: until then its records may be dropped or expire like all others.

Where the topic depends on the record a message takes those of one topic out of the next few thousand records; the
others keep their places. So the order is kept for each topic, and what is looked at is bounded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from weir.core.batching import (
    BRACKETS_BYTES,
    Filling,
    Gathered,
    Slice,
    array,
    body,
    compressed,
    first,
    frames,
    gather,
    lines,
)
from weir.core.messages import Messages, Unfit
from weir.core.modes import End
from weir.core.settings import StreamSettings
from weir.core.span import Span
from weir.forwarder.queue import Queue

SPANS_AHEAD, RECORDS_AHEAD, BYTES_AHEAD = 512, 16_384, 4 << 20  # so far it is looked for records of one topic
MOST_TOPICS = 64  # so many messages may be waiting to be full, each of another topic
READING_SECONDS = 0.1  # so long a message waits for more of what is being read; a flood may never come to an end
MOST_KEPT_TOGETHER = 2_048  # messages that came back; more than can be out

Kept = tuple[tuple[int, int, int], ...]  # the records [low, high) of spans, by seq: a span may be loaded anew


class Unsent(Exception):
    """A record comes next that can never be sent: it is to be set aside, and the next one is to be asked for."""

    def __init__(self, span: Span, index: int, why: Unfit) -> None:
        """Say which one, and why."""
        super().__init__(str(why))
        self.span = span
        self.index = index
        self.why = why


class Carriage(NamedTuple):
    """What a message may be on the transport in use."""

    message_bytes: int  # topic and payload together
    level: int  # of compression


class Draft(NamedTuple):
    """A message that may go: its records wait still."""

    slices: list[Slice]
    records: int
    topic: str
    payload: bytes
    full: bool
    kept: bool = False  # of records that were kept together, the next ones

    @property
    def held_bytes(self) -> int:
        """Count the bytes of its records."""
        return sum(span.run_length(low, high) for span, low, high in self.slices)


class Topics(NamedTuple):
    """The topics of the records of one span."""

    runs: dict[str, list[tuple[int, int]]]  # where the records of each lie, in their order
    unfit: dict[int, Unfit]  # those that have none, and why
    records: int


class Batches:
    """Makes the messages of one stream, one at a time."""

    def __init__(self, settings: StreamSettings, messages: Messages, queue: Queue) -> None:
        """Take what does not change from message to message."""
        self._settings = settings.batch
        self._pipe_format = settings.source.of_pipe
        self._gzip = settings.batch.compression == "gzip"
        self._messages = messages
        self._queue = queue
        self._filling = Filling((0.25 if self._gzip else 1.0) * (2.0 if messages.enveloped else 1.0))
        self._kept: deque[Kept] = deque()
        self._draft: Draft | None = None
        self._seen = (0, 0)  # of the line, when the draft was made
        self._topics: OrderedDict[int, Topics] = OrderedDict()  # of spans, by seq
        self._topics_known = 0  # of so many records
        self._reads_since: float | None = None  # more and more was there to read (monotonic s)
        self.due_at: float | None = None  # when a message that is not full goes all the same (monotonic s)

    def draft(self, now: float, carriage: Carriage, *, more_comes: bool, hurry: bool) -> Draft | None:
        """Give the message that goes next; None if there is none, or it waits for more records.

        With `more_comes` a message that is not full waits a moment even without a linger; with `hurry` none waits.
        Raises `Unsent` where a record comes next that can never be sent.
        """
        draft, self._draft = self._still_good(), None
        if draft is None:
            draft = self._new_draft(now, carriage, more_comes=more_comes, hurry=hurry)
        self._draft, self._seen = draft, self._look_of_the_line()
        return draft

    def take(self, draft: Draft) -> None:
        """Take the records of a message out of the line: it goes."""
        for span, low, high in draft.slices:
            self._queue.line.take_slice(span, low, high)
        if draft.kept:  # not before it goes: a draft that does not leaves them together
            self._kept.popleft()
        self._draft = self._reads_since = None

    def keep_together(self, slices: Iterable[Slice]) -> None:
        """Let records that wait again share a message, before all others."""
        if len(self._kept) < MOST_KEPT_TOGETHER:
            self._kept.append(tuple((span.seq, low, high) for span, low, high in slices))
        self._draft = None

    # -- when a message goes ------------------------------------------------------------------------------------------

    def _look_of_the_line(self) -> tuple[int, int]:
        return self._queue.line.forgettings, self._queue.line.records

    def _still_good(self) -> Draft | None:
        """Give the last draft if it did not go, and a new one would be the same."""
        draft = self._draft
        if draft is None:
            return None
        (forgettings, records), (before, then) = self._look_of_the_line(), self._seen
        same = forgettings == before and (draft.full or records == then)
        good = same and all(span.durable and span.waits(low, high) for span, low, high in draft.slices)
        return draft if good else None

    def _new_draft(self, now: float, carriage: Carriage, *, more_comes: bool, hurry: bool) -> Draft | None:
        self.due_at = None
        self._reads_since = (self._reads_since or now) if more_comes else None
        if kept := self._kept_together():
            return self._made(kept, self._topic_of(*kept.slices[0][:2]), carriage)._replace(kept=True)
        for topic in self._topics_ahead():
            gathered = gather(
                self._spans() if self._messages.one_topic else self._spans_ahead(),
                self._waiting if self._messages.one_topic else partial(self._waiting_for, topic),
                most_records=self._settings.max_records,
                most_bytes=self._budget(carriage, topic),
                framed=self._is_framed,
            )
            if gathered.full or hurry or not self._lingers(gathered, now):
                return self._made(gathered, topic, carriage)
        return None

    def _lingers(self, gathered: Gathered, now: float) -> bool:
        """Tell whether records wait for others to share a message with; those of another process waited long enough."""
        read_at = min((span.read_at for span, _, _ in gathered.slices if span.read_at is not None), default=None)
        due = now if read_at is None else read_at + self._settings.linger_ms / 1_000
        if self._reads_since is not None:
            due = max(due, self._reads_since + READING_SECONDS)
        if due <= now:
            return False
        self.due_at = due if self.due_at is None else min(due, self.due_at)
        return True

    def _kept_together(self) -> Gathered | None:
        """Give the next records that came back together, those of them that are still there and wait."""
        while self._kept:
            spans = {span.seq: span for span in self._queue.line.durable()}
            slices = [
                Slice(spans[seq], max(low, begin), min(high, end))
                for seq, low, high in self._kept[0]
                if seq in spans
                for begin, end in spans[seq].waiting_runs()
                if max(low, begin) < min(high, end)
            ]
            if slices:
                return Gathered(slices, sum(high - low for _, low, high in slices), full=True)
            self._kept.popleft()
        return None

    # -- which records ------------------------------------------------------------------------------------------------

    def _spans(self) -> Iterator[Span]:
        """Go through the spans that may be sent from, as they go, and load more of them as long as they are wanted."""
        line, seen = self._queue.line, 0
        while True:
            for span in islice(line.durable(), seen, None):
                seen += 1
                yield span
            if not self._queue.look_further(seen):
                return

    def _spans_ahead(self) -> Iterator[Span]:
        """Go through no more of them than may be looked at for one topic."""
        records = size = 0
        for span in islice(self._spans(), SPANS_AHEAD):
            yield span
            records, size = records + span.waiting, size + span.weight
            if records >= RECORDS_AHEAD or size >= BYTES_AHEAD:
                return

    def _waiting(self, span: Span) -> Iterator[tuple[int, int]]:
        return span.waiting_runs(newest=self._takes_newest)

    @property
    def _takes_newest(self) -> bool:
        return self._queue.line.mode.take is End.NEW

    def _is_framed(self, span: Span) -> bool:
        layout, enveloped = self._settings.layout, self._messages.enveloped
        if span.file is not None:
            return frames(layout, span.file.format, enveloped=enveloped)
        replayed = span.offset < 0  # nobody has checked that it is of the stream's format
        return not replayed and frames(layout, self._pipe_format, enveloped=enveloped)

    # -- topics from data ---------------------------------------------------------------------------------------------

    def _topics_ahead(self) -> Iterator[str]:
        """Go through the topics of what waits, those of the next records first. Raises `Unsent`."""
        if self._messages.one_topic:
            span = self._queue.next()
            if span is not None:
                yield self._topic_of(span, 0)
            return
        seen: set[str] = set()
        for span in self._spans_ahead():
            found = self._topics_of(span)
            for index, why in found.unfit.items():
                if span.waits(index, index + 1) and not seen:
                    raise Unsent(span, index, why)
            for topic in found.runs:
                if topic not in seen and any(True for _ in self._waiting_for(topic, span)):
                    seen.add(topic)
                    yield topic
                if len(seen) >= MOST_TOPICS:
                    return

    def _waiting_for(self, topic: str, span: Span) -> Iterator[tuple[int, int]]:
        runs = self._topics_of(span).runs.get(topic, ())
        if not self._takes_newest and span.pristine:
            yield from runs
            return
        for low, high in reversed(runs) if self._takes_newest else runs:
            for index in reversed(range(low, high)) if self._takes_newest else range(low, high):
                if span.waits(index, index + 1):
                    yield index, index + 1

    def _topic_of(self, span: Span, index: int) -> str:
        return self._messages.topic(span, b"" if self._messages.one_topic else span.payload(index))

    def _topics_of(self, span: Span) -> Topics:
        known = self._topics.get(span.seq)
        if known is None:
            known = self._topics[span.seq] = self._look_through(span)
            self._topics_known += known.records
            while self._topics_known > 2 * RECORDS_AHEAD and len(self._topics) > 1:
                self._topics_known -= self._topics.popitem(last=False)[1].records
        return known

    def _look_through(self, span: Span) -> Topics:
        found = Topics({}, {}, len(span))
        of_all = (self._topic_or_why(span, payload) for payload in span.payloads(0, len(span)))
        for topic, group in groupby(enumerate(of_all), key=itemgetter(1)):
            indexes = [index for index, _ in group]
            if isinstance(topic, Unfit):
                found.unfit.update(dict.fromkeys(indexes, topic))
            else:
                found.runs.setdefault(topic, []).append((indexes[0], indexes[-1] + 1))
        return found

    def _topic_or_why(self, span: Span, payload: bytes) -> str | Unfit:
        try:
            return self._messages.topic(span, payload)
        except Unfit as unfit:
            return unfit

    # -- the message --------------------------------------------------------------------------------------------------

    def _limit(self, carriage: Carriage, topic: str) -> int:
        """Give the most bytes of a payload."""
        limit = carriage.message_bytes - len(topic.encode())
        return limit if self._settings.max_bytes is None else min(limit, self._settings.max_bytes)

    def _budget(self, carriage: Carriage, topic: str) -> int:
        """Give the most bytes of records, and what separates them, that a payload may be made of."""
        limit = self._limit(carriage, topic) - (BRACKETS_BYTES if self._settings.layout == "array" else 0)
        return self._filling.budget(limit) if self._changes_size else limit

    @property
    def _changes_size(self) -> bool:
        return self._gzip or self._messages.enveloped

    def _made(self, gathered: Gathered, topic: str, carriage: Carriage) -> Draft:
        """Make the message of these records, or of as many as turn out to fit. Raises `Unsent`."""
        slices, records, full = gathered
        limit = self._limit(carriage, topic)
        payload = self._payload(slices, carriage.level, limit)
        while len(payload) > limit and records > 1:
            fewer = self._filling.fewer(records, len(payload), limit)
            # Where a large record is among small ones the second estimate is no better than the first.
            records, full = fewer if slices is gathered.slices else min(fewer, records // 2), True
            slices = first(slices, records)
            payload = self._payload(slices, carriage.level, limit)
        length = len(topic.encode()) + len(payload)
        if length > carriage.message_bytes:
            raise Unsent(*slices[0][:2], Unfit("tooLarge", too_large(length, carriage.message_bytes)))
        return Draft(slices, records, topic, payload, full)

    def _payload(self, slices: list[Slice], level: int, limit: int) -> bytes:
        if not self._is_framed(slices[0].span):
            [payload] = self._payloads(slices)
        elif self._messages.enveloped:
            join = array if self._settings.layout == "array" else lines
            payload = join(self._payloads(slices))
        else:
            payload = body(slices, self._settings.layout)
        if self._gzip:
            payload = compressed(payload, level)
        if self._changes_size:
            self._filling.learn(sum(span.run_length(low, high) for span, low, high in slices), len(payload), limit)
        return payload

    def _payloads(self, slices: list[Slice]) -> list[bytes]:
        made = self._messages.payload
        return [
            made(span, index, payload)
            for span, low, high in slices
            for index, payload in enumerate(span.payloads(low, high), low)
        ]


def too_large(length: int, most: int) -> str:
    """Say that a message is larger than the transport takes; both in bytes of topic and payload."""
    return f"{length} bytes with topic and envelope, allowed are {most}"

"""Releasing: while the gate is open and the pace allows, queue -> message -> transport.

Owns what goes and why nothing does. Decides through `core.gate` and `core.pacing`; knows nothing of outcomes.
"""

from __future__ import annotations

from collections.abc import Callable

from weir.core.batching import DENSE, FAST
from weir.core.errors import Refused
from weir.core.gate import OTHERS_LOOK_SECONDS, GateLimits, Opening, opening
from weir.core.messages import Unfit
from weir.core.pacing import Pace
from weir.core.ports import Transport
from weir.core.settings import Settings
from weir.core.span import RECORD_OVERHEAD, Span
from weir.forwarder.batches import Batches, Carriage, Draft, Unsent, too_large
from weir.forwarder.beside import Beside
from weir.forwarder.returns import refuse
from weir.forwarder.stream import Stream
from weir.forwarder.turns import Turns
from weir.forwarder.window import DELIVERED, HANDED_OVER, UNCONFIRMED, Run, Window, message

# The most bytes of records that batches keep in memory while they are out. What the pace lets through in half a second
# when records compress to a sixteenth; where they compress less, an answer may take as much longer.
HELD_BYTES = 4 << 20


class Releaser:
    """Hands records to the transport as far as gate, pace and the duplicate bound allow."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        window: Window,
        beside: Beside,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Take the limits from the settings."""
        self._transport = transport
        self.limits = self._limits(settings)
        self.pace = Pace(settings.pace.publishes_per_second, settings.pace.bytes_per_second)
        self.held_by: str | None = None
        self._window = window
        self._beside = beside
        self._wall = wall
        self._monotonic = monotonic
        self._turns = Turns()
        self.linger_until: float | None = None  # a message that is not full goes then (monotonic s)
        self._others = False  # operations that are not ours were at the client when the gate was looked at

    def apply(self, settings: Settings) -> None:
        """Go by other limits from now on; what was published in the last second stays counted."""
        self.limits = self._limits(settings)
        self.pace.limit(settings.pace.publishes_per_second, settings.pace.bytes_per_second)

    def _limits(self, settings: Settings) -> GateLimits:
        gate, most = settings.gate, self._transport.most_outstanding
        in_flight = [limit for limit in (gate.max_in_flight, most) if limit is not None]
        return GateLimits(
            gate.max_incomplete, min(in_flight, default=None), gate.max_incomplete_bytes, gate.max_in_flight_bytes
        )

    def _outcome(self, qos: int) -> str:
        if self._transport.hands_over:
            return HANDED_OVER
        return DELIVERED if qos else UNCONFIRMED

    def release(self, streams: list[Stream], room: int, *, alone: bool = False) -> int:
        """Release what may go, at most `room` records, and one message if it must be `alone`.

        `held_by` says what stopped it. Returns how many records went.
        """
        statistics, ours = self._transport.statistics(), self._window.outstanding()
        gate = opening(statistics, ours, self.limits)
        self._others = statistics.incomplete > ours.operations
        released = 0
        self.held_by = gate.held_by
        self.linger_until = None
        if self.held_by is None:
            self._beside.release(lambda length: self._holds(gate, length))
            self._turns.begin(stream for stream in streams if self._next_of(stream) is not None)
        while self.held_by is None and (stream := self._turns.next()) is not None:
            span = self._next_of(stream)
            if span is None:
                self._turns.has_no_more(stream)
            elif released >= room:
                self.held_by = "commit"
            elif stream.batches is not None:
                released += self._release_batch(stream, gate, room - released)
            else:
                most = room - released if self._turns.is_one_left and not alone else 1
                released += self._release(stream, span, gate, most)
            if alone and released:
                self.held_by = "inFlight"
        return released

    def _release(self, stream: Stream, span: Span, gate: Opening, most: int) -> int:
        """Release the next records of one span, at most `most`; `held_by` says what stopped it, if anything did."""
        run = Run(stream, span, stream.settings.qos, self._monotonic(), self._outcome(stream.settings.qos))
        released = 0
        while released < most and span.waiting and self.held_by is None:
            if stream.books.crowded:  # as with many records that are set aside: a commit comes first
                self.held_by = "commit"
                break
            if not stream.messages.plain:
                released += self._release_made(run, gate)
                continue
            records = stream.line.next_run(span, most - released)
            records = records[: self._admitted(run, records, gate)]
            if records:
                stream.line.take_run(span, records)
                released += self._publish(run, records)
        self._turns.went(released)
        return released

    def _admitted(self, run: Run, records: range, gate: Opening) -> int:
        """Say how many of these records gate and pace let through, and count them there."""
        stream, span = run.stream, run.span
        if self.pace.unlimited:
            records = records[: gate.operations]
        count = len(records)
        size = span.run_bytes(records.start, records.stop) - RECORD_OVERHEAD * count
        size += (stream.topic_bytes + self._transport.operation_bytes) * count
        if self.pace.unlimited and size <= gate.bytes:
            gate.spend(size, count)
            self.held_by = gate.held_by
            return count
        for admitted, index in enumerate(records):
            if self._holds(gate, stream.topic_bytes + span.size(index)):
                return admitted
        return count

    def _holds(self, gate: Opening, length: int) -> bool:
        """Tell whether gate or pace hold a message of so many bytes, topic and payload; count it there if not."""
        operation, packet = length + self._transport.operation_bytes, length + self._transport.packet_bytes
        self.held_by = gate.refuses(operation)
        if self.held_by is not None:
            return True
        now = self._monotonic()
        if not self.pace.admits(now, packet):
            self.held_by = "pace"
            return True
        self.pace.spend(now, packet)
        gate.spend(operation)
        return False

    def _publish(self, run: Run, records: range) -> int:
        """Hand records to the client; say how many it took."""
        publish, add = self._transport.publish, self._window.add
        stream, span, qos = run.stream, run.span, run.qos
        id_of = stream.messages.id_of if self._transport.carries_ids else None
        topic, overhead = stream.topic, stream.topic_bytes + self._transport.operation_bytes
        published = size = 0
        for index, payload in zip(records, span.payloads(records.start, records.stop), strict=True):
            try:
                operation = publish(topic, payload, qos, id_of and id_of(span, index, payload))
            except Refused as error:
                stream.set_aside(span, index, "refused", str(error), self._wall())
                continue
            add(operation, (run, index, index + 1, len(payload) + overhead, ()))
            published += 1
            size += len(payload)
        stream.books.published(published, size + stream.topic_bytes * published)
        return published

    def _release_made(self, run: Run, gate: Opening) -> int:
        """Release the next record of a span as the message that is made of it; say how many went."""
        stream, span = run.stream, run.span
        records = stream.line.next_run(span, 1)
        index = records.start
        try:
            record = span.payload(index)
            topic, payload = stream.messages.message(span, index, record)
            length = self._fitting(len(topic.encode()) + len(payload))
        except Unfit as unfit:
            stream.line.take_run(span, records)
            stream.set_aside(span, index, unfit.reason, unfit.detail, self._wall())
            return 0
        if self._holds(gate, length):
            return 0
        stream.line.take_run(span, records)
        record_id = stream.messages.id_of(span, index, record) if self._transport.carries_ids else None
        try:
            operation = self._transport.publish(topic, payload, run.qos, record_id)
        except Refused as error:
            stream.set_aside(span, index, "refused", str(error), self._wall())
            return 0
        self._window.add(operation, (run, index, index + 1, length + self._transport.operation_bytes, ()))
        stream.books.published(1, length)
        return 1

    def _fitting(self, length: int) -> int:
        """Give the bytes of a message, topic and payload, if the transport can carry it. Raises `Unfit`."""
        most = self._transport.message_bytes
        if length > most:
            raise Unfit("tooLarge", too_large(length, most))
        return length

    # -- many records in one message ----------------------------------------------------------------------------------

    def _draft(self, stream: Stream, batches: Batches) -> Draft | None:
        """Give the next message of a stream, if it is full enough to go; what can never be sent is set aside."""
        carriage = Carriage(self._transport.message_bytes, FAST if self.pace.unlimited else DENSE)
        while not stream.books.crowded:
            try:
                draft = batches.draft(self._monotonic(), carriage, more_comes=stream.more_comes, hurry=stream.is_ending)
            except Unsent as unsent:
                stream.line.take_slice(unsent.span, unsent.index, unsent.index + 1)
                stream.set_aside(unsent.span, unsent.index, unsent.why.reason, unsent.why.detail, self._wall())
                continue
            times = [at for at in (self.linger_until, batches.due_at) if at is not None]
            self.linger_until = min(times, default=None)
            return draft
        self.held_by = "commit"
        return None

    def _release_batch(self, stream: Stream, gate: Opening, room: int) -> int:
        """Release the next message of a stream; say how many records went."""
        draft = None if stream.batches is None else self._draft(stream, stream.batches)
        if draft is None or stream.batches is None:
            return 0
        if draft.records > room:
            self.held_by = "commit"
            return 0
        if self._window.held_bytes + draft.held_bytes > HELD_BYTES and self._window.records:
            self.held_by = "inFlightBytes"  # the gate counts what is compressed; memory holds the records
            return 0
        length = len(draft.topic.encode()) + len(draft.payload)
        if self._holds(gate, length):
            return 0
        stream.batches.take(draft)
        qos, at, outcome = stream.settings.qos, self._monotonic(), self._outcome(stream.settings.qos)
        carried = [(Run(stream, span, qos, at, outcome), low, high) for span, low, high in draft.slices]
        sent = message(carried, length + self._transport.operation_bytes)
        self._turns.went(1)
        try:
            operation = self._transport.publish(draft.topic, draft.payload, qos)
        except Refused as error:
            refuse(sent, str(error), self._wall())
            return 0
        self._window.add(operation, sent)
        stream.books.published(1, length)
        return draft.records

    # -- what is next, and when ---------------------------------------------------------------------------------------

    def _next_of(self, stream: Stream) -> Span | None:
        span = stream.queue.next()
        if span is None or stream.batches is None or self._draft(stream, stream.batches) is not None:
            return span
        return None

    def rest(self) -> None:
        """Note that nothing may go whatever gate and pace say: then neither they nor a message give a time to look."""
        self.held_by = self.linger_until = None

    def look_again_at(self, now: float) -> float | None:
        """Say when to look again although no outcome of ours may come; None for not before an outcome."""
        if self.held_by is None:
            return self.linger_until
        if self.held_by == "pace":
            return self.pace.free_at()
        return now + OTHERS_LOOK_SECONDS if self._others else None  # operations of others wake nobody

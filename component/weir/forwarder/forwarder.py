"""The loop that owns all state: settle, admit, release, commit, wait.

Owns the order of things and nothing else: what waits is the streams' affair, what is out the window's, what may go the
releaser's, what is durable the ledger's. One thread runs it; every other thread only appends to the inbox.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from weir.core.errors import StoreFailed
from weir.core.ports import Transport
from weir.core.quarantine import Kept
from weir.core.settings import Settings
from weir.forwarder.beside import Beside
from weir.forwarder.diagnosis import SourceHistory
from weir.forwarder.health import Health
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger
from weir.forwarder.link import Link
from weir.forwarder.queue import Notice, Now
from weir.forwarder.release import Releaser
from weir.forwarder.settlement import Settlement
from weir.forwarder.suspicion import Suspicion
from weir.forwarder.window import Sent, Window, records

ACKS_AT_STOP_SECONDS = 2.0
DISCONNECT_SECONDS = 0.5
LOOK_SECONDS = 1.0  # between two looks at what may be wrong
IDLE_SECONDS = 1.0


class Clock(NamedTuple):
    """The two clocks: seconds since the epoch for people, seconds that only grow for decisions."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Forwarder:
    """One forwarder: streams, one transport, one ledger. Call `turn` again and again, then `stop`."""

    def __init__(
        self,
        *,
        settings: Settings,
        ledger: Ledger,
        transport: Transport,
        inbox: Inbox,
        clock: Clock,
        health: Health,
        notice: Notice,
    ) -> None:
        """Put the parts together; nothing is read or sent before the first turn."""
        self.ledger = ledger
        self.transport = transport
        self.inbox = inbox
        self.window = Window()
        self.beside = Beside(transport, self.window, self._count, notice, clock.monotonic)
        self.releaser = Releaser(
            settings, transport, self.window, self.beside, wall=clock.wall, monotonic=clock.monotonic
        )
        self.health = health
        self.link = Link(settings, transport, self.window, notice, clock.monotonic())
        self.suspicion = Suspicion(self.link, self.window)
        self.settlement = Settlement(
            transport=transport,
            window=self.window,
            link=self.link,
            suspicion=self.suspicion,
            beside=self.beside,
            releaser=self.releaser,
            notice=notice,
        )
        self._sources = SourceHistory()
        self.paused = False
        self.held_by: str | None = "offline"
        self.progress_at = clock.monotonic()
        self._settings = settings
        self._clock = clock
        self._disk_low = False
        self._look_at = 0.0
        self._more = False
        self._now = Now(clock.monotonic(), clock.wall(), link_works=False, disk_low=False)

    # -- one turn -----------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Do everything once; then `wait`."""
        self._now = self._look()
        try:
            self._settle()
            if any(stream.may_be_cut for stream in self.ledger.streams):
                self._release()  # what can go does: what is read next may be so much that all of it is cut
            self._admit()
            self._release()
            self._commit()
        except StoreFailed as error:
            self._store_failed(error)

    def _settle(self) -> None:
        if self.settlement.settle(self.inbox.take(), self._now):
            self.progress_at = self._now.monotonic

    def _admit(self) -> None:
        self._more = False
        for stream in self.ledger.streams:
            stream.source.advance(self._now.monotonic)
            self._more |= stream.admit(self._now)

    def _release(self) -> None:
        now = self._now.monotonic
        released = 0
        self.held_by = self._held_anyway(now)
        if self.held_by is None:
            room = self._settings.duplicate_bound - self.ledger.sent_and_settled - self.window.records
            alone = self.suspicion.one_at_a_time
            released = self.releaser.release(self.ledger.streams, room, alone=alone)
            self.held_by = self.releaser.held_by
        else:
            self.releaser.rest()
        self._more |= released > 0 and self.held_by is None
        self.health.hold(now, None if released else self.held_by)

    def _commit(self) -> None:
        if self.ledger.due(self._now):
            self.ledger.commit(self._now, self.transport.generation)
            # What a commit made durable can go at once, and so can what only waited for the commit.
            held = self.held_by not in {None, "commit"}
            self._more |= not held and any(stream.queue.next() for stream in self.ledger.streams)

    def wait(self, until: float | None = None) -> None:
        """Wait until an outcome, an input or a timer wakes it, or until this time (monotonic seconds)."""
        try:
            seconds = self._seconds_to_wait()
        except StoreFailed as error:
            self._store_failed(error)
            seconds = 0.0
        if until is not None:
            seconds = min(seconds, max(0.0, until - self._clock.monotonic()))
        half_a_window = (len(self.window) + 1) // 2  # is worth waking for
        self.inbox.wait(0.0 if self._more else seconds, half_a_window)

    # -- what a turn looks at -----------------------------------------------------------------------------------------

    def _look(self) -> Now:
        now, wall = self._clock.monotonic(), self._clock.wall()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._disk_low = self.ledger.disk_low()
            self.health.judge("diskLow", wall, "free space on the disk of the state directory", wrong=self._disk_low)
            self.health.judge_all(wall, self.link.verdicts(now))
            self.health.judge_all(wall, self._sources.verdicts(now, self.ledger.streams))
        self.ledger.try_again(now)
        self._judge_ledger(wall)
        self._note_progress(now)
        by_choice = not len(self.window) and (self.releaser.linger_until is not None or self._nothing_waits)
        works = self.link.works(now, self.held_by, nothing_waits=by_choice)
        return Now(now, wall, link_works=works, disk_low=self._disk_low)

    def _judge_ledger(self, wall: float) -> None:
        ledger = self.ledger
        if not (ledger.failing or ledger.law_broken or self.health.degraded):
            return
        remedy = f"{ledger.failure}; it is tried again and again"
        self.health.judge("storeFailing", wall, remedy, wrong=ledger.failing)
        self.health.judge("lawBroken", wall, "run `weir status --verify` and keep the state", wrong=ledger.law_broken)

    @property
    def _nothing_waits(self) -> bool:
        return not len(self.window) and not any(stream.line.records for stream in self.ledger.streams)

    def _note_progress(self, now: float) -> None:
        """Take it for progress if there is nothing to make any with, or if what waits only waits for our own commit."""
        streams = self.ledger.streams
        nothing = self._nothing_waits and not any(stream.held_by for stream in streams)
        if not self.ledger.failing and (nothing or any(stream.starved for stream in streams)):
            self.progress_at = now

    def _held_anyway(self, now: float) -> str | None:
        if not self.link.is_up(now):
            return "offline"
        if self.ledger.failing:
            return "commit"
        if self.suspicion.one_at_a_time and len(self.window):
            return "inFlight"
        return "paused" if self.paused else None

    def _seconds_to_wait(self) -> float:
        now = self._now.monotonic
        times = [now + IDLE_SECONDS, self.ledger.due_at(self._now), self.transport.advance(now)]
        times += [stream.source.advance(now) for stream in self.ledger.streams]
        times += [self.releaser.look_again_at(now), self.link.cools_until(now)]
        self.link.watch(now)
        self.settlement.give_back(self.suspicion.watch(now, idle=self._nothing_waits))
        return max(0.0, min(time for time in times if time is not None) - self._clock.monotonic())

    def _store_failed(self, error: StoreFailed) -> None:
        out = self.window.by_stream()
        if out:  # it is pending in the store, and waits again once the client cannot send it
            self.window.clear()
            self.link.replace("the store is opened anew")
        for sent in self.suspicion.clear():
            out[sent[0].stream] += records(sent)
        self.ledger.failed(self._clock.monotonic(), error, out)

    def _count(self, name: str, number: int) -> None:
        """Count a message that is of no stream; the first one keeps the figure."""
        for stream in self.ledger.streams[:1]:
            stream.books.count(name, number)

    def apply(self, settings: Settings) -> None:
        """Go by other settings from now on, as far as they can change while records are on their way."""
        self._settings = settings
        self.releaser.apply(settings)
        try:
            self.ledger.apply(settings)
        except StoreFailed as error:
            self._store_failed(error)

    def replay(self, kept: Sequence[Kept]) -> dict[int, str]:
        """Take records out of the quarantine; say which stay there, by number, and why. Raises `StoreFailed`."""
        self._now = self._look()
        try:
            return self.ledger.replay(kept, self._now, self.transport.generation, self.transport.message_bytes)
        except StoreFailed as error:
            self._store_failed(error)
            raise

    def purge(self, numbers: Sequence[int], *, not_kept: bool) -> int:
        """Remove entries of the quarantine for good; say how many there were. Raises `StoreFailed`."""
        store = self.ledger.store
        try:
            return store.purge(numbers, not_kept=not_kept)
        except StoreFailed as error:
            self._store_failed(error)
            raise

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def drained(self) -> bool:
        """Tell whether every source has nothing more and nothing is pending."""
        out = len(self.window) or self.suspicion.has_aside
        return not out and all(stream.idle for stream in self.ledger.streams) and not self.ledger.failing

    def stop(self, hurried: Callable[[], bool] = lambda: False, keep: Container[str] = ()) -> bool:
        """Stop reading, commit, wait for what is out, commit, disconnect; tell whether all of it is committed.

        Leaves within a few seconds, and waits for nobody once `hurried` says so. Where the store fails it is opened
        anew once: what was read from a pipe is in no other place. The pipes of the streams to `keep` stay open.
        """
        self._now = self._look()
        safe = self._surely(lambda: self._stop_reading(keep))
        self._wait_for_acks(hurried)
        left = [*self.window.clear(), *self.suspicion.clear()]
        safe = self._surely(lambda: self._end_run(left, keep)) and safe
        self.transport.close(0.0 if hurried() else DISCONNECT_SECONDS)
        self.link.state = "stopped"
        return safe

    def _surely(self, step: Callable[[], None]) -> bool:
        for _ in range(2):
            try:
                self.ledger.try_again(math.inf)
                if not self.ledger.failing:
                    step()
                    return True
            except StoreFailed as error:
                self._store_failed(error)
        self._judge_ledger(self._now.wall)
        return False

    def _stop_reading(self, keep: Container[str]) -> None:
        self.ledger.stop_reading(self._now, keep)
        self.ledger.commit(self._now, self.transport.generation)

    def _end_run(self, left: list[Sent], keep: Container[str]) -> None:
        for sent in left:  # the broker may have them, and they are sent again by the next run
            if sent[0].may_come_twice:
                sent[0].stream.books.count("possibleTwins", records(sent))
        self.ledger.stop_reading(self._now, keep)
        self.ledger.commit(self._now, self.transport.generation, end_of_run=True, unanswered=sum(map(records, left)))

    def _wait_for_acks(self, hurried: Callable[[], bool]) -> None:
        deadline = self._clock.monotonic() + ACKS_AT_STOP_SECONDS
        while len(self.window) and self.link.state == "online" and not hurried():
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return
            self.inbox.wait(left, len(self.window))
            self._now = self._look()
            self._settle()

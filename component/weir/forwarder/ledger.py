"""The ledger: every stream's books in one store, one transaction a commit.

Owns when a commit is due, and what happens when one fails: its outcome is unknown, so the store is opened anew and
everything is reloaded from it. Knows nothing of the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from weir.core import accounting
from weir.core.accounting import Counts
from weir.core.changes import Change, StoreState, StreamState
from weir.core.errors import StoreFailed
from weir.core.modes import MODE_NAMES
from weir.core.ports import Source
from weir.core.positions import FilePosition
from weir.core.settings import Settings
from weir.core.view import StreamView
from weir.forwarder.stream import Backlog, Carried, Notice, Now, Stream

SET_ASIDE_RECORDS = 1_000  # what was set aside lies in memory until the next commit: that is early from here on
SET_ASIDE_BYTES = 1 << 20
STARVED_RECORDS = 512  # so many records of a pipe that only a commit can release are worth an early one
STARVED_SECONDS = 0.05
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class Store(Backlog, Protocol):
    """What the ledger needs of the store."""

    @property
    def bytes_written(self) -> int:
        """Count the bytes written so far."""

    def state(self) -> StoreState:
        """Say what is true of the store as a whole."""

    def streams(self) -> list[StreamState]:
        """List every stream that ever had a place here."""

    def begin_run(self, thing: str, modes: Mapping[str, str], duplicate_bound: int) -> None:
        """Write down that a run begins, with the streams it has and their modes."""

    def commit(self, changes: list[Change], generation: int, *, end_of_run: bool) -> None:
        """Write everything in one transaction."""

    def free_bytes(self) -> int:
        """Count the bytes that may still be written on the disk."""

    def law(self) -> list[tuple[str, int, int]]:
        """Check the law in full."""

    def losses(self) -> list[tuple[str, str, str, float, float, int, int]]:
        """List what was dropped."""

    def oldest_at(self) -> float | None:
        """Say when the oldest record in the backlog was read."""

    def updated(self) -> float | None:
        """Say when the last commit was made."""

    def holds(self, file: FilePosition) -> bool:
        """Tell whether a record of this file is still in the backlog."""

    def close(self) -> None:
        """Close the store."""


MakeStore = Callable[[], Store]
MakeSource = Callable[[str, StreamState, Store], Source]


class Ledger:
    """The streams and the store they are kept in."""

    def __init__(self, settings: Settings, make_store: MakeStore, make_source: MakeSource, notice: Notice) -> None:
        """Open the store and load what it knows. Raises `StoreFailed`."""
        self.settings = settings
        self.streams: list[Stream] = []
        self.failing = False
        self.law_broken = False  # once broken it stays so: the counters only grow
        self.orphans: list[StreamState] = []
        self._make_store = make_store
        self._make_source = make_source
        self._notice = notice
        self._pipes: dict[str, Source] = {}
        self._carried: dict[str, Carried] = {}
        self.updated: float | None = None
        self._last_commit = 0.0
        self._failures = 0
        self._retry_at = 0.0
        self._lost_sight = 0
        self._last_views: dict[str, StreamView] = {}
        self._open()

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self, *, again: bool = False) -> None:
        self.store = self._make_store()
        self.state = self.store.state()
        suspects = 0 if again or self.state.clean else self.state.duplicate_bound
        enabled = {name: stream for name, stream in self.settings.streams.items() if stream.enabled}
        modes = {name: MODE_NAMES[stream.queue.mode] for name, stream in enabled.items()}
        self.store.begin_run(self.settings.thing_name, modes, self.settings.duplicate_bound)
        self.state = self.store.state()
        known = {state.name: state for state in self.store.streams()}
        self.streams = [self._stream(name, known.pop(name), suspects) for name in enabled]
        self.orphans = list(known.values())
        self.updated = self.store.updated()
        self._check_law(stream.books.committed for stream in self.streams)

    def _stream(self, name: str, state: StreamState, suspects: int) -> Stream:
        source = self._pipes.get(name) or self._make_source(name, state, self.store)
        if not source.replayable:
            self._pipes[name] = source
        stream = Stream(
            name=name,
            settings=self.settings.streams[name],
            topic=self.settings.topic_of(name),
            thing=self.settings.thing_name,
            epoch=self.state.epoch,
            state=state,
            source=source,
            backlog=self.store,
            notice=self._notice,
        )
        if stream.mode.cut is stream.mode.take:  # what an earlier process may have sent lies where this one cuts
            stream.books.suspects = suspects
        carried = self._carried.pop(name, None)
        if carried is not None and state.sequence < carried.sequence:  # the commit that failed was not made
            stream.take_back(carried)
        return stream

    def _check_law(self, all_counts: Iterable[Counts]) -> None:
        """Check the law on the kept counts, which costs the same however long the backlog is."""
        self.law_broken = self.law_broken or not all(map(accounting.balanced, all_counts))

    # -- committing ---------------------------------------------------------------------------------------------------

    @property
    def sent_and_settled(self) -> int:
        """Count the records that were sent and settled, and would arrive again if the next commit did not happen."""
        return sum(stream.books.sent_and_settled for stream in self.streams)

    def due(self, now: Now) -> bool:
        """Tell whether it is time for a commit."""
        if self.failing:
            return False
        if now.monotonic >= self._last_commit + self.settings.state.commit_seconds:
            return True
        if self.sent_and_settled >= self.settings.state.commit_records:
            return True
        return any(self._pressing(stream, now) for stream in self.streams)

    def _pressing(self, stream: Stream, now: Now) -> bool:
        if stream.memory_full and stream.needs_rows(now):
            return True
        if stream.books.set_aside_bytes >= SET_ASIDE_BYTES or len(stream.books.set_aside) >= SET_ASIDE_RECORDS:
            return True
        return now.monotonic >= self._last_commit + STARVED_SECONDS and _starves(stream, now)

    def due_at(self, now: Now) -> float:
        """Say when the next commit is due by time (monotonic seconds)."""
        if self.failing:
            return self._retry_at
        starves = any(_starves(stream, now) for stream in self.streams)
        return self._last_commit + (STARVED_SECONDS if starves else self.settings.state.commit_seconds)

    def commit(self, now: Now, generation: int, *, end_of_run: bool = False) -> None:
        """Write what happened since the last commit, if anything did."""
        if self.failing:
            return
        self._last_commit = now.monotonic
        changes = [(stream, change) for stream in self.streams if (change := stream.prepare(now)) is not None]
        if changes or end_of_run:
            self.store.commit([change for _, change in changes], generation, end_of_run=end_of_run)
        for stream, change in changes:
            stream.committed(change, now.monotonic)
        if changes:
            self.updated = now.wall
            self._check_law(change.counts for _, change in changes)
        self._failures = 0

    def stop_reading(self, now: Now) -> None:
        """Read no more; what was taken from a pipe already is admitted, above the limits if need be."""
        for stream in self.streams:
            stream.stop(now)

    # -- when the store fails -----------------------------------------------------------------------------------------

    def lost_sight(self, records: int) -> None:
        """Note records that are out while the store is opened anew: they are sent again."""
        self._lost_sight += records

    def failed(self, now: float) -> None:
        """Close a store whose last commit has an unknown outcome; `try_again` opens it anew."""
        self._last_views = self.views({})
        for stream in self.streams:
            if not stream.source.replayable:
                self._carried[stream.name] = stream.carry()
            else:
                stream.source.close()
        self.store.close()
        self.streams = []
        self.failing = True
        self._back_off(now)

    def _back_off(self, now: float) -> None:
        self._retry_at = now + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1

    def try_again(self, now: float) -> None:
        """Open the store anew, if it failed and the time for it has come."""
        if not self.failing or now < self._retry_at:
            return
        try:
            self._open(again=True)
        except StoreFailed as error:
            self._notice("degraded", reason="storeFailing", error=str(error))
            self.store.close()
            self._back_off(now)
            return
        self.failing = False
        if self.streams and self._lost_sight:
            self.streams[0].books.count("possibleTwins", self._lost_sight)
            self._lost_sight = 0

    def disk_low(self) -> bool:
        """Tell whether less is free on the disk than the settings ask for."""
        return self.store.free_bytes() < self.settings.state.min_free_bytes

    # -- looking ------------------------------------------------------------------------------------------------------

    def oldest_at(self) -> float | None:
        """Say when the oldest record that waits was read (wall time): in memory, or in the store."""
        ats = [span.at for stream in self.streams if (span := stream.line.oldest()) is not None]
        if self.failing:
            return None
        if any(stream.line.gap_records for stream in self.streams) or any(o.counts["pending"] for o in self.orphans):
            stored = self.store.oldest_at()
            ats += [stored] if stored is not None else []
        return min(ats, default=None)

    def views(self, in_flight: Mapping[Stream, int]) -> dict[str, StreamView]:
        """Show every stream that has a place in the store."""
        if self.failing:
            return self._last_views  # a store that fails is never shown as a fall to zero
        views = {stream.name: stream.view(in_flight.get(stream, 0)) for stream in self.streams}
        for orphan in self.orphans:
            views[orphan.name] = StreamView(counts=orphan.counts, mode=None, orphaned=orphan.counts["pending"] > 0)
        return views


def _starves(stream: Stream, now: Now) -> bool:
    """Tell whether a pipe has enough waiting for nothing but a commit, or can have no more."""
    if not now.link_works or not stream.starved:
        return False
    return stream.line.records >= STARVED_RECORDS or stream.line.half_full or stream.source.exhausted()

"""The ledger: every stream's books in one store, one transaction a commit.

Owns when a commit is due, and what happens when one fails: its outcome is unknown, so the store is opened anew and
everything is reloaded from it. Knows nothing of the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from weir.core import accounting
from weir.core.accounting import Counts
from weir.core.changes import Change, StoreState, StreamState
from weir.core.errors import StoreDamaged, StoreFailed, StoreUnusable
from weir.core.modes import MODE_NAMES
from weir.core.ports import Source
from weir.core.positions import FilePosition
from weir.core.quarantine import Kept, Shelf
from weir.core.settings import Settings
from weir.core.view import StreamView
from weir.forwarder.carried import Carried, recover
from weir.forwarder.queue import Backlog, Notice, Now
from weir.forwarder.replay import by_stream, refuse_all
from weir.forwarder.stream import Stream

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

    def note_settings(self, modes: Mapping[str, str], duplicate_bound: int) -> None:
        """Write down the modes of the streams and the duplicate bound where they change in the middle of a run."""

    def commit(self, changes: list[Change], generation: int, *, end_of_run: bool, unanswered: int) -> None:
        """Write everything in one transaction."""

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

    @property
    def quarantine(self) -> Shelf:
        """Give the look at what was set aside."""

    def purge(self, numbers: Sequence[int], *, not_kept: bool) -> int:
        """Remove entries of the quarantine, and with `not_kept` the count of those that it had no room for."""

    def close(self) -> None:
        """Close the store."""


class MakeStore(Protocol):
    """Opens the store."""

    def __call__(self, *, doubted: bool) -> Store:
        """Open it; where `doubted`, check every page and set it aside if it is damaged. Raises `StoreFailed`."""


class MakeSource(Protocol):
    """Makes the source of a stream."""

    def __call__(self, name: str, state: StreamState, store: Store, *, same_boot: bool) -> Source:
        """Make it from where the store says that it stands."""


class Legacy(NamedTuple):
    """What one ledger leaves to the next in the same process, by stream."""

    pipes: dict[str, Source]  # they are still open, and cannot be made anew
    carried: dict[str, Carried]  # what is not in the store, where it failed
    suspects: dict[str, int]  # records that the broker may have though they are pending


class Ledger:
    """The streams and the store they are kept in."""

    def __init__(
        self,
        settings: Settings,
        make_store: MakeStore,
        make_source: MakeSource,
        free_bytes: Callable[[], int],
        notice: Notice,
        *,
        legacy: Legacy | None = None,
        patient: bool = True,
    ) -> None:
        """Open the store and load what it knows; where it fails now, `try_again` goes on trying.

        One that cannot be used as it is, as that of a newer version, is an error only to who is not `patient`: whoever
        starts this again and again would get no further.
        """
        self.settings = settings
        self.streams: list[Stream] = []
        self.orphans: list[StreamState] = []
        self._state: StoreState | None = None
        self.updated: float | None = None
        self.failing = False
        self.failure = ""
        self.law_broken = False  # once broken it stays so: the counters only grow
        self._store: Store | None = None
        self._make_store = make_store
        self._make_source = make_source
        self._free_bytes = free_bytes
        self._notice = notice
        legacy = legacy or Legacy({}, {}, {})
        self._pipes = legacy.pipes
        self._carried = legacy.carried
        self._suspects = legacy.suspects
        self._doubted = False
        self._last_commit = 0.0
        self._failures = 0
        self._retry_at = 0.0
        self._last_views: dict[str, StreamView] = {}
        self._patient = patient
        self._try_to_open()

    @property
    def store(self) -> Store:
        """Give the store. Raises `StoreFailed` while there is none."""
        if self._store is None:
            raise StoreFailed(self.failure)
        return self._store

    @property
    def state(self) -> StoreState:
        """Give what is true of the store as a whole, as of its opening. Raises `StoreFailed` if it was never open."""
        if self._state is None:
            raise StoreFailed(self.failure)
        return self._state

    @property
    def opened(self) -> bool:
        """Tell whether the store was ever open."""
        return self._state is not None

    # -- opening ------------------------------------------------------------------------------------------------------

    def _try_to_open(self) -> None:
        try:
            self._open()
        except StoreFailed as error:
            self._note_failure(f"look at the disk ({error})", doubtful=isinstance(error, StoreDamaged))
        except StoreUnusable as error:
            if not self._patient:
                raise
            self._note_failure(str(error), doubtful=False)

    def _open(self) -> None:
        store = self._make_store(doubted=self._doubted)
        streams: list[Stream] = []
        try:
            before, known = self._begin_run(store)
            streams.extend(self._stream(name, known.pop(name), store, before) for name in self._modes())
            state, updated = store.state(), store.updated()
        except StoreFailed:
            for stream in streams:
                _close_unless_pipe(stream.source)
            store.close()
            raise
        self._store, self._state, self.updated = store, state, updated
        self.streams, self.orphans = streams, list(known.values())
        self._carried.clear()
        self.failing = self._doubted = False
        self._check_law(stream.books.committed for stream in streams)

    def _begin_run(self, store: Store) -> tuple[StoreState, dict[str, StreamState]]:
        """Begin a run; give what was true of the store before, and its streams by name."""
        before = store.state()
        if not self._suspects:
            self._suspects = dict.fromkeys(self._modes(), before.unanswered)
        store.begin_run(self.settings.thing_name, self._modes(), self.settings.duplicate_bound)
        return before, {state.name: state for state in store.streams()}

    def _modes(self) -> dict[str, str]:
        """Give the streams of this run with the names of their queue modes."""
        return {name: MODE_NAMES[s.queue.mode] for name, s in self.settings.streams.items() if s.enabled}

    def _stream(self, name: str, state: StreamState, store: Store, before: StoreState) -> Stream:
        carried = recover(self._carried[name], state.files) if name in self._carried else None
        source = self._pipes.get(name) or self._make_source(name, state, store, same_boot=before.same_boot)
        if not source.replayable:
            self._pipes[name] = source
        stream = Stream(
            name=name,
            settings=self.settings.streams[name],
            topic=self.settings.topic_of(name),
            thing=self.settings.thing_name,
            epoch=before.epoch,
            state=state,
            source=source,
            backlog=store,
            notice=self._notice,
        )
        if stream.mode.cut is stream.mode.take:  # what was sent before lies where this one cuts
            stream.books.suspects = self._suspects.get(name, 0)
        if carried is not None:
            stream.take_back(carried)
        return stream

    def _check_law(self, all_counts: Iterable[Counts]) -> None:
        """Check the law on the kept counts, which costs the same however long the backlog is."""
        self.law_broken = self.law_broken or not all(map(accounting.balanced, all_counts))

    def apply(self, settings: Settings) -> None:
        """Go by other settings of queues and commits from now on. Raises `StoreFailed`."""
        self.settings = settings
        for stream in self.streams:
            stream.apply(settings.streams[stream.name])
        if not self.failing:
            self.store.note_settings(self._modes(), settings.duplicate_bound)

    # -- committing ---------------------------------------------------------------------------------------------------

    @property
    def sent_and_settled(self) -> int:
        """Count the records that were sent and settled, and would arrive again if the next commit did not happen."""
        return sum(stream.books.sent_and_settled for stream in self.streams)

    def due(self, now: Now) -> bool:
        """Tell whether it is time for a commit."""
        if self.failing:
            return False
        state = self.settings.state
        if now.monotonic >= self._last_commit + state.commit_seconds or self.sent_and_settled >= state.commit_records:
            return True
        return any(self._pressing(stream, now) for stream in self.streams)

    def _pressing(self, stream: Stream, now: Now) -> bool:
        if stream.books.crowded or (stream.memory_full and stream.needs_rows(now)):
            return True
        if stream.books.since["possibleTwins"]:  # a kill would forget them, and they come all the same
            return True
        return now.monotonic >= self._last_commit + STARVED_SECONDS and _starves(stream, now)

    def due_at(self, now: Now) -> float:
        """Say when the next commit is due by time (monotonic seconds)."""
        if self.failing:
            return self._retry_at
        starves = any(_starves(stream, now) for stream in self.streams)
        return self._last_commit + (STARVED_SECONDS if starves else self.settings.state.commit_seconds)

    def commit(self, now: Now, generation: int, *, end_of_run: bool = False, unanswered: int = 0) -> None:
        """Write what happened since the last commit, if anything did."""
        if self.failing:
            return
        self._last_commit = now.monotonic
        changes = [(stream, change) for stream in self.streams if (change := stream.prepare(now)) is not None]
        if changes or end_of_run:
            written = [change for _, change in changes]
            self.store.commit(written, generation, end_of_run=end_of_run, unanswered=unanswered)
        for stream, change in changes:
            stream.committed(change, now.monotonic)
        if changes:
            self.updated = now.wall
            self._check_law(change.counts for _, change in changes)
        self._failures = 0

    def replay(self, kept: Sequence[Kept], now: Now, generation: int, message_bytes: int) -> dict[int, str]:
        """Take records out of the quarantine and into their streams, in one transaction with all else there is.

        Say which stay in quarantine, by number, and why. Raises `StoreFailed`: then nobody knows yet which went.
        """
        if self.failing:
            raise StoreFailed(self.failure)
        streams = {stream.name: stream for stream in self.streams}
        refused: dict[int, str] = {}
        for name, of_it in by_stream(kept).items():
            if name in streams:
                refused |= streams[name].replay(of_it, now, message_bytes)
            else:
                refused |= refuse_all(of_it, f"the settings have no stream {name}")
        self.commit(now, generation)
        return refused

    def stop_reading(self, now: Now, keep: Container[str] = ()) -> None:
        """Read no more, but for the pipes to keep; what was taken from one is admitted, above the limits if need be."""
        for stream in self.streams:
            stream.stop(now, keep=stream.name in keep)

    def close(self, names: Container[str] = ()) -> Legacy:
        """Close the store, and leave what these streams have to the ledger that comes after this one."""
        self.streams = []
        if self._store is not None:
            self._store.close()
            self._store = None
        return Legacy(
            {name: source for name, source in self._pipes.items() if name in names},
            {name: carried for name, carried in self._carried.items() if name in names},
            dict(self._suspects) if self.failing else {},
        )

    # -- when the store fails -----------------------------------------------------------------------------------------

    def failed(self, now: float, error: StoreFailed, out: Mapping[Stream, int]) -> None:
        """Close a store whose last commit has an unknown outcome; `try_again` opens it anew.

        What is `out`, by stream, is sent again, and so is what was settled since the last commit if the failed one was
        not made: never more than the duplicate bound, which the store counts when a run begins that did not end.
        """
        self._last_views = self.views({})
        for stream in self.streams:
            _close_unless_pipe(stream.source)  # first, for it says then what is lost with it
            self._carried[stream.name] = stream.carry()
            self._suspects[stream.name] = stream.doubtful(out.get(stream, 0))
        self.streams = []
        if self._store is not None:
            self._store.close()
            self._store = None
        self._note_failure(f"look at the disk ({error})", doubtful=isinstance(error, StoreDamaged))
        self._retry_at = now + RETRY_SECONDS[0]

    def _note_failure(self, failure: str, *, doubtful: bool) -> None:
        self.failing = True
        self.failure = failure
        self._doubted = self._doubted or doubtful

    def try_again(self, now: float) -> None:
        """Open the store anew, if it failed and the time for it has come (monotonic seconds)."""
        if not self.failing or now < self._retry_at:
            return
        self._try_to_open()
        if self.failing:
            self._failures += 1
            self._retry_at = now + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]

    def disk_low(self) -> bool:
        """Tell whether less is free on the disk than the settings ask for, or nobody can tell how much is."""
        try:
            return self._free_bytes() < self.settings.state.min_free_bytes
        except OSError:
            return True

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def bytes_written(self) -> int:
        """Count the bytes that the store has written, as far as committed; 0 while there is no store."""
        return self._store.bytes_written if self._store is not None else 0

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


def _close_unless_pipe(source: Source) -> None:
    """Close a source that can be made again; what a pipe's reader holds would be lost."""
    if source.replayable:
        source.close()

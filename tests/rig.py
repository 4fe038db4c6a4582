"""A forwarder in the hands of a test: the real loop, ledger, store and sources, and a clock that is moved by hand.

Waiting costs no time: whenever the loop would wait, the clock is moved to where it would have woken.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.checker import Look
from weir.core import accounting
from weir.core.changes import StreamState
from weir.core.configuration import Surroundings, parse
from weir.core.errors import StoreFailed
from weir.core.line import Gap, Loaded
from weir.core.ports import Source, Transport
from weir.core.settings import Settings
from weir.core.topics import MESSAGE_BYTES
from weir.core.view import View
from weir.forwarder.forwarder import Clock, Forwarder
from weir.forwarder.health import Health
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger
from weir.forwarder.ledger import Store as LedgerStore
from weir.report import status
from weir.sources.stdin import PipeSource
from weir.store.directory import StateDirectory, own
from weir.store.store import Store
from weir.wiring import assembly

MakeTransport = Callable[[Inbox], Transport]

STREAM = "telemetry"
TOPIC = "telemetry/gateway/telemetry"
EPOCH_SECONDS = 1_700_000_000.0
REAL_SECONDS = 0.0005  # what a wait of the loop really takes, so that the thread that reads a pipe has its turn
MOST_TURNS = 20_000


def settings(directory: Path, changes: Mapping[str, object]) -> Settings:
    """Give settings with one stream; `changes` are paths with `__` for the dots."""
    document: dict[str, Any] = {
        "thingName": "gateway",
        "connection": {"reconnectMinSeconds": 1, "reconnectMaxSeconds": 1},
        "pace": {"publishesPerSecond": "none", "bytesPerSecond": "none"},
        "state": {"path": str(directory / "state"), "minFreeBytes": 1},
        "streams": {STREAM: {"source": {"path": str(directory / "inbox"), "format": "jsonl", "settleSeconds": 0.2}}},
    }
    for path, value in changes.items():
        *groups, name = path.split("__")
        section = document
        for group in groups:
            section = section.setdefault(group, {})
        section[name] = value
    return parse(document, Surroundings("gateway", "host", str(directory), under_nucleus=False, root_ca_path=None))


class Faults:
    """When the store fails: `when` is asked at every call that can, with its number, and says `before` or `after`."""

    def __init__(self, when: Callable[[int, str], str | None] = lambda _number, _call: None) -> None:
        self.when = when
        self.calls = 0
        self.failures = 0

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        self.calls += 1
        fault = self.when(self.calls, call)
        if fault == "before":
            self._fail(call)
        yield
        if fault == "after":
            self._fail(call)

    def _fail(self, call: str) -> None:
        self.failures += 1
        raise StoreFailed(f"a planted failure of {call}")


class FaultyStore(Store):
    """The real store, which fails when it is told to: before it does a thing, or after it has really done it."""

    def __init__(self, directory: StateDirectory, clock: Callable[[], float], faults: Faults, *, doubted: bool) -> None:
        self.faults = faults
        try:
            with faults.around("open"):
                super().__init__(directory, clock, quarantine_max_bytes=1 << 20, doubted=doubted)
        except BaseException:
            if hasattr(self, "_database"):
                self.close()  # as the real one does, whatever fails once it is open
            raise

    def begin_run(self, *run: Any) -> None:
        with self.faults.around("begin_run"):
            super().begin_run(*run)

    def streams(self) -> list[StreamState]:
        with self.faults.around("streams"):
            return super().streams()

    def load(self, stream: int, gap: Gap, limit: int, *, newest: bool) -> Loaded:
        with self.faults.around("load"):
            return super().load(stream, gap, limit, newest=newest)

    def commit(self, changes: Any, generation: int = 0, **end: Any) -> None:
        with self.faults.around("commit"):
            super().commit(changes, generation, **end)

    def purge(self, numbers: Any, **what: Any) -> int:
        with self.faults.around("purge"):
            return super().purge(numbers, **what)

    def updated(self) -> float | None:
        with self.faults.around("updated"):
            return super().updated()


class ByHand(Inbox):
    """An inbox whose waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def wait(self, seconds: float, items: int) -> None:
        super().wait(min(seconds, REAL_SECONDS), items)
        self.now += seconds


class InRealTime(Inbox):
    """An inbox that waits, for a transport that takes its time."""

    @property
    def now(self) -> float:
        return time.monotonic()


class Rig:
    """One stream, from a directory or a pipe, and everything around it."""

    def __init__(
        self,
        directory: Path,
        make_transport: MakeTransport,
        *,
        pipe: bool = False,
        in_real_time: bool = False,
        faults: Faults | None = None,
        changes: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.directory = directory
        self.inbox_path = directory / "inbox"
        self.inbox_path.mkdir(parents=True, exist_ok=True)
        self.faults = faults or Faults()
        self.received: Callable[[], list[bytes]] = list  # what has arrived at the broker; a test may know
        self.fed: list[bytes] = []
        self.looks: list[Look] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.settings = settings(directory, changes)
        self._pipe = os.pipe() if pipe else None
        self._in_real_time = in_real_time
        self.begin(make_transport)

    def begin(self, make_transport: MakeTransport) -> None:
        """Begin a run, as a process would that was just started."""
        self._left = False
        self._sources: list[Source] = []
        self._stores: list[Store] = []
        self.inbox: ByHand | InRealTime = InRealTime() if self._in_real_time else ByHand()
        self.clock = Clock(lambda: EPOCH_SECONDS + self.inbox.now, lambda: self.inbox.now)
        self.owned = own(self.directory / "state", wait_seconds=0)
        self.transport = make_transport(self.inbox)
        self.ledger = Ledger(self.settings, self._make_store, self._make_source, self.owned.free_bytes, self.notice)
        self.forwarder = Forwarder(
            settings=self.settings,
            ledger=self.ledger,
            transport=self.transport,
            inbox=self.inbox,
            clock=self.clock,
            health=Health(self.notice),
            notice=self.notice,
        )
        self.transport.start()

    def notice(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields))

    def _make_store(self, *, doubted: bool) -> Store:
        self._stores.append(FaultyStore(self.owned, self.clock.wall, self.faults, doubted=doubted))
        return self._stores[-1]

    def _make_source(self, name: str, state: StreamState, store: LedgerStore, *, same_boot: bool) -> Source:
        source: Source
        if self._pipe is None:
            make_source = assembly.source_maker(self.settings, self.inbox, self.notice, MESSAGE_BYTES)
            source = make_source(name, state, store, same_boot=same_boot)
        else:
            source = PipeSource(
                self._pipe[0],
                fmt="jsonl",
                max_record_bytes=assembly.max_record_bytes(self.settings, name, MESSAGE_BYTES),
                clock=self.clock.wall,
                wake=self.inbox.wake,
                first_sequence=state.sequence,
            )
        self._sources.append(source)
        return source

    # The producer

    def feed(self, count: int) -> None:
        """Give so many more records; every thirteenth is none."""
        numbers = range(len(self.fed), len(self.fed) + count)
        records = [b'{"id":%d%s' % (number, b"" if number % 13 == 12 else b"}") for number in numbers]
        self.fed += records
        content = b"".join(record + b"\n" for record in records)
        if self._pipe is None:
            with (self.inbox_path / f"{len(self.fed) // 50}.jsonl").open("ab") as file:
                file.write(content)
        else:
            os.write(self._pipe[1], content)

    # The loop

    def turn(self) -> None:
        self.forwarder.turn()
        self.forwarder.wait()
        if not self.ledger.failing:
            self.look()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()

    def until(self, condition: Callable[[], object], what: str, real_seconds: float | None = None) -> None:
        """Take turns until the condition holds; a limited number of them, or for so long."""
        turns = range(MOST_TURNS) if real_seconds is None else _for_so_long(real_seconds)
        for _ in turns:
            if condition():
                return
            self.turn()
        raise AssertionError(f"never: {what}; the last events: {self.events[-10:]}; {self.document()}")

    def seconds(self, seconds: float) -> None:
        """Take turns for so long, by the clock of the loop."""
        end = self.inbox.now + seconds
        self.until(lambda: self.inbox.now >= end, "time passes")

    def drain(self, real_seconds: float | None = None) -> None:
        """Take turns until everything that was fed is settled and committed."""
        self.until(lambda: self.settled == len(self.fed), "all is settled", real_seconds)

    # What there is to see

    @property
    def counts(self) -> dict[str, int]:
        """Give the committed counters."""
        views = self.ledger.views({})
        return views[STREAM].counts if STREAM in views else accounting.zero()

    @property
    def settled(self) -> int:
        """Count the records that are read and not pending any more, as the last commit says."""
        return self.counts["read"] - self.counts["pending"]

    @property
    def degraded(self) -> list[str]:
        return [one.reason for one in self.forwarder.health.degraded]

    def document(self) -> status.Document:
        """Give the status document."""
        store = self.ledger.state
        view = View(
            epoch=store.epoch,
            epoch_since=store.epoch_since,
            streams=self.ledger.views(self.forwarder.window.by_stream()),
            possible_twins=store.possible_twins,
            state_lost=store.state_lost,
            state=self.forwarder.link.state,
            held_by=self.forwarder.held_by,
        )
        return status.document(view, self.clock.wall())

    def look(self) -> None:
        """Note the counters, if they are others than last time."""
        document = self.document()
        if not self.looks or document["records"] != self.looks[-1].status["records"]:
            self.looks.append(Look(document, len(self.received()), 0))

    def stop(self) -> None:
        """End the run in order."""
        self.forwarder.stop()
        self._leave()

    def die(self) -> None:
        """End the run without a word: what was not committed is gone."""
        self._leave()

    def end_input(self) -> None:
        """Let the producer of a pipe end."""
        if self._pipe is not None:
            os.close(self._pipe[1])
            self._pipe = (self._pipe[0], os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))

    def _leave(self) -> None:
        self._left = True
        for source in self._sources:
            source.close()
        for store in self._stores:
            store.close()
        self.owned.close()
        self.inbox.close()

    def close(self) -> None:
        """End everything, however far it got."""
        if not self._left:
            self.transport.close(0)
            self._leave()
        for descriptor in self._pipe or ():
            os.close(descriptor)
        self._pipe = None


def _for_so_long(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield

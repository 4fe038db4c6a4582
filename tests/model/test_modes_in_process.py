"""The loop, the ledger and the real store, without a broker or a clock: random records, limits, restarts and faults."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeTransport
from tests.fakes.source import FakeSource, Tape
from tests.model.queue import DROP_MODES, HOLD_MODES, OVERHEAD, REASONS, comes_from_a_stack, kept
from weir.core import accounting
from weir.core.accounting import Counts
from weir.core.changes import StreamState
from weir.core.configuration import Surroundings, parse
from weir.core.settings import Settings
from weir.core.span import SPAN_RECORDS
from weir.forwarder.forwarder import Clock, Forwarder
from weir.forwarder.health import Health
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger, Store
from weir.store.directory import own
from weir.wiring.assembly import store_maker

AT_HOME = Surroundings(thing_name="bench", host_name="bench", work_path="/here", under_nucleus=False, root_ca_path=None)
LARGEST = 40
BIRTH_OF_TIME = 1_700_000_000.0
PATIENCE_SECONDS = 100_000.0
STALL_SECONDS = 200.0  # without an answer for so long the connection is replaced

Feed = Literal["directory", "pipe"]


class Limits(NamedTuple):
    records: int | None
    bytes: int | None


class Bench:
    """A device in memory, but for its state: tape, loop and transport, and a clock that is moved by hand."""

    def __init__(self, path: Path, feed: Feed, mode: int, limits: Limits, **gate: int) -> None:
        self.tape = Tape(replayable=feed == "directory")
        self.settings = _settings(path, mode, limits, gate)
        self.now = 0.0
        self.received: list[bytes] = []
        self._numbered = 0
        self.open()

    def open(self) -> None:
        self.directory = own(Path(self.settings.state.path), wait_seconds=0)
        self.inbox = Inbox()
        self.transport = FakeTransport(self.inbox.post, self.inbox.settled, reachable=False)
        make_store = store_maker(self.settings, self.directory, _say_nothing)
        self.ledger = Ledger(
            self.settings,
            make_store,
            self._make_source,
            self.directory.free_bytes,
            _say_nothing,
        )
        clock = Clock(lambda: BIRTH_OF_TIME + self.now, lambda: self.now)
        self.forwarder = Forwarder(
            health=Health(lambda *_, **__: None),
            settings=self.settings,
            ledger=self.ledger,
            transport=self.transport,
            inbox=self.inbox,
            clock=clock,
            notice=_say_nothing,
        )
        self.transport.start()

    def _make_source(self, name: str, state: StreamState, store: Store, *, same_boot: bool) -> FakeSource:
        return FakeSource(self.tape, state)

    @property
    def counts(self) -> Counts:
        """Give the committed counters; the law must hold in them, and none may have fallen."""
        return self.ledger.streams[0].books.committed

    @property
    def holds_unstored(self) -> bool:
        """Tell whether records were taken from a pipe for which the queue has no room."""
        return not self.tape.replayable and self.settings.streams["telemetry"].queue.mode in HOLD_MODES

    @property
    def twins(self) -> int:
        return self.counts["possibleTwins"] + self.ledger.state.possible_twins

    def write(self, sizes: list[int]) -> None:
        records = []
        for size in sizes:
            records.append(f"{self._numbered}:".encode().ljust(size, b"x"))
            self._numbered += 1
        self.tape.write(records)

    def turn(self, seconds: float = 0.01) -> None:
        self.now += seconds
        self.inbox.wake()
        self.forwarder.turn()
        self.forwarder.wait()

    def take_in(self) -> None:
        """Take turns until all that can be read is read, and committed."""
        for _ in range(2 + len(self.tape.records) // SPAN_RECORDS):
            self.turn()
        self.commit()

    def commit(self) -> None:
        self.turn(self.settings.state.commit_seconds)

    def drain(self) -> None:
        """Let the link come and everything arrive."""
        self.transport.resume()
        while not self.forwarder.drained:
            self.turn(0.1)
            assert self.now < PATIENCE_SECONDS, self.counts
        self.commit()

    def stop(self) -> None:
        self.forwarder.stop(hurried=lambda: True)  # no waiting for answers: the clock stands still
        self._close()

    def restart(self, *, crash: bool) -> None:
        if crash:
            self._close()
        else:
            self.stop()
        self.open()

    def _close(self) -> None:
        self.received += [message.payload for message in self.transport.received]
        self.ledger.store.close()
        self.directory.close()
        self.inbox.close()


def _say_nothing(_event: str, **_fields: object) -> None:
    """Stand in for the log."""


def _settings(path: Path, mode: int, limits: Limits, gate: dict[str, int]) -> Settings:
    queue = {"mode": mode, "maxRecords": limits.records or "none", "maxBytes": limits.bytes or "none"}
    document = {
        "streams": {"telemetry": {"queue": queue}},
        "state": {"path": str(path), "minFreeBytes": 1},
        "pace": {"publishesPerSecond": "none", "bytesPerSecond": "none"},
        "gate": gate,
    }
    return parse(document, AT_HOME)


@contextmanager
def bench_of(feed: Feed, mode: int, limits: Limits, **gate: int) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as path:
        bench = Bench(Path(path) / "state", feed, mode, limits, **gate)
        yield bench
        bench.stop()


limits_of_a_queue = st.one_of(
    st.builds(Limits, st.integers(1, 12), st.none()),
    st.builds(Limits, st.none(), st.integers(LARGEST + OVERHEAD, 900)),
    st.builds(Limits, st.integers(1, 12), st.integers(LARGEST + OVERHEAD, 900)),
)
sizes = st.lists(st.integers(0, LARGEST), min_size=1, max_size=20)
step = st.one_of(sizes, st.sampled_from(["commit", "stop", "crash"]))


def take(bench: Bench, steps: list[Any]) -> None:
    """Let records come and processes end, while there is no link; at the end everything is read that may be."""
    for what in steps:
        if isinstance(what, list):
            bench.write(what)
            bench.turn()
        elif what == "commit":
            bench.commit()
        else:
            if not bench.tape.replayable:
                bench.take_in()  # what was read of a pipe and not committed is lost with the process
            bench.restart(crash=what == "crash" and not bench.holds_unstored)
    bench.take_in()


@pytest.mark.parametrize("feed", ["directory", "pipe"])
@settings(max_examples=80)
@given(mode=st.sampled_from(DROP_MODES), limits=limits_of_a_queue, steps=st.lists(step, max_size=6))
def test_what_a_drop_mode_keeps_arrives_in_its_order(feed: Feed, mode: int, limits: Limits, steps: list[Any]) -> None:
    with bench_of(feed, mode, limits) as bench:
        take(bench, steps)
        records = bench.tape.records
        expected = kept(mode, records, limits.records, limits.bytes)
        assert bench.counts["pending"] == len(expected)
        bench.drain()
        assert [message.payload for message in bench.transport.received] == expected
        counts = bench.counts
        assert (counts["read"], counts["delivered"], counts["pending"]) == (len(records), len(expected), 0)
        assert counts[accounting.DROPPED[REASONS[mode]]] == len(records) - len(expected)
        assert bench.ledger.store.law() == []
        losses = bench.ledger.store.losses()
        assert sum(loss[5] for loss in losses) == len(records) - len(expected)
        assert sum(loss[6] for loss in losses) == sum(map(len, records)) - sum(map(len, expected))


@pytest.mark.parametrize("feed", ["directory", "pipe"])
@settings(max_examples=60)
@given(mode=st.sampled_from(HOLD_MODES), limits=limits_of_a_queue, steps=st.lists(step, max_size=6))
def test_a_mode_that_holds_delivers_all_of_it(feed: Feed, mode: int, limits: Limits, steps: list[Any]) -> None:
    with bench_of(feed, mode, limits) as bench:
        take(bench, steps)
        records = bench.tape.records
        bench.drain()
        arrived = [message.payload for message in bench.transport.received]
        if mode == 4:
            assert arrived == records
        else:
            assert comes_from_a_stack(arrived, records, len(records))
        counts = bench.counts
        assert (counts["read"], counts["delivered"], counts["pending"]) == (len(records), len(records), 0)
        assert bench.ledger.store.law() == []


FAULTS: dict[str, Callable[[Bench], object]] = {
    "turn": Bench.turn,
    "wait": lambda bench: bench.turn(3.0),
    "connect": lambda bench: bench.transport.resume(),
    "interrupt": lambda bench: bench.transport.interrupt(),
    "give up": lambda bench: bench.transport.give_up(),
    "write": lambda bench: bench.transport.write_all(),
    "ack": lambda bench: bench.transport.ack(3),
    "stall": lambda bench: bench.turn(STALL_SECONDS),
    "stop": lambda bench: bench.restart(crash=False),
    "crash": lambda bench: bench.restart(crash=True),
}
fault = st.one_of(sizes, st.sampled_from(sorted(FAULTS)))


def suffer(bench: Bench, what: str | list[int]) -> None:
    """Let records come, or one thing happen."""
    bench.write(what) if isinstance(what, list) else FAULTS[what](bench)
    bench.transport.hold_acks = True
    bench.turn()


@pytest.mark.parametrize("feed", ["directory", "pipe"])
@settings(max_examples=60)
@given(mode=st.integers(0, 5), limits=limits_of_a_queue, faults=st.lists(fault, max_size=25))
def test_through_any_faults_the_law_holds_and_nothing_is_unaccounted_for(
    feed: Feed, mode: int, limits: Limits, faults: list[Any]
) -> None:
    with bench_of(feed, mode, limits, maxInFlight=3) as bench:
        last = bench.counts
        for what in faults:
            suffer(bench, what)
            assert bench.ledger.store.law() == []
            assert all(bench.counts[name] >= last[name] for name in last if name != "pending")
            last = bench.counts
        bench.transport.hold_acks = False
        bench.drain()
        records, counts = bench.tape.records, bench.counts
        received = Counter(bench.received + [message.payload for message in bench.transport.received])
        assert received.keys() <= set(records)
        assert sum(received.values()) - len(received) <= bench.twins
        assert counts["delivered"] <= len(received)
        # What never arrived was dropped; what was dropped never arrived, unless it is said that it may have.
        lost = len(records) - len(received)
        dropped = sum(counts[accounting.DROPPED[reason]] for reason in accounting.DROP_REASONS)
        if feed == "directory" or "crash" not in faults:
            assert counts["read"] == len(records)
            assert lost <= dropped <= lost + counts["droppedAfterAttempt"] + bench.twins
        if mode in HOLD_MODES:
            assert dropped == 0

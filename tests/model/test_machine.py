"""A state machine over queue, settlement and the real store, against a model of ten lines: the law is its invariant.

Hypothesis chooses what happens and in which order, and shrinks what goes wrong to the shortest story. The clock is
moved by hand; the transport is in memory, so that an acknowledgement comes exactly when a rule says so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.queue import HOLD_MODES, OVERHEAD
from tests.model.test_modes_in_process import LARGEST, STALL_SECONDS, Bench, Feed, Limits
from weir.core import accounting
from weir.core.accounting import Counts

WINDOW = 3
ENDS = ("delivered", "unconfirmed", "handedOver")
sizes = st.lists(st.integers(0, LARGEST), min_size=1, max_size=12)
limits_of_a_queue = st.one_of(
    st.builds(Limits, st.integers(1, 12), st.none()),
    st.builds(Limits, st.integers(1, 12), st.integers(LARGEST + OVERHEAD, 900)),
)


class Model:
    """What may be true of a forwarder, said without any of its words: records go in, arrive, or are said to be gone."""

    def __init__(self, *, may_crash: bool) -> None:
        self.crashes = 0
        self.may_crash = may_crash  # a crash excuses so many twins that nothing else could be told by them
        self.excused = 0  # the most records that what happened can have made arrive twice

    def broken(self, fed: list[bytes], arrived: Counter[bytes], counts: Counts, twins: int) -> str:
        gone = sum(counts[name] for name in (*accounting.DROPPED.values(), *accounting.QUARANTINED.values()))
        ended = sum(counts[name] for name in ENDS)
        if counts["read"] != ended + gone + counts["pending"] or counts["read"] > len(fed):
            return "the law"
        if not arrived.keys() <= set(fed) or ended > len(arrived):
            return "something arrived that was never fed, or is said to have and did not"
        found = arrived.total() - len(arrived)
        if found > self.excused:
            return "more twins than what happened excuses"
        return "" if found <= twins else "more twins than were said to be possible"


class Machine(RuleBasedStateMachine):
    """One device; what it lives through is chosen by hypothesis."""

    @initialize(
        feed=st.sampled_from(["directory", "pipe"]),
        mode=st.integers(0, 5),
        limits=limits_of_a_queue,
        may_crash=st.booleans(),
    )
    def begin(self, feed: Feed, mode: int, limits: Limits, *, may_crash: bool) -> None:
        self.place = tempfile.mkdtemp(prefix="weir-machine-")
        self.mode = mode
        self.model = Model(may_crash=may_crash)
        self.bench = Bench(Path(self.place) / "state", feed, mode, limits, maxInFlight=WINDOW)
        self.bench.transport.hold_acks = True
        self.bench.transport.resume()
        self.last = self.bench.counts

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(records=sizes)
    def records_come(self, records: list[int]) -> None:
        self.bench.write(records)
        self.bench.turn()

    @rule(seconds=st.sampled_from([0.01, 0.3, 3.0, STALL_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.model.excused += WINDOW if seconds == STALL_SECONDS else 0  # the connection may be replaced
        self.bench.turn(seconds)
        self.bench.turn()

    @rule()
    def it_commits(self) -> None:
        self.bench.commit()

    @rule()
    def the_link_comes(self) -> None:
        self.bench.transport.resume()
        self.bench.turn()

    @rule()
    def the_link_goes(self) -> None:
        self.model.excused += WINDOW
        self.bench.transport.interrupt()
        self.bench.turn()

    @rule()
    def the_link_blinks(self) -> None:
        self.the_link_goes()
        self.the_link_comes()

    @rule()
    def the_client_gives_up(self) -> None:
        self.model.excused += 1
        self.bench.transport.give_up()
        self.bench.turn()

    @rule()
    def the_client_writes(self) -> None:
        self.bench.transport.write_all()
        self.bench.turn()

    @rule(count=st.integers(1, WINDOW))
    def the_broker_answers(self, count: int) -> None:
        self.bench.transport.ack(count)
        self.bench.turn()

    @rule()
    def it_stops_and_starts(self) -> None:
        self.model.excused += WINDOW
        self._restart(crash=False)

    @precondition(lambda self: self.model.may_crash)
    @rule()
    def it_is_killed_and_starts(self) -> None:
        self.model.crashes += 1
        self.model.excused += self.bench.settings.duplicate_bound
        self._restart(crash=True)

    def _restart(self, *, crash: bool) -> None:
        self.bench.restart(crash=crash)
        self.bench.transport.hold_acks = True
        self.bench.turn()

    # -- what is always true ------------------------------------------------------------------------------------------

    @invariant()
    def no_promise_is_broken(self) -> None:
        bench = self.bench
        assert bench.ledger.store.law() == []
        assert self.model.broken(bench.tape.records, self.arrived(), bench.counts, bench.twins) == ""
        fallen = [name for name in self.last if name != "pending" and bench.counts[name] < self.last[name]]
        assert not fallen
        self.last = bench.counts

    def arrived(self) -> Counter[bytes]:
        return Counter([*self.bench.received, *(message.payload for message in self.bench.transport.received)])

    # -- what is true in the end --------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        try:
            self.bench.transport.hold_acks = False
            self.bench.drain()
            self.no_promise_is_broken()
            self._nothing_is_unaccounted_for()
            self.bench.stop()
        finally:
            shutil.rmtree(self.place, ignore_errors=True)

    def _nothing_is_unaccounted_for(self) -> None:
        counts, fed = self.bench.counts, self.bench.tape.records
        dropped = sum(counts[accounting.DROPPED[reason]] for reason in accounting.DROP_REASONS)
        assert counts["pending"] == 0
        assert dropped == 0 or self.mode not in HOLD_MODES
        if not self.bench.tape.replayable and self.model.crashes:
            return  # what a process had read of a pipe and not committed went with it
        missing = len(fed) - len(self.arrived())
        assert counts["read"] == len(fed)
        assert missing <= dropped <= missing + counts["droppedAfterAttempt"] + self.bench.twins


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=30)

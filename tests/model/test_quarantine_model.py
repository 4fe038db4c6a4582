"""Setting aside, replaying and purging, in any order, with a store that fails and processes that are killed.

The law of quarantine: what was ever set aside is there, or was replayed, or was purged; and what is read is what the
producer gave, plus what was replayed. The real loop and store; the broker is in memory.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fakes import FakeTransport
from tests.rig import STREAM, Faults
from tests.world import Case, Killed, Mortal, World
from weir.core.accounting import QUARANTINED
from weir.core.errors import Refused, StoreFailed
from weir.core.quarantine import Entry, Kept
from weir.forwarder.inbox import Inbox
from weir.store.store import Store
from weir.wiring import aside

SEED = st.none() | st.integers(0, 1 << 16)  # None: all there are
CASES = [Case(pipe=pipe, mode=mode) for pipe in (False, True) for mode in (0, 1, 3, 4)]


class Planned(Faults):
    """Fails at one call from now on, or ends the process there."""

    def __init__(self) -> None:
        super().__init__(self._decide)
        self._plan: tuple[int, str, bool] | None = None
        self._deadly = False

    def plan(self, ahead: int, when: str, *, deadly: bool) -> None:
        self._plan = (self.calls + ahead, when, deadly)

    def forget(self) -> None:
        self._plan = None

    def _decide(self, number: int, _call: str) -> str | None:
        if self._plan is None or number < self._plan[0]:
            return None
        (_, when, self._deadly), self._plan = self._plan, None
        return when

    def _fail(self, call: str) -> None:
        if self._deadly:
            raise Killed(call)
        super()._fail(call)


class Choosy(Mortal):
    """A client that will not send some records for a while."""

    refusing = False

    def publish(self, topic: str, payload: bytes, *more: Any) -> Any:
        if Choosy.refusing and b"7" in payload:
            raise Refused("not this one")
        return super().publish(topic, payload, *more)


class ChoosyWorld(World):
    """A world with that client, in which a kill may come at any call."""

    def _make_transport(self, inbox: Inbox) -> FakeTransport:
        self.transport = Choosy(inbox, self.faults, self.arrived)
        return self.transport


class Life(RuleBasedStateMachine):
    """Everything that can happen to what is set aside."""

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = contextlib.ExitStack()
        self.path = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))
        self.purged = self.most_set_aside = self.most_replayed = 0
        self.killed = False
        Choosy.refusing = False

    @initialize(case=st.sampled_from(CASES))
    def begin(self, case: Case) -> None:
        self.faults = Planned()
        self.world = ChoosyWorld(self.path, case, self.faults, mortal=True)
        self.rig = self.world.rig
        self.cleanup.callback(self.rig.close)
        self.world.transport.resume()
        self.feed_and_look(60, 3.0)  # every thirteenth is set aside

    # What happens

    @rule(count=st.integers(0, 40), seconds=st.sampled_from([0.1, 0.5, 1.2, 3.0]))
    def feed_and_look(self, count: int, seconds: float) -> None:
        self.rig.feed(count)
        self.surviving(lambda: self.rig.seconds(seconds))

    @rule(up=st.booleans())
    def link(self, up: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        if up:
            self.world.transport.resume()
        else:
            self.world.transport.interrupt()

    @rule(refusing=st.booleans())
    def refuse(self, refusing: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        Choosy.refusing = refusing

    @rule(pick=SEED)
    def replay(self, pick: int | None) -> None:
        numbers = self.chosen(pick)
        kept = [Kept(n, STREAM, body) for n, body in self.bodies(numbers).items()]
        self.surviving(lambda: self.rig.forwarder.replay(kept) if kept else None)

    @rule(pick=SEED)
    def purge(self, pick: int | None) -> None:
        numbers = self.chosen(pick)
        self.surviving(lambda: self.rig.forwarder.purge(numbers, not_kept=pick is None) if numbers else None)
        self.recover()
        self.purged += len(numbers) - len(self.rig.ledger.store.quarantine.found(numbers) if numbers else [])

    @rule(pick=SEED, when=st.sampled_from([None, "before", "after"]))
    def replay_while_nobody_runs(self, pick: int | None, when: str | None) -> None:
        numbers = self.chosen(pick)
        request = {"do": "replay", **({} if pick is None else {"ids": numbers})}
        self.kill()
        if when is not None:
            self.faults.plan(2, when, deadly=True)  # its streams are listed first, then it commits
        with contextlib.suppress(StoreFailed, Killed):
            aside.answer_from(self.rig.ledger.store, request)  # type: ignore[arg-type]  # it is the real one
        self.kill()

    @rule(ahead=st.integers(1, 4), when=st.sampled_from(["before", "after"]), deadly=st.booleans())
    def plan_a_failure(self, ahead: int, when: str, deadly: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        self.faults.plan(ahead, when, deadly=deadly)

    @rule()
    def kill(self) -> None:
        self.faults.forget()
        self.killed = True
        self.world.be_killed()

    # The steps of it

    def surviving(self, step: Any) -> None:
        """Do something; a process that is killed over it is begun anew, a failure of the store is told to who asked."""
        try:
            step()
        except Killed:
            self.kill()
        except StoreFailed:
            pass

    def chosen(self, seed: int | None) -> list[int]:
        self.recover()
        entries = [entry.number for entry in self.entries()]
        if seed is None or not entries:
            return entries
        pick = random.Random(seed)  # a draw here would depend on what the thread that reads the pipe had time for
        return sorted(pick.sample(entries, pick.randint(1, len(entries))))

    def entries(self) -> list[Entry]:
        return self.rig.ledger.store.quarantine.page(0, aside.MOST, 10_000)

    def bodies(self, numbers: list[int]) -> dict[int, bytes]:
        return self.rig.ledger.store.quarantine.bodies(numbers) if numbers else {}

    def recover(self) -> None:
        """Let a store that failed be opened again."""
        while self.rig.ledger.failing:
            self.surviving(lambda: self.rig.until(lambda: not self.rig.ledger.failing, "the store is opened anew"))

    # What holds

    @invariant()
    def what_was_set_aside_is_there_or_was_replayed_or_purged(self) -> None:
        if not hasattr(self, "world") or self.rig.ledger.failing:
            return
        assert self.rig.ledger.store.law() == []
        [state] = Store.streams(self.rig.ledger.store)  # type: ignore[arg-type]  # a look, which never fails
        set_aside = sum(state.counts[name] for name in QUARANTINED.values())
        replayed = state.counts["replayed"]
        assert set_aside == len(self.entries()) + replayed + self.purged
        assert set_aside >= self.most_set_aside
        assert replayed >= self.most_replayed
        self.most_set_aside, self.most_replayed = set_aside, replayed

    def teardown(self) -> None:
        with self.cleanup:
            if hasattr(self, "world"):
                self.faults.forget()
                self.settle_all()

    def settle_all(self) -> None:
        Choosy.refusing = False
        self.recover()
        world, rig = self.world, self.rig
        world.transport.resume()
        rig.end_input()
        if world.case.pipe:
            rig.until(lambda: rig.forwarder.drained and not rig.counts["pending"], "all is settled")
        else:
            rig.until(lambda: rig.settled >= len(rig.fed) + rig.counts["replayed"], "all is settled")
            rig.seconds(3)
        self.what_was_set_aside_is_there_or_was_replayed_or_purged()
        new = rig.counts["read"] - rig.counts["replayed"]
        assert new == len(rig.fed) or (world.case.pipe and self.killed and new <= len(rig.fed))
        self.check_arrivals()

    def check_arrivals(self) -> None:
        """Each delivered record arrived, and again only as often as it was told; what was bad came by replay alone."""
        counts, arrived = self.rig.counts, Counter(self.world.received())
        document = self.rig.document()
        told = document["beside"]["possibleTwins"]
        assert 0 <= arrived.total() - counts["delivered"] <= told + counts["droppedAfterAttempt"]
        bad = sum(number for record, number in arrived.items() if not record.endswith(b"}"))
        assert bad <= counts["replayed"] + told
        assert set(arrived) <= set(self.rig.fed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))

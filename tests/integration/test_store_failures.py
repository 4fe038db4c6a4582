"""A store that fails, before it did what it was asked to or after: the loop opens it anew and goes on.

In process: the real loop, ledger, sources and store; only the moment of a failure is planted, and the broker is in
memory. Whatever fails, the law holds, nothing is missing and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checker import Evidence, judge
from tests.fakes import FakeTransport
from tests.rig import ByHand, Faults, Rig
from weir.store.store import Store


class Case(NamedTuple):
    """Where the records come from, and what happens when there are too many."""

    pipe: bool
    mode: int
    limit: str = "records"

    def __str__(self) -> str:
        return f"{'pipe' if self.pipe else 'directory'}-mode-{self.mode}-{self.limit}"


LIMITS: dict[str, dict[str, object]] = {
    "records": {"streams__telemetry__queue__maxRecords": 20},
    "bytes": {"streams__telemetry__queue__maxRecords": "none", "streams__telemetry__queue__maxBytes": 1_500},
}
CASES = [Case(pipe, mode, limit) for pipe in (False, True) for mode in (0, 3, 4) for limit in LIMITS]


class World:
    """A rig with the broker in memory."""

    def __init__(self, path: Path, case: Case, faults: Faults | None = None, **changes: object) -> None:
        self.rig = Rig(
            path,
            self._make_transport,
            pipe=case.pipe,
            faults=faults,
            **{
                "streams__telemetry__queue__mode": case.mode,
                **LIMITS[case.limit],
                "gate__maxIncomplete": 10,
                "gate__maxInFlight": 5,
                "state__commitRecords": 15,
                **changes,
            },
        )
        self.rig.received = self.received

    def _make_transport(self, inbox: ByHand) -> FakeTransport:
        self.transport = FakeTransport(inbox.post, inbox.settled, reachable=False)
        return self.transport

    def received(self) -> list[bytes]:
        return [message.payload for message in self.transport.received]

    def live(self) -> None:
        """Live through everything once: an outage with too many records, a good link, one that is lost with some out."""
        rig, transport = self.rig, self.transport
        rig.until(lambda: rig.forwarder.state == "offline", "the link is known to be down")
        for _ in range(3):
            rig.feed(20)
            rig.seconds(1.2)
        transport.resume()
        rig.until(lambda: len(transport.received) > 7, "some arrive")
        transport.hold_acks = True
        rig.feed(20)
        rig.seconds(1.2)
        transport.interrupt()
        rig.feed(10)
        rig.seconds(1.2)
        transport.hold_acks = False
        transport.resume()
        rig.drain()

    def verify(self) -> None:
        """Judge the whole life, and look into the store once more."""
        rig = self.rig
        rig.looks.append(rig.looks[-1]._replace(status=rig.document(), arrived=len(self.received())))
        evidence = Evidence(rig.fed, self.received(), rig.looks, interrupted=1 << 30)
        assert judge(evidence) == [], rig.events
        assert rig.ledger.store.law() == []
        assert rig.ledger.law_broken is False
        rig.stop()
        store = Store(rig.owned, rig.clock.wall, quarantine_max_bytes=0)
        assert store.law() == []
        store.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make_one(case: Case, faults: Faults | None = None, **changes: object) -> World:
        worlds.append(World(tmp_path / str(len(worlds)), case, faults, **changes))
        return worlds[-1]

    yield make_one
    for world in worlds:
        world.rig.close()


Make = Callable[..., World]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_a_failure_the_whole_life_is_in_order(make: Make, case: Case) -> None:
    world = make(case)
    world.live()
    counts = world.rig.counts
    assert (sum(counts[f"dropped.{reason}"] for reason in ("queueFullFront", "queueFullBack")) > 0) == (case.mode != 4)
    assert counts["quarantined.malformed"] == len(world.rig.fed) // 13
    world.verify()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_whichever_call_fails_nothing_is_lost_and_nothing_is_counted_twice(make: Make, case: Case, when: str) -> None:
    number = 0
    while True:
        number += 1
        begun = False

        def this_one(call: int, _name: str) -> str | None:
            return when if begun and call == number else None  # noqa: B023 - asked only in this turn of the loop

        world = make(case, Faults(this_one))
        begun = True
        number = max(number, world.rig.faults.calls + 1)
        world.live()
        failed = world.rig.faults.failures
        world.verify()
        world.rig.close()
        if not failed:
            return  # the life is over before the call with this number

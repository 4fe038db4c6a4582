"""A store that fails, before it did what it was asked to or after: the loop opens it anew and goes on.

In process: the real loop, ledger, sources and store; only the moment of a failure is planted, and the broker is in
memory. Whatever fails, the law holds, nothing is missing and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig import Faults
from tests.world import WINDOW, Case, World

CASES = [
    Case(pipe=False, mode=3),
    Case(pipe=False, mode=4),
    Case(pipe=True, mode=0, limit="bytes"),
    Case(pipe=True, mode=3),
    Case(pipe=True, mode=4),
    Case(pipe=True, mode=4, limit="bytes"),
]
Make = Callable[..., World]
When = Callable[[int, str], str | None]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    worlds: list[World] = []

    def make_one(case: Case, when: When = lambda _number, _call: None) -> World:
        worlds.append(World(tmp_path / str(len(worlds)), case, Faults(when)))
        return worlds[-1]

    yield make_one
    for world in worlds:
        world.rig.close()


def judged(world: World) -> World:
    """Judge the life of a world; a failure of the store may repeat what a kill may."""
    rig = world.rig
    world.kills = rig.faults.failures
    assert world.verdict() == [], rig.events
    assert rig.ledger.store.law() == []
    assert not rig.ledger.law_broken
    if world.case.pipe:  # it was never killed: nothing may be lost
        assert rig.counts["read"] == len(rig.fed)
    return world


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_a_failure_the_whole_life_is_in_order(make: Make, case: Case) -> None:
    world = make(case)
    world.live()
    counts = judged(world).rig.counts
    assert (counts["dropped.queueFullFront"] + counts["dropped.queueFullBack"] > 0) == (case.mode != 4)
    assert counts["quarantined.malformed"] == len(world.rig.fed) // 13
    assert counts["possibleTwins"] > 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_whichever_call_fails_nothing_is_lost_and_nothing_is_counted_twice(make: Make, case: Case, when: str) -> None:
    failed = number = 0
    while failed or not number:
        number += 1
        world = make(case, lambda call, _name: when if call == number else None)  # noqa: B023
        world.live()
        judged(world).rig.close()
        failed = number <= world.faults.calls


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_store_that_fails_again_while_it_is_opened_anew_loses_nothing_either(make: Make, case: Case) -> None:
    for first in range(1, 24, 2):  # one failure, and the next calls of all, whichever they are
        failing = False

        def when(call: int, name: str) -> str | None:
            nonlocal failing
            failing = failing or (call >= first and name == "commit")  # noqa: B023 - asked only in this turn
            return "before" if failing and first <= call < first + 5 else None  # noqa: B023

        world = make(case, when)
        world.live()
        judged(world).rig.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_store_that_goes_on_failing_is_degraded_and_recovers(make: Make, case: Case) -> None:
    failing = False
    world = make(case, lambda _call, _name: "before" if failing else None)
    rig = world.rig
    world.transport.resume()
    rig.feed(30)
    rig.seconds(3)
    before = rig.document()
    failing = True
    rig.feed(30)
    rig.until(lambda: rig.degraded == ["storeFailing"], "it is said")
    rig.seconds(300)
    assert rig.degraded == ["storeFailing"]
    assert rig.forwarder.held_by == "commit"
    shown = rig.document()
    assert {**shown["records"], "inFlight": 5} == {**before["records"], "inFlight": 5}  # never as a fall to zero
    assert shown["epoch"] == before["epoch"]
    failing = False
    rig.until(lambda: not rig.degraded, "it recovers")
    rig.end_input()
    world.drain()
    judged(world)
    assert [event for event, fields in rig.events if event == "recovered"] == ["recovered"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_store_that_fails_from_the_start_is_waited_for(make: Make, case: Case) -> None:
    failing = True
    world = make(case, lambda _call, _name: "before" if failing else None)
    world.transport.resume()
    world.rig.feed(30)
    world.rig.seconds(20)
    assert world.rig.degraded == ["storeFailing"]
    failing = False
    world.rig.end_input()
    world.rig.until(lambda: not world.rig.degraded, "it recovers")
    world.drain()
    judged(world)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_store_that_fails_once_while_the_process_stops_loses_nothing(make: Make, case: Case, when: str) -> None:
    for offset in (1, 2, 3, 4):
        stopping = False
        calls = 0

        def fault(_call: int, _name: str) -> str | None:
            nonlocal calls
            calls += stopping  # noqa: B023 - asked only in this turn
            return when if calls == offset and stopping else None  # noqa: B023

        world = make(case, fault)
        rig = world.rig
        rig.seconds(1)
        for _ in range(3):
            rig.feed(13)
            rig.turn()
        rig.feed(13)
        stopping = True
        rig.stop()
        stopping = False
        rig.begin(world._make_transport)  # noqa: SLF001 - the next process
        rig.end_input()
        world.drain()
        judged(world).rig.close()


@pytest.mark.parametrize("how", ["sent before a kill", "never answered"])
@pytest.mark.parametrize("case", [Case(pipe=False, mode=3), Case(pipe=True, mode=3)], ids=str)
def test_what_the_broker_may_have_is_not_forgotten_when_the_store_fails(make: Make, case: Case, how: str) -> None:
    failing = False
    world = make(case, lambda _call, name: "before" if failing and name == "commit" else None)
    rig = world.rig
    world.transport.resume()
    rig.seconds(3)
    world.transport.hold_acks = True
    rig.feed(12)
    rig.until(lambda: len(world.arrived) == WINDOW, "the window is out")
    if how == "never answered":
        world.transport.reachable = False
        rig.until(lambda: rig.counts["possibleTwins"] == WINDOW, "the object is replaced, and they wait again")
    world.transport.interrupt()
    if how == "sent before a kill":
        world.be_killed()
    rig.until(lambda: rig.forwarder.link.state == "offline", "the link is known to be down")
    failing = True
    rig.feed(1)
    rig.until(lambda: rig.ledger.failing, "the store fails")
    failing = False
    rig.feed(60)
    rig.seconds(5)
    assert rig.counts["dropped.queueFullFront"] > WINDOW
    rig.end_input()
    world.drain()
    assert world.verdict() == [], rig.events

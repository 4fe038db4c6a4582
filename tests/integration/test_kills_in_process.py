"""A kill at every single point at which it could make a difference, in process and without waiting.

A process that is killed loses what it had in memory and nothing else: here it ends before or after each call to its
store, and before or after each publish. The next one goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig import Faults
from tests.world import WINDOW, Case, Killed, World

CASES = [
    Case(pipe=False, mode=0),
    Case(pipe=False, mode=3),
    Case(pipe=False, mode=4),
    Case(pipe=True, mode=3),
    Case(pipe=True, mode=4),
]


PUBLISHES = 3  # so many are alike: a kill between them makes no difference


class Fate(Faults):
    """Ends the process before one call, or after it; `every` repeats that so many calls later."""

    def __init__(self, at: int, *, when: str, every: int = 1 << 30) -> None:
        super().__init__(self._decide)
        self.at = at
        self.every = every
        self.moment = when
        self.looked = self.published = 0

    def _decide(self, _number: int, call: str) -> str | None:
        self.published += call == "publish"
        if call == "publish" and (self.moment == "after" or self.published % PUBLISHES):
            return None
        self.looked += 1
        if self.looked != self.at:
            return None
        self.at += self.every
        return self.moment

    def _fail(self, call: str) -> None:
        self.failures += 1
        raise Killed(call)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Case, Fate], World]]:
    """Give a way to make worlds; they end with the test."""
    made: list[World] = []

    def make_one(case: Case, fate: Fate) -> World:
        made.append(World(tmp_path / str(len(made)), case, fate, mortal=True))
        return made[-1]

    yield make_one
    for world in made:
        world.rig.close()


Make = Callable[[Case, Fate], World]


def live_on(world: World) -> World:
    """Live the whole life, in as many processes as it takes, and judge it."""
    alive = True
    while True:
        try:
            if not alive:
                world.be_killed()
            world.live()
        except Killed:
            alive = False
        else:
            break
    assert world.verdict() == [], world.rig.events
    assert world.rig.ledger.store.law() == []
    world.rig.close()
    return world


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kill_at_any_call_breaks_no_promise(make: Make, case: Case, when: str) -> None:
    first = 6  # the calls before it open the store for the first time, outside of any life
    while live_on(make(case, Fate(first, when=when))).kills:
        first += 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_kill_after_the_other_breaks_no_promise(make: Make, case: Case) -> None:
    pauses = range(13, 27, 2)  # long enough for each process to come as far as a commit
    kills = sum(live_on(make(case, Fate(pause, when="before", every=pause))).kills for pause in pauses)
    assert kills > len(pauses)


@pytest.mark.parametrize("pipe", [False, True])
def test_what_an_interruption_may_repeat_is_known_before_a_kill_can_hide_it(tmp_path: Path, *, pipe: bool) -> None:
    slowly = {"state__commitRecords": 1, "state__commitSeconds": 60}
    world = World(tmp_path, Case(pipe, mode=4), bound=1 + WINDOW, changes=slowly)
    rig, transport = world.rig, world.transport
    transport.resume()
    rig.seconds(3)
    transport.hold_acks = True
    rig.feed(20)
    rig.until(lambda: len(world.arrived) == WINDOW, "the window is out")
    transport.interrupt()
    rig.turn()
    transport.resume()
    rig.until(lambda: len(world.arrived) == 2 * WINDOW, "the client sends them again by itself")
    world.be_killed()
    rig.end_input()
    world.drain()
    assert len(world.arrived) == 19 + 2 * WINDOW  # nineteen are records; sent again by the client, and by the next run
    assert world.verdict() == [], rig.events
    rig.close()

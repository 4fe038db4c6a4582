"""A kill at every single point at which it could make a difference, in process and without waiting.

A process that is killed loses what it had in memory and nothing else: here it ends before or after each call to its
store, and before or after each publish. The next one goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import Faults
from tests.world import Case, Killed, World

CASES = [
    Case(pipe=False, mode=0),
    Case(pipe=False, mode=3),
    Case(pipe=False, mode=4),
    Case(pipe=True, mode=3),
    Case(pipe=True, mode=4),
]


class Fate(Faults):
    """Ends the process at one call, or at every so many."""

    def __init__(self, at: int, *, when: str, again_after: int = 1 << 30) -> None:
        super().__init__(self._decide)
        self.at = at
        self.moment = when
        self.again_after = again_after

    def _decide(self, number: int, _call: str) -> str | None:
        if number != self.at:
            return None
        self.at += self.again_after
        return self.moment

    def _fail(self, call: str) -> None:
        self.failures += 1
        raise Killed(call)


def live_on(world: World) -> None:
    """Live the whole life, in as many processes as it takes."""
    while True:
        try:
            world.live()
        except Killed:
            world.be_killed()
        else:
            return


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[list[World]]:
    """Give the worlds that a test made, so that they are ended with it."""
    made: list[World] = []
    yield made
    for world in made:
        world.rig.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kill_at_any_call_breaks_no_promise(worlds: list[World], tmp_path: Path, case: Case, when: str) -> None:
    number = 10  # the first calls open the store, which a test of its own kills
    killed = 1
    while killed:
        number += 1
        world = World(tmp_path / str(number), case, Fate(number, when=when), mortal=True)
        worlds.append(world)
        live_on(world)
        killed = world.kills
        assert world.verdict() == [], (number, world.rig.events)
        assert world.rig.ledger.store.law() == []
        world.rig.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_kill_after_the_other_breaks_no_promise(worlds: list[World], tmp_path: Path, case: Case) -> None:
    for pause in range(15, 40, 2):
        world = World(tmp_path / str(pause), case, Fate(pause, when="before", again_after=pause), mortal=True)
        worlds.append(world)
        live_on(world)
        assert world.kills > 1
        assert world.verdict() == [], (pause, world.rig.events)
        assert world.rig.ledger.store.law() == []
        world.rig.close()

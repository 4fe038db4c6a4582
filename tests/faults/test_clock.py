"""The wall clock jumps, ahead and back, while the link comes and goes: nothing expires for it, nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.faults import jumping
from tests.faults.frame import Tally
from tests.faults.linklife import Gateway, LinkLife
from tests.faults.relay import Relay

DAY = 86_400.0
JUMPS = {"three days ahead": 3 * DAY, "thirty days back": -30 * DAY, "before the clock was set": -1_700_000_000.0}
HOUR = 3_600


class Jumper:
    """A life whose wall clock is set by writing a file."""

    def __init__(self, life: LinkLife, relay: Relay, path: Path) -> None:
        self.life, self.relay, self.path = life, relay, path
        life.gateway.launch = ["-m", "tests.faults.jumping"]
        life.gateway.variables = {jumping.VARIABLE: str(path)}
        self.jump(0)

    def jump(self, seconds: float) -> None:
        made = self.path.with_suffix(".new")
        made.write_text(str(seconds))
        made.rename(self.path)


@pytest.fixture
def jumper(tmp_path: Path, broker: Broker) -> Iterator[Jumper]:
    with ExitStack() as stack:
        relay = stack.enter_context(Relay(broker.port).running())
        gateway = Gateway(tmp_path, broker, relay.port)
        gateway.max_age_seconds = HOUR
        life = LinkLife(gateway, broker)
        stack.callback(life.close)
        yield Jumper(life, relay, tmp_path / "clock")


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_wall_clock_that_jumps_lets_nothing_expire_and_holds_nothing_up(jumper: Jumper, seconds: float) -> None:
    life, relay = jumper.life, jumper.relay
    life.start()
    life.feed()
    life.delivers()
    for where in (seconds, 0.0, seconds):
        relay.refuses = True
        relay.break_all()
        life.loses_the_link()
        life.feed(20)  # waits while the clock jumps
        jumper.jump(where)
        life.feed(20)
        relay.heal()
        life.settles()
    jumper.jump(0.0)
    tally = Tally("the wall clock jumps")
    tally.add(life.finish(), log=life.log(), trials=3)
    tally.close()
    assert life.looks[-1].status["records"]["dropped"]["expired"] == 0


def test_a_clock_that_was_never_set_is_said_and_nothing_is_lost(jumper: Jumper) -> None:
    life = jumper.life
    jumper.jump(-1_700_000_000.0)
    life.start()
    life.feed()
    life.until(lambda s: [one for one in s["degraded"] if one["reason"] == "clockNotSet"], "it says that it is not set")
    jumper.jump(0.0)
    life.until(lambda s: not s["degraded"], "it is not said any more")
    tally = Tally("the wall clock was never set")
    tally.add(life.finish(), log=life.log())
    tally.close()

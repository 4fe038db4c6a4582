"""The link goes bad and good again, in every way that a link can: nothing is lost, nothing is counted twice.

Each fault happens several times in the middle of a feed of two directories and a pipe. After each the forwarder must
come back by itself, and the process must never end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.faults.frame import LONG, Tally
from tests.faults.linklife import Gateway, LinkLife
from tests.faults.relay import Relay

ROUNDS = 12 if LONG else 2
SILENT = {"broker frozen", "nothing moves", "only acknowledgements lost"}  # only the keep-alive tells of them: slow
SILENT_ROUNDS = 6 if LONG else 1
PROTOCOLS = ["mqtt311", *(["mqtt5"] if LONG else [])]
MANY = 500
SLOW_BYTES_PER_SECOND = 30_000.0

Fault = Callable[[LinkLife, Relay], object]


@pytest.fixture
def relay(broker: Broker) -> Iterator[Relay]:
    with Relay(broker.port).running() as relay:
        yield relay


@pytest.fixture(params=PROTOCOLS)
def life(tmp_path: Path, broker: Broker, relay: Relay, request: pytest.FixtureRequest) -> Iterator[LinkLife]:
    with ExitStack() as stack:
        life = LinkLife(Gateway(tmp_path, broker, relay.port, protocol=request.param), broker)
        stack.callback(life.close)
        stack.callback(broker.thaw)
        yield life


# -- what happens to the broker ---------------------------------------------------------------------------------------


def in_the_middle(life: LinkLife) -> None:
    """Feed so much that some of it is delivered and more is on its way."""
    life.feed(MANY)
    life.delivers()


def broker_killed(life: LinkLife, _relay: Relay) -> None:
    in_the_middle(life)
    life.broker.kill()
    life.loses_the_link()
    life.feed()
    life.broker.start()


def broker_stopped(life: LinkLife, _relay: Relay) -> None:
    in_the_middle(life)
    life.broker.stop()
    life.loses_the_link()
    life.feed()
    life.broker.start()


def broker_frozen(life: LinkLife, _relay: Relay) -> None:
    in_the_middle(life)
    life.broker.freeze()
    life.feed()
    life.loses_the_link()
    life.broker.thaw()


# -- what happens on the way ------------------------------------------------------------------------------------------


def connections_reset(life: LinkLife, relay: Relay) -> None:
    for _ in range(3):
        relay.break_all()
        life.feed(20)
        life.delivers()


def refused(life: LinkLife, relay: Relay) -> None:
    relay.refuses = True
    relay.break_all()
    life.loses_the_link()
    life.feed()
    before = relay.connections
    life.until(lambda _: relay.connections >= before + 2, "it has tried again")
    relay.heal()


def cut_in_the_middle(life: LinkLife, relay: Relay) -> None:
    relay.cut_after = random.randrange(6_000, 12_000)  # the handshake passes, and a few records
    before = relay.connections
    life.feed()
    life.until(lambda _: relay.connections >= before + 2, "it was cut and came again")
    relay.heal()


def slow(life: LinkLife, relay: Relay) -> None:
    relay.latency = 0.2
    life.feed(20)
    life.delivers(20)
    relay.heal()


def slow_drain(life: LinkLife, relay: Relay) -> None:
    relay.bytes_per_second = SLOW_BYTES_PER_SECOND
    life.feed()
    life.delivers(60)
    relay.heal()


def nothing_moves(life: LinkLife, relay: Relay) -> None:
    relay.stalls = True
    life.feed()
    life.loses_the_link()
    relay.heal()


def answers_lost(life: LinkLife, relay: Relay) -> None:
    """The broker takes everything, and its acknowledgements vanish: that is no reason to count anything as lost."""
    arrived = len(life.observer.messages)
    relay.swallows_answers = True
    life.feed()
    life.observer.wait_for(arrived + 1)
    life.loses_the_link()
    relay.heal()


FAULTS: dict[str, Fault] = {
    "broker killed and started without its memory": broker_killed,
    "broker stopped and started": broker_stopped,
    "broker frozen": broker_frozen,
    "connections reset": connections_reset,
    "connections refused": refused,
    "connections cut after some bytes": cut_in_the_middle,
    "200 ms each way": slow,
    "a slow drain": slow_drain,
    "nothing moves": nothing_moves,
    "only acknowledgements lost": answers_lost,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_link_that_goes_bad_and_good_again_costs_nothing(life: LinkLife, relay: Relay, fault: str) -> None:
    life.start()
    life.feed()
    life.delivers()
    rounds = SILENT_ROUNDS if fault in SILENT else ROUNDS
    for _ in range(rounds):
        life.feed()
        FAULTS[fault](life, relay)
        life.settles()
    tally = Tally(fault)
    tally.add(life.finish(), log=life.log(), trials=rounds)
    tally.close()

"""Messages that a broker hangs up on without a word, on both protocols: each is set aside alone, and the rest flows.

The client sends again what was not acknowledged, so without a breaker the link would be made and lost for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.faults.frame import LONG, Tally
from tests.faults.guard import Guard
from tests.faults.linklife import Gateway, LinkLife

LARGEST = 2_000
FORBIDDEN = b"telemetry/gateway/forbidden"
ROUNDS = 4 if LONG else 1
Poison = Callable[[LinkLife], None]


@pytest.fixture
def guard(broker: Broker) -> Iterator[Guard]:
    way = broker.observe("none/of/it").path
    guard = Guard(broker.certificates, way, lambda topic, size: topic != FORBIDDEN and size <= LARGEST)
    with guard.running():
        yield guard


@pytest.fixture(params=["mqtt311", "mqtt5"])
def life(tmp_path: Path, broker: Broker, guard: Guard, request: pytest.FixtureRequest) -> Iterator[LinkLife]:
    with ExitStack() as stack:
        gateway = Gateway(tmp_path, broker, guard.port, protocol=request.param)
        gateway.topic = "telemetry/gateway/{record.to}"
        life = LinkLife(gateway, broker)
        stack.callback(life.close)
        yield life


def too_large(life: LinkLife) -> None:
    life.feed_one(pad="x" * 3 * LARGEST)


def topic_not_allowed(life: LinkLife) -> None:
    life.feed_one(to=FORBIDDEN.decode().rpartition("/")[2])


@pytest.mark.parametrize("poison", [too_large, topic_not_allowed], ids=lambda poison: poison.__name__)
def test_it_is_set_aside_alone_and_the_link_stays_up_afterwards(life: LinkLife, guard: Guard, poison: Poison) -> None:
    life.start()
    life.feed()
    life.delivers()
    for number in range(1, ROUNDS + 1):
        life.feed(20)
        poison(life)
        life.feed(20)
        status = life.settles()
        assert status["records"]["quarantined"]["refused"] == number
    hung_up = guard.hung_up
    life.feed()
    life.settles()
    assert guard.hung_up == hung_up
    tally = Tally(f"poison: {poison.__name__.replace('_', ' ')}")
    tally.add(life.finish(), log=life.log(), trials=ROUNDS)
    tally.close()

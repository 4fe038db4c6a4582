"""The fake's handles: what a test can do to it beyond what the contract asks of every transport."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from tests.fakes import FakeTransport
from weir.core.events import Closed, Connected, ConnectionEvent
from weir.core.ports import Operation, Statistics


class Bench:
    def __init__(self, *, clean_session: bool = False) -> None:
        self.events: list[ConnectionEvent] = []
        self.settled: list[Operation] = []
        self.fake = FakeTransport(self.events.append, self.settled.append, clean_session=clean_session)
        self.fake.hold_acks = True
        self.fake.start()
        self.fake.advance(0.0)

    def publish(self, count: int) -> list[Future[Any]]:
        return [self.fake.publish("t", b"%d" % number, 1) for number in range(count)]


def test_answers_come_one_by_one_oldest_first() -> None:
    bench = Bench()
    futures = bench.publish(3)
    bench.fake.advance(0.0)
    bench.fake.ack()
    assert bench.settled == futures[:1]
    bench.fake.ack_all()
    assert bench.settled == futures


def test_writes_can_be_held() -> None:
    bench = Bench()
    bench.fake.hold_writes = True
    bench.publish(2)
    bench.fake.advance(0.0)
    assert bench.fake.statistics() == Statistics(2, 12, 0, 0)
    assert bench.fake.received == []


def test_what_the_client_gives_up_on_fails_and_frees_the_place() -> None:
    bench = Bench()
    bench.publish(2)
    bench.fake.advance(0.0)
    bench.fake.give_up()
    assert bench.settled[0].exception() is not None
    assert bench.fake.statistics().incomplete == 1
    assert len(bench.fake.received) == 2


def test_others_count_and_settle_without_a_word() -> None:
    bench = Bench()
    bench.fake.others_publish(20, size=100)
    assert bench.fake.statistics() == Statistics(20, 2_000, 20, 2_000)
    bench.fake.others_settle()
    assert bench.fake.statistics().incomplete == 0
    assert bench.settled == []


def test_a_clean_session_leaks_until_the_object_is_replaced() -> None:
    bench = Bench(clean_session=True)
    futures = bench.publish(2)
    bench.fake.advance(0.0)
    bench.fake.interrupt()
    assert bench.settled == futures
    assert all(future.exception() is not None for future in futures)
    bench.fake.resume()
    assert bench.fake.statistics().incomplete == 2
    bench.fake.replace()
    bench.fake.advance(1.0)
    assert bench.fake.statistics().incomplete == 0


def test_a_farewell_can_be_held_until_patience_ends() -> None:
    bench = Bench()
    [future] = bench.publish(1)
    bench.fake.hold_farewell = True
    bench.fake.replace()
    assert bench.fake.advance(1.0) == 11.0
    assert bench.fake.advance(10.9) == 11.0
    assert not future.done()
    bench.fake.advance(11.0)
    assert bench.events[1:] == [Closed(1), Connected(2, session_present=False)]
    with pytest.raises(Exception, match="CONNECTION_DESTROYED"):
        future.result(timeout=0)


def test_a_link_that_is_interrupted_before_it_was_up_says_nothing() -> None:
    bench = Bench()
    bench.fake.interrupt()
    bench.fake.interrupt()
    assert len(bench.events) == 2

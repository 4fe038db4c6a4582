"""The harness itself: a broker that can be hurt, and an observer that misses nothing and invents nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.broker import Broker, Observer
from tests.contract.benches import RealBench
from weir.core.events import Connected


@pytest.fixture
def bench(broker: Broker) -> Iterator[RealBench]:
    bench = RealBench(broker)
    bench.transport.start()
    bench.until(lambda: bench.events, "connected")
    yield bench
    bench.close()


def publish(bench: RealBench, *payloads: bytes) -> None:
    futures = [bench.transport.publish("a/b", payload, 1) for payload in payloads]
    bench.until(lambda: all(future.done() for future in futures), "answered")


def test_nothing_escapes_the_observer_when_a_client_is_first_after_a_kill(broker: Broker, bench: RealBench) -> None:
    [observer] = broker.observers
    broker.kill()
    observer.close()
    broker.start()
    bench.until(lambda: isinstance(bench.events[-1], Connected), "the client is back before the observer")
    publish(bench, b"1", b"2", b"3")
    late = Observer(observer.path, name=observer.name)
    assert [message.payload for message in late.wait_for(3)] == [b"1", b"2", b"3"]
    late.close()


def test_what_is_published_twice_arrives_twice(bench: RealBench) -> None:
    publish(bench, b"same", b"same")
    bench.until(lambda: len(bench.received()) == 2, "both")


def test_an_observer_survives_a_polite_stop(broker: Broker, bench: RealBench) -> None:
    publish(bench, b"before")
    broker.stop()
    assert not broker.running
    broker.start()
    publish(bench, b"after")
    assert broker.observers[0].wait_for(2)
    assert [message.payload for message in bench.received()] == [b"before", b"after"]


def test_an_observer_sees_only_what_it_asked_for(broker: Broker, bench: RealBench) -> None:
    other = broker.observe("x/#")
    bench.transport.publish("x/y", b"x", 1)
    publish(bench, b"a")
    assert [message.topic for message in other.wait_for(1)] == ["x/y"]
    bench.until(lambda: len(bench.received()) == 2, "the first sees both")


def test_a_wait_that_fails_says_how_far_it_came(broker: Broker) -> None:
    observer = broker.observe()
    with pytest.raises(AssertionError, match="only 0 messages"):
        observer.wait_for(1, seconds=0)

"""The promises of `weir.core.ports.Transport`, asked of the fake and of the real ones alike.

A transport that hands over to somebody else keeps nothing: what it has no answer for when its connection is lost may
have been taken and is not sent again, and what it is given without a connection is not taken. So the tests of what an
MQTT client keeps are not asked of it; what it promises instead is in `tests/integration/test_ipc.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.benches import Bench, FakeBench, PublicBench, RealBench, WebSocketBench
from tests.contract.ipc_bench import IpcBench
from tests.contract.mqtt5_bench import Mqtt5Bench
from tests.nucleus import CLASSIC
from tests.observer import Message
from weir.core.errors import Refused
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted
from weir.core.ports import Operation, Statistics

NOTHING = Statistics(0, 0, 0, 0)
TOPIC = "telemetry/gw-17/vitals"
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1


KEEPS_MESSAGES = pytest.mark.parametrize("bench", ["fake", "real", "public", "mqtt5", "websocket"], indirect=True)


@pytest.fixture(params=["fake", "real", "public", "mqtt5", "websocket", "ipc"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    chosen: Bench
    if request.param == "fake":
        chosen = FakeBench()
    elif request.param == "real":
        chosen = RealBench(request.getfixturevalue("broker"))
    elif request.param == "public":
        chosen = PublicBench(request.getfixturevalue("broker"))
    elif request.param == "mqtt5":
        chosen = Mqtt5Bench(request.getfixturevalue("broker"))
    elif request.param == "ipc":
        chosen = IpcBench(CLASSIC)
    else:
        broker, service = map(request.getfixturevalue, ("websocket_broker", "service"))
        chosen = WebSocketBench(broker, service, "eu-central-1")
    yield chosen
    chosen.close()


@pytest.fixture
def online(bench: Bench) -> Bench:
    bench.transport.start()
    bench.until(lambda: heard(bench, Connected), "connected")
    return bench


def heard(bench: Bench, kind: type) -> list[Any]:
    return [event for event in list(bench.events) if isinstance(event, kind)]


def generations(bench: Bench, kind: type) -> list[int]:
    return [event.generation for event in heard(bench, kind)]


def publish(bench: Bench, *payloads: bytes) -> list[Operation]:
    return [bench.transport.publish(TOPIC, payload, AT_LEAST_ONCE) for payload in payloads]


def all_delivered(futures: list[Operation]) -> bool:
    return all(future.done() and future.exception() is None for future in futures)


def lose_link(bench: Bench) -> None:
    before = len(heard(bench, Interrupted))
    bench.broker_down()
    bench.until(lambda: len(heard(bench, Interrupted)) > before, "the loss is noticed")


def test_it_says_when_it_is_connected(online: Bench) -> None:
    assert online.events == [Connected(1, session_present=False)]


def test_an_answer_resolves_the_future_and_settles_it_once(online: Bench) -> None:
    futures = publish(online, b"a", b"b\nc", bytes(range(256)))
    online.until(lambda: all_delivered(futures), "three answers")
    online.until(lambda: len(online.received()) == 3, "three messages")
    assert online.received() == [Message(TOPIC, b"a"), Message(TOPIC, b"b\nc"), Message(TOPIC, bytes(range(256)))]
    assert sorted(map(id, online.outcomes)) == sorted(map(id, futures))


@KEEPS_MESSAGES
def test_qos_0_is_complete_without_an_answer(online: Bench) -> None:
    online.broker_silent()
    future = online.transport.publish(TOPIC, b"a", AT_MOST_ONCE)
    online.until(future.done, "written")
    assert future.exception() is None


def test_statistics_rise_with_a_publish_and_fall_with_its_answer(online: Bench) -> None:
    online.broker_silent()
    futures = publish(online, b"12345", b"1234567890")
    size = 2 * (online.operation_bytes + len(TOPIC)) + 15
    assert online.transport.statistics()[:2] == (2, size)
    online.until(lambda: online.transport.statistics() == Statistics(2, size, 2, size), "both are written")
    assert not any(future.done() for future in futures)
    online.broker_answers()
    online.until(lambda: online.transport.statistics() == NOTHING, "both are answered")
    online.until(lambda: all_delivered(futures), "both are settled")


def test_a_place_is_free_before_the_outcome_is_told(online: Bench) -> None:
    seen: list[Statistics] = []
    online.outcomes.told = lambda _: seen.append(online.transport.statistics())
    online.transport.publish(TOPIC, b"a", AT_LEAST_ONCE)
    online.until(lambda: seen, "an outcome")
    assert seen == [NOTHING]


def test_a_lost_link_is_told_and_comes_back_by_itself_as_the_same_object(online: Bench) -> None:
    lose_link(online)
    online.broker_up()
    online.until(lambda: len(heard(online, Connected)) == 2, "connected again")
    assert [type(event) for event in online.events] == [Connected, Interrupted, Connected]
    assert {event.generation for event in online.events} == {1}


@KEEPS_MESSAGES
def test_what_is_in_flight_survives_a_lost_link_and_is_delivered(online: Bench) -> None:
    online.broker_silent()
    futures = publish(online, b"1", b"2", b"3")
    online.until(lambda: online.transport.statistics().unacked == 3, "in flight")
    lose_link(online)
    assert not any(future.done() for future in futures)
    assert online.transport.statistics().incomplete == 3
    online.broker_answers()
    online.broker_up()
    online.until(lambda: all_delivered(futures), "answered after all")
    online.until(
        lambda: online.received()[-3:] == [Message(TOPIC, b"%d" % n) for n in (1, 2, 3)], "sent again, in order"
    )


@KEEPS_MESSAGES
def test_a_publish_while_the_link_is_down_waits_for_it(online: Bench) -> None:
    lose_link(online)
    futures = publish(online, b"1", b"2")
    online.turn()
    assert not any(future.done() for future in futures)
    statistics = online.transport.statistics()
    assert (statistics.incomplete, statistics.unacked) == (2, 0)
    online.broker_up()
    online.until(lambda: all_delivered(futures), "delivered later")
    online.until(lambda: online.received() == [Message(TOPIC, b"1"), Message(TOPIC, b"2")], "in order")


def test_qos_0_fails_while_the_link_is_down(online: Bench) -> None:
    lose_link(online)
    future = online.transport.publish(TOPIC, b"a", AT_MOST_ONCE)
    assert online.outcomes == [future]
    assert future.exception() is not None


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b"])
def test_a_message_that_can_never_be_sent_is_refused(online: Bench, topic: str) -> None:
    with pytest.raises(Refused):
        online.transport.publish(topic, b"a", AT_LEAST_ONCE)
    assert online.transport.statistics() == NOTHING
    assert online.outcomes == []


def test_a_first_attempt_that_fails_is_told_and_repeated(bench: Bench) -> None:
    bench.broker_down()
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the first attempt failed")
    bench.broker_up()
    bench.until(lambda: heard(bench, Connected), "a later one did not")
    assert bench.events[-1] == Connected(1, session_present=False)
    assert all(bench.unreachable in event.reason for event in heard(bench, ConnectFailed))


def test_after_a_failed_attempt_it_says_when_to_call_again(bench: Bench) -> None:
    bench.broker_down()
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the first attempt failed")
    now = time.monotonic()
    due = bench.transport.advance(now)
    assert due is not None
    assert due > now or isinstance(bench, FakeBench)


def test_a_replaced_object_says_closed_once_and_a_new_one_comes(online: Bench) -> None:
    online.transport.replace()
    online.transport.replace()
    online.until(lambda: len(heard(online, Connected)) == 2, "the new one is up")
    assert generations(online, Closed) == [1]
    assert generations(online, Connected) == [1, 2]
    future = online.transport.publish(TOPIC, b"a", AT_LEAST_ONCE)
    online.until(lambda: all_delivered([future]), "the new one delivers")


def test_while_it_is_being_replaced_nothing_is_outstanding_and_nothing_is_taken(online: Bench) -> None:
    online.broker_silent()
    publish(online, b"a")
    online.transport.replace()
    assert online.transport.statistics() == NOTHING
    with pytest.raises(RuntimeError):
        online.transport.publish(TOPIC, b"b", AT_LEAST_ONCE)


def test_what_a_replaced_object_still_says_is_told_apart_at_once(online: Bench) -> None:
    assert online.transport.generation == 1
    online.transport.replace()
    assert online.transport.generation == 2
    online.until(lambda: len(heard(online, Connected)) == 2, "the new one is up")
    assert online.transport.generation == 2


def test_what_a_replaced_object_held_is_never_delivered_by_its_future(online: Bench) -> None:
    online.broker_silent()
    futures = publish(online, b"1", b"2")
    online.until(lambda: online.transport.statistics().unacked == 2, "in flight")
    online.transport.replace()
    online.until(lambda: heard(online, Closed), "the old one is closed")
    online.broker_answers()
    online.until(lambda: len(heard(online, Connected)) == 2, "the new one is up")
    online.until(lambda: all(future.done() for future in futures), "the old futures fail")
    assert all(future.exception() is not None for future in futures)
    assert online.transport.statistics() == NOTHING


def test_it_can_be_replaced_while_the_link_is_down(online: Bench) -> None:
    lose_link(online)
    publish(online, b"never sent")
    online.transport.replace()
    online.until(lambda: heard(online, Closed), "the old one is closed")
    online.broker_up()
    online.until(lambda: len(heard(online, Connected)) == 2, "the new one is up")
    future = online.transport.publish(TOPIC, b"last", AT_LEAST_ONCE)
    online.until(lambda: all_delivered([future]), "the new one delivers")
    online.until(lambda: online.received() == [Message(TOPIC, b"last")], "and nothing else came")


def test_it_can_be_replaced_before_it_was_ever_up(bench: Bench) -> None:
    bench.broker_down()
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the first attempt failed")
    bench.transport.replace()
    bench.until(lambda: heard(bench, Closed), "the old one is closed")
    bench.broker_up()
    bench.until(lambda: heard(bench, Connected), "the new one is up")
    assert generations(bench, Closed) == [1]
    assert generations(bench, Connected) == [2]


def test_close_does_not_wait_for_a_silent_broker(online: Bench) -> None:
    online.broker_silent()
    publish(online, *[b"x" * 100_000] * 50)
    began = time.monotonic()
    online.transport.close(0.5)
    assert time.monotonic() - began < 5
    assert online.transport.advance(time.monotonic()) is None


def test_close_stops_the_attempts(bench: Bench) -> None:
    bench.broker_down()
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the first attempt failed")
    bench.transport.close(0.5)
    assert bench.transport.advance(time.monotonic() + 1_000) is None
    bench.transport.close(0.5)
    bench.transport.replace()
    assert bench.transport.advance(time.monotonic() + 1_000) is None
    assert not heard(bench, Connected)


def test_it_can_be_closed_while_it_is_being_replaced(online: Bench) -> None:
    online.broker_silent()
    futures = publish(online, b"a")
    online.transport.replace()
    online.transport.close(0.5)
    online.until(lambda: all(future.done() for future in futures), "what it held fails")
    assert online.transport.statistics() == NOTHING

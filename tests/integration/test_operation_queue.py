"""What the operation queue promises, section by section, on mosquitto with mutual TLS."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from awscrt import mqtt5

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.contract.test_operation_connection import Mqtt5World
from tests.queue_rig import AT_LEAST_ONCE, AT_MOST_ONCE, Line, Told, balance
from weir.operation_queue import Operation

LIMIT = 10
LIMITS = {"max_in_flight": LIMIT, "max_incomplete": LIMIT}


@pytest.fixture
def line(broker: Broker) -> Iterator[Line]:
    line = Line(broker)
    yield line
    if not broker.running:
        broker.start()
    broker.thaw()
    line.close()


def publish(told: Told, count: int, topic: str = "queued", qos: int = AT_LEAST_ONCE) -> list[Operation]:
    return [told.queue.publish(topic, b"%d" % number, qos) for number in range(count)]


def payloads(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


# -- the order --------------------------------------------------------------------------------------------------------


def test_subscribe_publish_unsubscribe_queued_before_the_start_are_performed_in_that_order(
    line: Line, broker: Broker
) -> None:
    received: list[bytes] = []
    told = Told(line.connection, line.events, max_in_flight=1, max_incomplete=1)
    operations: list[Operation] = [
        told.queue.subscribe("test/topic", AT_LEAST_ONCE, lambda *, payload, **_: received.append(payload)),
        told.queue.publish("test/topic", b"between", AT_LEAST_ONCE),
        told.queue.unsubscribe("test/topic"),
        told.queue.publish("test/topic", b"after", AT_LEAST_ONCE),
    ]
    observer = broker.observe("test/#")
    told.queue.start()
    told.until(lambda: told.acknowledged == operations, "all four are acknowledged")
    assert told.sent == operations
    assert [message.payload for message in observer.wait_for(2)] == [b"between", b"after"]
    eventually(lambda: received, what="the message came back")
    assert received == [b"between"]
    told.stop()


# -- operations outside of the queue ----------------------------------------------------------------------------------


def test_direct_operations_hold_the_queue_and_an_urgent_one_goes_straight_through(line: Line, broker: Broker) -> None:
    observer = broker.observe()
    told = Told(line.connection, line.events, **LIMITS)
    told.queue.start()
    broker.freeze()
    for number in range(LIMIT):
        line.connection.publish("direct", b"%d" % number, AT_LEAST_ONCE)
    publish(told, 3)
    told.until(lambda: told.queue.held_by == "others", "the direct ones hold it")
    urgent, _ = line.connection.publish("urgent", b"!", AT_LEAST_ONCE)
    assert line.incomplete == LIMIT + 1
    assert not told.sent
    broker.thaw()
    assert urgent.exception(DEADLINE_SECONDS) is None
    told.until_settled()
    topics = [message.topic for message in observer.wait_for(LIMIT + 4)]
    assert topics == ["direct"] * LIMIT + ["urgent"] + ["queued"] * 3
    told.stop()


def test_what_direct_operations_leave_of_the_limit_is_used(line: Line, broker: Broker) -> None:
    told = Told(line.connection, line.events, **LIMITS)
    told.queue.start()
    broker.freeze()
    for _ in range(LIMIT - 2):
        line.connection.publish("direct", b"", AT_LEAST_ONCE)
    publish(told, 5)
    told.until(lambda: len(told.sent) == 2, "the rest of the limit is used")
    assert line.incomplete == LIMIT
    broker.thaw()
    told.until_settled()
    told.stop()


# -- two queues on one connection -------------------------------------------------------------------------------------


class Sampler:
    """Looks at the statistics all the time; what direct operations add may be in them at most."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._stop = threading.Event()
        self.begun = self.ended = 0
        self.most = 0
        self.looks = 0
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def direct(self) -> None:
        self.begun += 1
        future, _ = self._line.connection.publish("direct", b"%d" % self.begun, AT_LEAST_ONCE)
        future.add_done_callback(self._end)

    def _end(self, _: object) -> None:
        self.ended += 1

    def _look(self) -> None:
        while not self._stop.wait(0.0005):
            ended = self.ended
            incomplete = self._line.incomplete
            self.most = max(self.most, incomplete - (self.begun - ended))
            self.looks += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def test_two_queues_and_direct_publishes_are_within_the_limit_and_all_arrive(line: Line, broker: Broker) -> None:
    observer = broker.observe()
    sampler = Sampler(line)
    counted = [0, 0]
    queues = [
        Told(line.connection, line.events, max_in_flight=100, max_incomplete=100),
        Told(line.connection, line.events, max_in_flight=100, max_incomplete=100),
    ]
    count = 20_000
    for told in queues:
        told.queue.start()
    for number in range(count):
        for index, told in enumerate(queues):
            told.queue.publish(f"queue/{index}", b"%d" % number, AT_LEAST_ONCE)
            counted[index] += 1
        if not number % 1_000:
            sampler.direct()
    for told in queues:
        told.until_settled()
    eventually(lambda: sampler.ended == sampler.begun == count // 1_000, what="the direct ones are acknowledged")
    sampler.close()
    assert sampler.looks > 10
    assert sampler.most <= 100
    for told in queues:
        assert told.queue.account().acknowledged == count
        told.stop()
    observer.wait_for(2 * count + sampler.begun)
    for index in range(2):
        assert [one.payload for one in observer.messages if one.topic == f"queue/{index}"] == payloads(count)


def test_two_queues_share_a_connection_fairly_and_independently(line: Line) -> None:
    first, second = Told(line.connection, line.events, **LIMITS), Told(line.connection, line.events, **LIMITS)
    publish(first, 20_000, "first")
    first.queue.start()
    second.queue.start()
    publish(second, 100, "second")
    second.until_settled()
    assert first.queue.size > 0  # the later one did not wait for the earlier one to be done
    first.queue.stop(DEADLINE_SECONDS)
    publish(second, 10, "second")
    second.until_settled()
    balance(first.queue.account())
    second.stop()


# -- retried operations -----------------------------------------------------------------------------------------------


def test_what_is_in_flight_when_the_broker_dies_completes_and_the_queue_repeats_nothing(
    line: Line, broker: Broker
) -> None:
    observer = broker.observe()
    told = Told(line.connection, line.events, **LIMITS)
    told.queue.start()
    broker.freeze()
    operations = publish(told, 25)
    told.until(lambda: len(told.sent) == LIMIT, "the window is full")
    broker.kill()
    told.until(lambda: not line.events.up, "the loss is told")
    broker.start()
    told.until(lambda: told.acknowledged == operations, "each of them completes")
    assert told.sent == operations  # handed over once; the client itself sends again what it must
    assert told.failed == []
    observer.wait_for(lambda: set(observer.payloads) == set(payloads(25)))
    told.stop()


def test_a_leak_of_the_client_with_a_clean_session_is_named_and_jams_nothing(broker: Broker) -> None:
    line = Line(broker, clean_session=True)
    told = Told(line.connection, line.events, leak_after_seconds=0.5, **LIMITS)
    told.queue.start()
    broker.freeze()
    operations = publish(told, 25)
    told.until(lambda: len(told.sent) == LIMIT, "the window is full")
    broker.kill()
    told.until(lambda: len(told.failed) == LIMIT, "what was in flight is told")
    broker.start()
    told.until_settled()
    told.until(lambda: len(told.acknowledged) == 15, "the rest is performed")
    assert [operation for operation, _ in told.failed] == operations[:LIMIT]
    assert told.acknowledged == operations[LIMIT:]
    assert [leak.incomplete for leak in told.leaks] == [LIMIT]
    told.stop()
    line.close()


# -- QoS 0 ------------------------------------------------------------------------------------------------------------


def test_qos_0_goes_only_while_the_gate_is_open_and_is_never_acknowledged(line: Line, broker: Broker) -> None:
    observer = broker.observe()
    told = Told(line.connection, line.events, max_in_flight=2, max_incomplete=2)
    told.queue.start()
    broker.freeze()
    for _ in range(2):
        line.connection.publish("direct", b"", AT_LEAST_ONCE)
    publish(told, 50, qos=AT_MOST_ONCE)
    told.until(lambda: told.queue.held_by == "others", "the gate is closed")
    assert told.sent == []
    broker.thaw()
    told.until_settled()
    account = told.queue.account()
    assert (account.unconfirmed, account.acknowledged, account.failed) == (50, 0, 0)
    assert told.acknowledged == []
    observer.wait_for(52)
    assert [one.payload for one in observer.messages if one.topic == "queued"] == payloads(50)
    told.stop()


# -- MQTT 5 -----------------------------------------------------------------------------------------------------------


def test_the_same_queue_works_on_an_mqtt_5_client_within_its_limit(broker: Broker) -> None:
    world = Mqtt5World(broker)
    observer = broker.observe()
    told = Told(world.connection, world.events, **LIMITS)
    told.queue.start()
    told.queue.subscribe("filter", mqtt5.QoS.AT_LEAST_ONCE)
    broker.freeze()
    publish(told, 2_000, qos=mqtt5.QoS.AT_LEAST_ONCE)
    told.until(lambda: told.queue.account().outstanding == LIMIT, "the window is full")
    assert told.queue.account().sent - told.queue.account().acknowledged == LIMIT
    broker.thaw()
    told.queue.unsubscribe("filter")
    told.queue.publish("no/+/topic", b"", mqtt5.QoS.AT_LEAST_ONCE)
    told.until_settled()
    assert told.queue.account().acknowledged == 2_002
    assert len(told.failed) == 1
    assert [message.payload for message in observer.wait_for(2_000)] == payloads(2_000)
    told.stop()
    world.close()

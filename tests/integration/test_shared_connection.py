"""A connection that is used by others too, and statistics that count what no longer exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from awscrt import mqtt, mqtt5

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes import FakeTransport
from tests.rig import TOPIC, Rig
from weir.forwarder.inbox import Inbox
from weir.transports.mqtt5 import Mqtt5Transport
from weir.transports.mqtt311 import Mqtt311Transport

LIMIT = 20
LIMITS = {"gate__maxIncomplete": LIMIT, "gate__maxInFlight": LIMIT}
OTHER_TOPIC = "somebody/else"


# -- the real client, and a broker that can be stopped ----------------------------------------------------------------


class Shared:
    """A forwarder whose connection somebody else publishes through as well."""

    def __init__(self, path: Path, broker: Broker, kind: type[Mqtt311Transport | Mqtt5Transport]) -> None:
        self.broker = broker
        self._kind = kind
        self.observer = broker.observe()
        self.rig = Rig(path, self._make_transport, in_real_time=True, changes=LIMITS)
        self.rig.until(lambda: self.rig.forwarder.link.state == "online", "it is online", DEADLINE_SECONDS)

    def _make_transport(self, inbox: Inbox) -> Mqtt311Transport | Mqtt5Transport:
        self.transport = self._kind(self.broker.connection(), "gateway", inbox.post, inbox.settled)
        return self.transport

    def others_publish(self, count: int) -> None:
        connection = self.transport.connection
        assert connection is not None
        for number in range(count):
            payload = b"%d" % number
            if isinstance(connection, mqtt5.Client):
                connection.publish(mqtt5.PublishPacket(topic=OTHER_TOPIC, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE))
            else:
                connection.publish(OTHER_TOPIC, payload, mqtt.QoS.AT_LEAST_ONCE)

    def others_hold(self, count: int) -> None:
        """Publish as others while the broker stands still, and wait until the client counts it."""
        self.broker.freeze()
        self.others_publish(count)
        eventually(lambda: self.transport.statistics().incomplete == count, what="the client counts them")

    def received(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.observer.messages if message.topic == topic]


@pytest.fixture(params=[Mqtt311Transport, Mqtt5Transport])
def shared(request: pytest.FixtureRequest, tmp_path: Path, broker: Broker) -> Iterator[Shared]:
    shared = Shared(tmp_path, broker, request.param)
    yield shared
    broker.thaw()
    shared.rig.close()


def test_operations_of_others_hold_the_gate_and_nothing_is_torn_down(shared: Shared) -> None:
    rig, transport = shared.rig, shared.transport
    connection = transport.connection
    shared.others_hold(LIMIT)
    rig.feed(12)
    rig.until(lambda: rig.forwarder.held_by == "others", "the others hold the gate", DEADLINE_SECONDS)
    for _ in range(10):
        rig.turn()
        assert rig.forwarder.held_by == "others"
        assert len(rig.forwarder.window) == 0
        assert transport.statistics().incomplete == LIMIT

    shared.broker.thaw()
    rig.drain(DEADLINE_SECONDS)
    shared.observer.wait_for(lambda: len(shared.observer.messages) == LIMIT + 12)
    assert shared.received(TOPIC) == rig.fed
    assert shared.received(OTHER_TOPIC) == [b"%d" % number for number in range(LIMIT)]
    assert transport.generation == 1
    assert transport.connection is connection
    assert rig.counts["possibleTwins"] == 0
    assert [event for event, _ in rig.events] == ["connected"]


def test_what_others_leave_of_the_limit_is_used_and_never_exceeded(shared: Shared) -> None:
    rig, transport = shared.rig, shared.transport
    shared.others_hold(LIMIT - 5)
    rig.feed(120)
    rig.until(lambda: len(rig.forwarder.window) == 5, "the rest of the limit is used", DEADLINE_SECONDS)
    for _ in range(10):
        rig.turn()
        assert len(rig.forwarder.window) == 5
        assert transport.statistics().incomplete == LIMIT
        assert rig.forwarder.held_by in {"inFlight", "incomplete"}

    shared.broker.thaw()
    most = 0
    while rig.settled < len(rig.fed):
        rig.turn()
        most = max(most, transport.statistics().incomplete)
    assert most <= LIMIT
    good = [record for record in rig.fed if record.endswith(b"}")]
    shared.observer.wait_for(lambda: len(shared.received(TOPIC)) == len(good))
    assert shared.received(TOPIC) == good
    assert transport.generation == 1


def test_an_urgent_publish_goes_straight_through_while_the_queue_waits(shared: Shared) -> None:
    rig = shared.rig
    rig.forwarder.paused = True
    rig.feed(2)
    rig.until(lambda: rig.ledger.streams[0].line.records == 2, "the records wait", DEADLINE_SECONDS)
    shared.others_publish(1)
    assert [message.topic for message in shared.observer.wait_for(1)] == [OTHER_TOPIC]
    assert rig.ledger.streams[0].line.records == 2


# -- a client that leaks ----------------------------------------------------------------------------------------------

TIMEOUT_SECONDS = 90.0


class Leaky:
    """A forwarder whose client counts cancelled operations for ever, as one with a clean session does."""

    def __init__(self, path: Path, window: int) -> None:
        changes: dict[str, object] = {
            "gate__maxIncomplete": window,
            "gate__maxInFlight": window,
            "connection__operationTimeoutSeconds": TIMEOUT_SECONDS,
        }
        self.rig = Rig(path, self._make_transport, changes=changes)
        self.rig.until(lambda: self.rig.forwarder.link.state == "online", "it is online")

    def _make_transport(self, inbox: Inbox) -> FakeTransport:
        self.transport = FakeTransport(inbox.post, inbox.settled, clean_session=True)
        return self.transport

    def leak(self, count: int) -> None:
        """Lose the link with so many records out."""
        self.transport.hold_acks = True
        self.rig.feed(count)
        self.rig.until(lambda: len(self.rig.forwarder.window) == count, "they are out")
        self.transport.interrupt()
        self.rig.until(lambda: self.rig.forwarder.link.state == "offline", "the loss is noticed")
        self.transport.hold_acks = False
        self.transport.resume()
        self.leaked_at = self.rig.inbox.now
        assert self.transport.statistics().incomplete == count

    @property
    def replaced(self) -> list[object]:
        return [fields["reason"] for event, fields in self.rig.events if fields.get("replaced")]


@pytest.fixture
def leaky(tmp_path: Path) -> Iterator[Leaky]:
    leaky = Leaky(tmp_path, window=5)
    yield leaky
    leaky.rig.close()


def test_a_leak_that_jams_the_gate_is_found_and_the_connection_object_replaced(leaky: Leaky) -> None:
    rig = leaky.rig
    leaky.leak(5)
    rig.until(lambda: rig.forwarder.held_by == "others", "the leak holds the gate")
    rig.until(lambda: leaky.transport.generation == 2, "the object is replaced")
    assert leaky.replaced == ["the client's statistics count operations that no longer exist"]
    assert rig.inbox.now - leaky.leaked_at >= TIMEOUT_SECONDS  # until then it might have been somebody else's
    rig.drain()
    assert leaky.transport.statistics().incomplete == 0
    arrived = {message.payload for message in leaky.transport.received}
    assert arrived == set(rig.fed)
    assert len(leaky.transport.received) - len(arrived) <= rig.counts["possibleTwins"]


def test_a_leak_that_leaves_some_room_costs_room_until_there_is_a_pause(leaky: Leaky) -> None:
    rig = leaky.rig
    leaky.leak(3)
    rig.feed(9)
    rig.drain()  # two at a time
    assert leaky.transport.generation == 1
    rig.until(lambda: leaky.transport.generation == 2, "the object is replaced once nothing is out")
    rig.until(lambda: rig.forwarder.link.state == "online", "the next one is up")
    assert leaky.transport.statistics().incomplete == 0


def test_what_is_slow_is_no_leak(leaky: Leaky) -> None:
    rig = leaky.rig
    for _ in range(4):  # somebody else's operations, other ones each time
        leaky.transport.others_publish(7)
        rig.seconds(TIMEOUT_SECONDS / 2)
        leaky.transport.others_settle()
        rig.seconds(2)
    assert leaky.transport.generation == 1
    assert leaky.replaced == []

"""The short way to publish of an operation queue, held against the client's public call."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from awscrt import mqtt, mqtt5

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes.connection import FakeConnection
from tests.queue_rig import AT_LEAST_ONCE, AT_MOST_ONCE, Line, Told
from weir.transports import publishing

Ask = Callable[..., Any]
KEEP, KEEP_NOT = True, False


@pytest.fixture
def line(broker: Broker) -> Iterator[Line]:
    line = Line(broker)
    yield line
    if not broker.running:
        broker.start()
    line.close()


def shortly(connection: mqtt.Connection, *publish: Any) -> Any:
    """Publish the short way, and give what has the outcome."""
    settled: queue.SimpleQueue[Any] = queue.SimpleQueue()
    way: Ask | None = publishing.short_way(connection)
    assert way is not None
    handed = way(*publish, settled.put)
    assert settled.get(timeout=DEADLINE_SECONDS) is handed
    return handed


def publicly(connection: mqtt.Connection, *publish: Any) -> Future[Any]:
    future: Future[Any] = connection.publish(*publish)[0]
    future.exception(DEADLINE_SECONDS)
    return future


@pytest.mark.parametrize("publish", [shortly, publicly])
@pytest.mark.parametrize("payload", [b"bytes", bytearray(b"more"), "text \N{SNOWMAN}"])
@pytest.mark.parametrize("qos", [AT_MOST_ONCE, AT_LEAST_ONCE, mqtt5.QoS.AT_LEAST_ONCE])
def test_both_ways_send_the_same_and_have_the_same_answer(
    line: Line, broker: Broker, publish: Ask, payload: bytes | bytearray | str, qos: mqtt.QoS
) -> None:
    observer = broker.observe()
    done = publish(line.connection, "some/topic", payload, qos, KEEP_NOT)
    assert done.done()
    assert not done.cancelled()
    assert done.exception() is None
    answer = done.result()
    assert list(answer) == ["packet_id"]
    assert answer["packet_id"] > 0
    sent = payload.encode() if isinstance(payload, str) else bytes(payload)
    assert [(message.topic, message.payload) for message in observer.wait_for(1)] == [("some/topic", sent)]


@pytest.mark.parametrize("publish", [shortly, publicly])
def test_both_ways_retain_where_it_is_wanted(line: Line, broker: Broker, publish: Ask) -> None:
    publish(line.connection, "retained/topic", b"kept", AT_LEAST_ONCE, KEEP).result()
    assert [message.payload for message in broker.observe("retained/#").wait_for(1)] == [b"kept"]
    publish(line.connection, "retained/topic", b"", AT_LEAST_ONCE, KEEP).result()  # or it is there for the next test


def alike(short: Any, public: Future[Any]) -> None:
    """Both failed, in the same way."""
    expected = public.exception()
    assert expected is not None
    assert repr(short.exception()) == repr(expected)
    with pytest.raises(type(expected)):
        short.result()


@pytest.mark.parametrize(
    "refused",
    [
        ("no/+/topic", b"", AT_LEAST_ONCE, False),
        ("", b"", AT_LEAST_ONCE, False),
        (None, b"", AT_LEAST_ONCE, False),
        ("topic", 5, AT_LEAST_ONCE, False),
        ("topic", b"", 1, False),
        ("topic", b"", None, False),
        ("topic", b"", mqtt.QoS.EXACTLY_ONCE, False),
    ],
)
def test_both_ways_refuse_the_same_in_the_same_words(line: Line, refused: tuple[Any, ...]) -> None:
    short, public = shortly(line.connection, *refused), publicly(line.connection, *refused)
    alike(short, public)


def test_both_ways_fail_the_same_while_it_is_down(line: Line, broker: Broker) -> None:
    broker.kill()
    eventually(lambda: not line.events.up, what="the loss is told")
    publish = ("topic", b"", AT_MOST_ONCE, False)
    short, public = shortly(line.connection, *publish), publicly(line.connection, *publish)
    alike(short, public)


def test_there_is_a_short_way_only_on_the_clients_own_connection_of_a_known_release(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = mqtt.Connection.publish

    def instead(*publish: Any) -> Any:
        return public(*publish)

    named = type("Named", (mqtt.Connection,), {})  # both are connections of the program's own making
    changed = type("Changed", (mqtt.Connection,), {"publish": instead})
    assert publishing.short_way(line.connection) is not None
    assert publishing.short_way(line.connection, "0.0.0") is None
    assert publishing.short_way(object.__new__(named)) is not None
    assert publishing.short_way(object.__new__(changed)) is None
    assert publishing.short_way(FakeConnection()) is None
    assert publishing.short_way(object()) is None
    monkeypatch.setattr(mqtt.Connection, "publish", instead)
    assert publishing.short_way(line.connection) is None


def test_a_queue_does_not_pass_by_what_is_in_the_place_of_publish(line: Line, broker: Broker) -> None:
    public = line.connection.publish
    seen: list[str] = []

    def counted(topic: str, *rest: Any) -> Any:
        seen.append(topic)
        return public(topic, *rest)

    line.connection.publish = counted
    observer = broker.observe()
    told = Told(line.connection, line.events, max_in_flight=10, max_incomplete=10)
    operations = [told.queue.publish("queued", b"%d" % number, AT_LEAST_ONCE) for number in range(500)]
    refused = told.queue.publish("no/+/topic", b"", AT_LEAST_ONCE)
    told.queue.start()
    told.until_settled()
    told.until(lambda: told.acknowledged == operations, "all are acknowledged")
    assert seen == ["queued"] * 500 + ["no/+/topic"]
    assert [operation for operation, _ in told.failed] == [refused]
    assert [message.payload for message in observer.wait_for(500)] == [b"%d" % number for number in range(500)]
    told.stop()

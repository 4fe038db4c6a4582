"""What only MQTT 5 has, and what the client library does otherwise there, with a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.answering import answering_broker
from tests.broker import Broker
from tests.certificates import Certificates
from tests.conditions import eventually
from tests.contract.bench_steps import TOPIC, delivered, heard, publish, start
from tests.contract.mqtt5_bench import Mqtt5Bench
from weir.core.errors import NotTaken, Refused, RefusedByBroker
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted
from weir.core.ports import Operation, Statistics
from weir.transports.answers import InDoubt
from weir.transports.mqtt5 import Mqtt5Transport

FORBIDDEN = "secret/gw-17"
NEVER_SECONDS = 60  # a pause of the client's own that no test waits for
Make = Callable[..., Mqtt5Bench]


@pytest.fixture
def make(broker: Broker) -> Iterator[Make]:
    """Give a way to make benches on one broker, with settings of their own; they are closed in the end."""
    made: list[Mqtt5Bench] = []

    def make_one(of: Broker = broker, **changes: object) -> Mqtt5Bench:
        made.append(Mqtt5Bench(of, **changes))
        return made[-1]

    yield make_one
    for bench in made:
        bench.close()


@pytest.fixture
def make_broker(tmp_path: Path, certificates: Certificates) -> Iterator[Callable[[str], Broker]]:
    """Give a way to make brokers with a configuration of their own."""
    made: list[Broker] = []

    def make_one(extra: str) -> Broker:
        made.append(Broker(tmp_path, certificates, extra=extra))
        made[-1].start()
        return made[-1]

    yield make_one
    for broker in made:
        broker.close()


def test_a_message_carries_the_id_of_its_record_as_a_user_property(make: Make, broker: Broker) -> None:
    bench = start(make())
    arrived: list[MQTTMessage] = []
    reader = Client(CallbackAPIVersion.VERSION2, "reader", protocol=MQTTProtocolVersion.MQTTv5, transport="unix")
    reader.on_connect = lambda client, *_: client.subscribe("#", 1)
    subscribed: list[object] = []
    reader.on_subscribe = lambda *_: subscribed.append(True)
    reader.on_message = lambda _client, _data, message: arrived.append(message)
    reader.connect(broker.observers[0].path)
    reader.loop_start()
    eventually(lambda: subscribed, what="the reader has subscribed")
    futures = [
        bench.transport.publish(TOPIC, b"a", 1, bytes(range(16))),
        bench.transport.publish(TOPIC, b"b", 0, b"\xff" * 16),
        bench.transport.publish(TOPIC, b"c", 1),
    ]
    bench.until(lambda: delivered(futures), "all are answered")
    eventually(lambda: len(arrived) == 3, what="all have arrived")
    reader.disconnect()
    reader.loop_stop()
    found = {message.payload: getattr(message.properties, "UserProperty", []) for message in arrived}
    assert found == {b"a": [("id", bytes(range(16)).hex())], b"b": [("id", "ff" * 16)], b"c": []}


@pytest.mark.parametrize("length", [1, 70, 90, 16_300, 16_400, 120_000])
@pytest.mark.parametrize("record_id", [None, b"\x00" * 16])
def test_an_operation_is_as_large_as_the_client_says_and_never_larger_than_the_port_says(
    make: Make, broker: Broker, length: int, record_id: bytes | None
) -> None:
    bench = start(make())
    native = bench.transport.connection
    assert native is not None
    broker.freeze()
    bench.transport.publish(TOPIC, b"x" * length, 1, record_id)
    at_once = bench.transport.statistics()
    eventually(lambda: native.get_stats().incomplete_operation_count == 1, what="the client counts it")
    assert at_once.incomplete_bytes == native.get_stats().incomplete_operation_size
    assert at_once.incomplete_bytes <= len(TOPIC) + length + bench.transport.operation_bytes


def hurt(bench: Mqtt5Bench, number: int) -> list[Operation]:
    """Kill the broker with 50 messages in flight, and start it again; give what became of them."""
    bench.broker.freeze()
    futures = publish(bench, *[b"%d-%d" % (number, message) for message in range(50)])
    bench.until(lambda: bench.transport.statistics().unacked == 50, "in flight")
    bench.broker.kill()
    bench.until(lambda: len(heard(bench, Interrupted)) == number, "the loss is noticed")
    assert not any(future.done() for future in futures)
    bench.broker.start()
    bench.until(lambda: delivered(futures), "all are answered after all")
    return futures


def test_operations_in_flight_survive_restarts_of_the_broker_and_leave_no_trace_in_the_statistics(make: Make) -> None:
    bench = start(make())
    futures = [future for number in (1, 2, 3) for future in hurt(bench, number)]
    assert len(bench.outcomes) == len(futures) == 150
    assert bench.transport.statistics() == Statistics(0, 0, 0, 0)
    wanted = {b"%d-%d" % (number, message) for number in (1, 2, 3) for message in range(50)}
    bench.until(lambda: {message.payload for message in bench.received()} == wanted, "they arrive")
    assert bench.transport.generation == 1


def test_the_session_is_kept_by_a_broker_that_only_lost_the_connection(make: Make, broker: Broker) -> None:
    bench = start(make(keep_alive_seconds=2, ping_timeout_seconds=1))
    broker.freeze()
    futures = publish(bench, b"in flight")
    bench.until(lambda: heard(bench, Interrupted), "the silence is noticed")
    assert "no answer in time" in heard(bench, Interrupted)[0].reason
    broker.thaw()
    bench.until(lambda: delivered(futures), "it is delivered in the end")
    assert heard(bench, Connected)[1:] == [Connected(1, session_present=True)]


def test_a_refused_publish_fails_with_the_code_and_the_next_one_goes(
    make: Make, make_broker: Callable[[str], Broker], tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic read #\ntopic write telemetry/#\n")
    (tmp_path / "acl").chmod(0o600)
    bench = start(make(make_broker(f"acl_file {tmp_path}/acl")))
    [refused] = publish(bench, b"a", topic=FORBIDDEN)
    good = publish(bench, b"b")
    bench.until(lambda: refused.done() and delivered(good), "both are answered")
    assert isinstance(refused.exception(), RefusedByBroker)
    assert str(refused.exception()) == "0x87 not authorized"


def test_a_message_that_is_too_large_for_this_broker_is_refused_before_it_costs_the_connection(
    make: Make, make_broker: Callable[[str], Broker]
) -> None:
    bench = start(make(make_broker("max_packet_size 1000")))
    overhead = 1 + 2 + 2 + 2 + 1 + 39  # flags, two of length, topic length, packet id, properties' length, the id
    fits = 1000 - overhead - len(TOPIC)
    with pytest.raises(Refused, match="1001 bytes, the broker takes at most 1000"):
        bench.transport.publish(TOPIC, b"x" * (fits + 1), 1, b"\x00" * 16)
    future = bench.transport.publish(TOPIC, b"x" * fits, 1, b"\x00" * 16)
    bench.until(lambda: delivered([future]), "what just fits is delivered")
    assert [type(event) for event in bench.events] == [Connected]


def test_a_broker_that_refuses_the_connection_is_told_with_its_code(
    make: Make, make_broker: Callable[[str], Broker], tmp_path: Path
) -> None:
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)
    broker = make_broker(f"password_file {tmp_path}/passwords")
    text = (tmp_path / "mosquitto.conf").read_text()
    (tmp_path / "mosquitto.conf").write_text(text.replace("allow_anonymous true", "allow_anonymous false"))
    broker.kill()
    bench = make(broker)
    broker.start()
    bench.transport.start()
    bench.until(lambda: len(heard(bench, ConnectFailed)) == 2, "it was refused, and again")
    assert heard(bench, ConnectFailed)[0] == ConnectFailed(
        1, "the broker refused the connection: 0x87 not authorized", turned_away=True
    )


def test_an_object_that_waits_for_its_own_next_attempt_is_given_up_at_once(make: Make, broker: Broker) -> None:
    bench = start(make(reconnect_min_seconds=NEVER_SECONDS, reconnect_max_seconds=NEVER_SECONDS))
    broker.kill()
    bench.until(lambda: heard(bench, Interrupted), "the loss is noticed")
    left = publish(bench, b"left behind")
    bench.transport.replace()
    bench.until(lambda: heard(bench, Closed), "the old one is closed")
    eventually(left[0].done, what="what it held fails")
    broker.start()

    def up_again() -> bool:
        bench.ahead += 1  # the next object's first attempt may have failed before the broker was there
        return len(heard(bench, Connected)) == 2

    bench.until(up_again, "the next one is up")
    futures = publish(bench, b"new")
    bench.until(lambda: delivered(futures), "it delivers")
    assert [message.payload for message in bench.received()] == [b"new"]
    assert heard(bench, Closed) == [Closed(1)]


def test_what_a_replaced_object_held_fails_only_after_it_is_closed(make: Make, broker: Broker) -> None:
    bench = start(make())
    broker.freeze()
    order: list[object] = []
    for future in publish(bench, b"1", b"2"):
        assert isinstance(future, Future)
        future.add_done_callback(lambda _: order.append(list(heard(bench, Closed))))
    bench.transport.replace()
    eventually(lambda: len(order) == 2, what="both fail")
    assert order == [[Closed(1)], [Closed(1)]]


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (0x00, None, ""),
        (0x10, None, ""),
        (0x80, NotTaken, "the broker refused it and does not say why: 0x80 unspecified error"),
        (0x83, NotTaken, "the broker refused it and does not say why: 0x83 implementation specific error"),
        (0x87, RefusedByBroker, "0x87 not authorized"),
        (0x90, RefusedByBroker, "0x90 topic name invalid"),
        (0x91, InDoubt, "the broker did not answer for this message: 0x91 packet identifier in use"),
        (0x97, NotTaken, "the broker did not take it: 0x97 quota exceeded"),
        (0x99, RefusedByBroker, "0x99 payload format invalid"),
        (0xF0, RefusedByBroker, "a reason code that MQTT 5 does not know"),
    ],
)
def test_each_code_of_a_broker_means_what_the_table_says(
    make: Make, certificates: Certificates, code: int, kind: type | None, text: str
) -> None:
    with answering_broker(certificates, lambda payload: code if payload == b"this" else 0) as answering:
        bench = start(make(port=answering.port))
        futures = publish(bench, b"before", b"this", b"after")
        bench.until(lambda: all(future.done() for future in futures), "all are answered")
        outcome = futures[1].exception()
        assert (type(outcome), str(outcome)) == (kind, text) if kind else outcome is None
        assert delivered([futures[0], futures[2]])
        assert answering.connections == 1
        bench.transport.close(5)


def test_a_message_that_is_refused_three_times_without_a_reason_is_refused_for_good(
    make: Make, certificates: Certificates
) -> None:
    with answering_broker(certificates, lambda _: 0x80) as answering:
        bench = start(make(port=answering.port))
        outcomes: list[type] = []
        for _ in range(4):
            [future] = publish(bench, b"a")
            bench.until(future.done, "an answer")
            outcomes.append(type(future.exception()))
        assert outcomes == [NotTaken, NotTaken, RefusedByBroker, NotTaken]
        bench.transport.close(5)


def test_a_broker_that_ends_the_connection_is_told_with_its_code(make: Make, certificates: Certificates) -> None:
    with answering_broker(certificates, lambda _: 0) as answering:
        bench = start(make(port=answering.port))
        answering.goodbye = 0x8E
        publish(bench, b"a")
        bench.until(lambda: heard(bench, Interrupted), "it is told")
        assert heard(bench, Interrupted)[0].reason == "the broker ended the connection: 0x8e session taken over"
        bench.transport.close(5)


def test_the_name_is_that_of_the_setting(make: Make) -> None:
    assert make().transport.name == "mqtt5" == Mqtt5Transport.name

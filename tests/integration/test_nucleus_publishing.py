"""The stand-in's cloud side against the unmodified client library: what it takes, refuses, loses and delivers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from awsiot import eventstreamrpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2 as Client

from tests.conditions import eventually
from tests.integration.nucleus_clients import SECONDS, Connect
from tests.nucleus import CLASSIC, NucleusStandIn, Published

ACCESS = {
    "aws.greengrass.ipc.mqttproxy": {
        "policy": {
            "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
            "resources": ["dt/#", "things/{iot:thingName}"],
        }
    }
}


@pytest.fixture
def defaults() -> dict[str, Any]:
    return {"accessControl": ACCESS}


def publish(client: Client, payload: bytes = b"x", *, topic: str = "dt/a", qos: str = "1") -> None:
    client.publish_to_iot_core_async(topic_name=topic, qos=qos, payload=payload).result(SECONDS)


def payloads(messages: list[Published]) -> list[bytes]:
    return [message.payload for message in messages]


def test_what_is_published_arrives_in_order(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    for number in range(100):
        publish(client, b"%d" % number, topic=f"dt/{number}", qos=str(number % 2))

    assert nucleus.published == nucleus.delivered
    assert nucleus.published == [Published(f"dt/{n}", b"%d" % n, n % 2) for n in range(100)]
    assert (nucleus.waiting, nucleus.lost) == ([], [])


def test_a_topic_outside_access_control_is_unauthorized(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    for topic in ("dt", "other/a", "things/other"):
        with pytest.raises(model.UnauthorizedError):
            publish(client, topic=topic)

    publish(client, topic="things/thing-1")
    publish(client, topic="dt/a/b")
    assert len(nucleus.published) == 2


def test_lite_closes_the_connection_on_one_byte_too_many(lite: NucleusStandIn, connect: Connect) -> None:
    client, closed = connect(lite), threading.Event()
    client.subscribe_to_configuration_update(on_stream_event=print, on_stream_closed=closed.set)
    publish(client, b"x" * 7317)

    with pytest.raises(eventstreamrpc.StreamClosedError):
        publish(client, b"x" * 7318)

    assert closed.wait(SECONDS)
    with pytest.raises(RuntimeError):  # whichever the library comes upon first, all of them are one
        publish(client)
    assert len(payloads(lite.published)[0]) == 7317


def test_classic_answers_a_payload_that_is_too_large(classic: NucleusStandIn, connect: Connect) -> None:
    client = connect(classic)
    publish(client, b"x" * 128 * 1024)

    with pytest.raises(model.ServiceError):
        publish(client, b"x" * (128 * 1024 + 1))

    publish(client)
    assert len(classic.published) == 2


def test_classic_wants_a_payload_and_a_qos_and_lite_does_not(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    odd: list[dict[str, Any]] = [{"qos": "1"}, {"payload": b"x"}, {"payload": b"x", "qos": "2"}]
    for request in odd:
        if nucleus.kind is CLASSIC:
            with pytest.raises(model.InvalidArgumentsError):
                client.publish_to_iot_core(topic_name="dt/a", **request)
        else:
            client.publish_to_iot_core(topic_name="dt/a", **request)

    taken = [Published("dt/a", b"", 1), Published("dt/a", b"x", 0), Published("dt/a", b"x", 2)]
    assert nucleus.published == ([] if nucleus.kind is CLASSIC else taken)


def test_lite_takes_ten_unacknowledged_and_refuses_the_next_without_a_text(
    lite: NucleusStandIn, connect: Connect
) -> None:
    client = connect(lite)
    lite.hold_acks()
    for number in range(10):
        publish(client, b"%d" % number)
    publish(client, b"qos 0", qos="0")

    with pytest.raises(model.ServiceError) as refused:
        publish(client, b"too much")

    assert refused.value.message is None
    assert payloads(lite.delivered) == [b"qos 0"]
    lite.release_acks(2)
    publish(client, b"10")
    publish(client, b"11")
    with pytest.raises(model.ServiceError):
        publish(client, b"too much")
    lite.release_acks()
    assert payloads(lite.delivered) == [b"qos 0", *(b"%d" % number for number in range(12))]


def test_lite_takes_fifteen_thousand_unacknowledged_bytes(lite: NucleusStandIn, connect: Connect) -> None:
    client = connect(lite)
    lite.hold_acks()
    publish(client, b"x" * 7000)
    publish(client, b"x" * 7000)

    with pytest.raises(model.ServiceError):
        publish(client, b"x" * 1000)

    publish(client, b"x" * 500)
    assert len(lite.waiting) == 3


def test_lite_offline_takes_nothing_and_has_lost_what_was_unacknowledged(
    lite: NucleusStandIn, connect: Connect
) -> None:
    client = connect(lite)
    publish(client, b"acknowledged")
    lite.hold_acks()
    publish(client, b"on its way")

    lite.go_offline()

    for qos in ("0", "1"):
        with pytest.raises(model.ServiceError):
            publish(client, qos=qos)
    lite.release_acks()
    lite.go_online()
    publish(client, b"after")
    assert payloads(lite.published) == [b"acknowledged", b"on its way", b"after"]
    assert payloads(lite.delivered) == [b"acknowledged", b"after"]
    assert payloads(lite.lost) == [b"on its way"]


def test_classic_offline_spools_qos_1_until_the_spooler_is_full(classic: NucleusStandIn, connect: Connect) -> None:
    client = connect(classic)
    classic.go_offline()
    with pytest.raises(model.ServiceError):
        publish(client, qos="0")
    for _ in range(20):
        publish(client, b"x" * 128 * 1024)

    with pytest.raises(model.ServiceError) as refused:
        publish(client)

    assert "Message spool is full" in (refused.value.message or "")
    assert (len(classic.waiting), classic.delivered) == (20, [])
    classic.go_online()
    publish(client)
    assert (len(classic.delivered), classic.waiting, classic.lost) == (21, [], [])


def test_classic_spools_while_the_broker_does_not_acknowledge(classic: NucleusStandIn, connect: Connect) -> None:
    client = connect(classic)
    classic.hold_acks()
    for number in range(30):
        publish(client, b"%d" % number)
    classic.go_offline()
    classic.go_online()

    assert (len(classic.waiting), classic.lost) == (30, [])
    classic.release_acks()
    assert payloads(classic.delivered) == [b"%d" % number for number in range(30)]


def test_a_wildcard_topic_is_refused_by_classic_and_costs_lite_its_link(
    nucleus: NucleusStandIn, connect: Connect
) -> None:
    client = connect(nucleus)
    nucleus.hold_acks()
    publish(client, b"before")

    if nucleus.kind is CLASSIC:
        with pytest.raises(model.ServiceError):
            publish(client, b"wild", topic="dt/#")
        assert nucleus.lost == []
    else:
        publish(client, b"wild", topic="dt/#")
        assert payloads(nucleus.lost) == [b"wild", b"before"]


def test_a_subscription_gets_what_the_cloud_sends(nucleus: NucleusStandIn, connect: Connect) -> None:
    client, got = connect(nucleus), list[Any]()
    client.subscribe_to_iot_core_async(topic_name="dt/#", qos="1", on_stream_event=got.append)[0].result(SECONDS)

    assert nucleus.send("dt/orders", b"go") == 1
    assert nucleus.send("other", b"no") == 0

    eventually(lambda: got)
    assert (got[0].message.topic_name, got[0].message.payload) == ("dt/orders", b"go")
    with pytest.raises(model.UnauthorizedError):
        client.subscribe_to_iot_core(topic_name="other/#", qos="1", on_stream_event=got.append)


def test_lite_never_delivers_a_packet_beyond_its_limit(nucleus: NucleusStandIn, connect: Connect) -> None:
    client, got = connect(nucleus), list[Any]()
    client.subscribe_to_iot_core_async(topic_name="dt/#", qos="1", on_stream_event=got.append)[0].result(SECONDS)

    nucleus.send("dt/abcde", b"x" * 4990)
    nucleus.send("dt/abcde", b"x" * 4980)

    expected = [4990, 4980] if nucleus.kind is CLASSIC else [4980]
    eventually(lambda: [len(event.message.payload) for event in got] == expected)


def test_subscribing_offline_is_an_error(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    nucleus.go_offline()

    with pytest.raises(model.ServiceError):
        client.subscribe_to_iot_core(topic_name="dt/#", qos="1", on_stream_event=print)


def test_a_restart_of_the_daemon_leaves_the_cloud_link_alone(classic: NucleusStandIn, connect: Connect) -> None:
    classic.go_offline()
    publish(connect(classic), b"spooled")

    classic.restart()
    publish(connect(classic), b"spooled too")
    classic.go_online()

    assert payloads(classic.delivered) == [b"spooled", b"spooled too"]

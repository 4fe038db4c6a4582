"""What an operation queue stands on, held against the connection in memory and the real clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

import pytest
from awscrt import io, mqtt, mqtt5

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes.connection import FakeConnection
from tests.queue_rig import AT_LEAST_ONCE, AT_MOST_ONCE, Line
from weir.operation_queue import Connection, ConnectionEvents
from weir.operation_queue.connection import statistics
from weir.transports.operations5 import Mqtt5Connection


class World(Protocol):
    """A connection, and a broker that can be held."""

    events: ConnectionEvents

    @property
    def connection(self) -> Connection: ...

    def hold(self) -> None:
        """Let no answer come, though the connection stands."""

    def answer(self) -> None: ...

    def lose(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.connection = FakeConnection(acks_at_once=True)
        self.events = self.connection.events

    def hold(self) -> None:
        self.connection.acks_at_once = False
        self.connection.writes_at_once = True

    def answer(self) -> None:
        self.connection.acks_at_once = True
        self.connection.ack(len(self.connection.out))
        self.connection.linger_no_more()

    def lose(self) -> None:
        self.connection.lose()

    def close(self) -> None: ...


class WithBroker:
    connection: Connection
    events: ConnectionEvents

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def hold(self) -> None:
        self._broker.freeze()

    def answer(self) -> None:
        self._broker.thaw()

    def lose(self) -> None:
        self._broker.kill()
        eventually(lambda: not self.events.up, what="the loss is told")


class Mqtt311World(WithBroker):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self._line = Line(broker)
        self.connection, self.events = self._line.connection, self._line.events

    def close(self) -> None:
        self._line.close()


class Mqtt5World(WithBroker):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.events = ConnectionEvents()
        self._stopped = threading.Event()
        self._client = client5(broker, self.events, self._stopped)
        self.connection = Mqtt5Connection(self._client)
        self._client.start()
        eventually(lambda: self.events.up, what="it is connected")

    def close(self) -> None:
        self._client.stop()
        assert self._stopped.wait(DEADLINE_SECONDS)


def client5(broker: Broker, events: ConnectionEvents, stopped: threading.Event) -> mqtt5.Client:
    settings = broker.connection()
    tls = io.TlsContextOptions.create_client_with_mtls_from_path(settings.certificate, settings.private_key)
    tls.override_default_trust_store_from_path(None, settings.ca)
    return mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=broker.endpoint,
            port=broker.port,
            tls_ctx=io.ClientTlsContext(tls),
            connect_options=mqtt5.ConnectPacket(client_id="test-queue-5"),
            on_lifecycle_event_connection_success_fn=events.connected,
            on_lifecycle_event_disconnection_fn=events.lost,
            on_lifecycle_event_stopped_fn=lambda _: stopped.set(),
        )
    )


@pytest.fixture(params=["in memory", "MQTT 3.1.1", "MQTT 5"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "in memory":
        yield InMemory()
        return
    broker: Broker = request.getfixturevalue("broker")
    made: Mqtt311World | Mqtt5World = Mqtt311World(broker) if request.param == "MQTT 3.1.1" else Mqtt5World(broker)
    yield made
    if broker.running:
        broker.thaw()
    made.close()


def outcome(future: Future[Any]) -> BaseException | None:
    return future.exception(DEADLINE_SECONDS)


OPERATIONS: list[Callable[[Connection], tuple[Future[Any], int]]] = [
    lambda connection: connection.subscribe("some/+", AT_LEAST_ONCE, None),
    lambda connection: connection.publish("some/topic", b"payload", AT_LEAST_ONCE, False),  # noqa: FBT003 - as the port has it
    lambda connection: connection.publish("some/topic", "text", AT_MOST_ONCE, False),  # noqa: FBT003
    lambda connection: connection.unsubscribe("some/+"),
]


def test_every_operation_has_a_good_outcome(world: World) -> None:
    for operation in OPERATIONS:
        assert outcome(operation(world.connection)[0]) is None
    eventually(lambda: statistics(world.connection) == (0, 0, 0, 0), what="nothing is left in the statistics")


def test_what_is_out_is_in_the_statistics_with_about_the_size_the_queue_counts(world: World) -> None:
    world.hold()
    futures = [operation(world.connection)[0] for operation in (OPERATIONS[0], OPERATIONS[1], OPERATIONS[3])]
    eventually(lambda: statistics(world.connection).unacked == 3, what="all three are counted")
    now = statistics(world.connection)
    ours = (7 + len("some/+")) + (4 + len("some/topic") + len("payload")) + (4 + len("some/+"))
    assert now.incomplete == 3
    assert ours <= now.incomplete_bytes <= ours + 3 * 3
    assert now.incomplete_bytes == now.unacked_bytes
    world.answer()
    assert [outcome(future) for future in futures] == [None] * 3


def test_the_statistics_have_fallen_when_the_outcome_of_an_answered_operation_is_told(world: World) -> None:
    world.hold()
    seen: list[int] = []
    future, _ = OPERATIONS[1](world.connection)
    future.add_done_callback(lambda _: seen.append(statistics(world.connection).incomplete))
    world.answer()
    eventually(lambda: seen, what="it was told")
    assert seen == [0]


def test_what_cannot_be_sent_comes_back_as_a_failure_or_is_raised(world: World) -> None:
    try:
        future, _ = world.connection.publish("no/+/topic", b"", AT_LEAST_ONCE, False)  # noqa: FBT003 - as the port has it
    except (RuntimeError, ValueError):
        return
    assert outcome(future) is not None


def test_while_it_is_down_qos_0_fails_and_the_rest_waits(world: World) -> None:
    world.hold()
    future, _ = OPERATIONS[1](world.connection)
    world.lose()
    failed, _ = OPERATIONS[2](world.connection)
    assert outcome(failed) is not None
    eventually(lambda: statistics(world.connection).incomplete == 1, what="the other is kept")
    assert not future.done()


def test_a_refusal_by_the_broker_is_a_failure(tmp_path_factory: pytest.TempPathFactory, certificates: Any) -> None:
    directory = tmp_path_factory.mktemp("refusing")
    (directory / "acl").write_text("pattern readwrite allowed/#\n")
    broker = Broker(directory, certificates, extra=f"acl_file {directory}/acl")
    broker.start()
    world = Mqtt5World(broker)
    try:
        future, _ = world.connection.publish("forbidden", b"", mqtt.QoS.AT_LEAST_ONCE, False)  # noqa: FBT003 - as above
        assert "NOT_AUTHORIZED" in str(outcome(future))
        future, _ = world.connection.publish("allowed/topic", b"", mqtt.QoS.AT_LEAST_ONCE, False)  # noqa: FBT003 - as above
        assert outcome(future) is None
    finally:
        world.close()
        broker.close()


def test_an_mqtt_5_client_has_no_callback_for_each_filter(broker: Broker) -> None:
    connection = Mqtt5Connection(client5(broker, ConnectionEvents(), threading.Event()))
    with pytest.raises(ValueError, match="one callback for all"):
        connection.subscribe("filter", 1, print)

"""An operation queue, on a connection to a real broker or in memory, with everything it tells written down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from awscrt import mqtt

from tests.broker import Broker
from tests.conditions import eventually
from tests.fakes.connection import FakeConnection
from weir.core.ports import Statistics
from weir.operation_queue import Account, Connection, ConnectionEvents, MqttOperationQueue, Operation
from weir.transports import plain

AT_MOST_ONCE, AT_LEAST_ONCE = mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE
CONNECT_SECONDS = 30.0


class Line:
    """One connection, with its events and what it says of being connected."""

    def __init__(self, broker: Broker, client_id: str = "test-queue", *, clean_session: bool = False) -> None:
        self.events = ConnectionEvents()
        self.connection = plain.new_connection(
            broker.connection(client_id=client_id),
            on_success=self.events.connected,
            on_interrupted=self.events.lost,
            on_closed=self.events.lost,
            clean_session=clean_session,
        )
        self.connection.connect().result(CONNECT_SECONDS)

    @property
    def incomplete(self) -> int:
        count: int = self.connection.get_stats().incomplete_operation_count
        return count

    def close(self) -> None:
        self.connection.disconnect().result(CONNECT_SECONDS)


class Told:
    """A queue, and what it told, each in order."""

    def __init__(self, connection: Connection, events: ConnectionEvents | None = None, **settings: Any) -> None:
        self.sent: list[Operation] = []
        self.acknowledged: list[Operation] = []
        self.failed: list[tuple[Operation, BaseException]] = []
        self.dropped: list[Operation] = []
        self.leaks: list[Statistics] = []
        self.emptied = 0
        self.on_acknowledged: Callable[[], object] = lambda: None
        self.threads: set[int | None] = set()
        self.queue = MqttOperationQueue(
            connection=connection,
            events=events,
            on_sent=self.sent.append,
            on_acknowledged=self._acknowledge,
            on_failed=lambda operation, error: self.failed.append((operation, error)),
            on_dropped=self.dropped.append,
            on_leak=self.leaks.append,
            on_empty=self._empty,
            **settings,
        )

    def _acknowledge(self, operation: Operation, _answer: object) -> None:
        self.acknowledged.append(operation)
        self.threads.add(threading.get_ident())
        self.on_acknowledged()

    def _empty(self) -> None:
        self.emptied += 1

    def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            eventually(condition, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.queue.account()}, held by {self.queue.held_by}") from None

    def until_settled(self) -> None:
        """Wait until everything that was ever taken has its end."""
        self.until(lambda: not (self.queue.account().waiting or self.queue.account().outstanding), "all is settled")

    def forget(self) -> None:
        """Begin the lists anew."""
        for told in (self.sent, self.acknowledged, self.failed, self.dropped):
            told.clear()

    def stop(self) -> None:
        """Stop, with nothing left."""
        left = self.queue.stop(CONNECT_SECONDS, drain=True)
        assert not left.waiting
        assert not left.outstanding
        balance(self.queue.account())


def balance(account: Account) -> None:
    """Nothing is unaccounted for."""
    assert account.taken == sum(account[1:8]), account


def publish(queue: MqttOperationQueue, count: int, *, qos: int = 1) -> list[Operation]:
    """Add so many publishes."""
    return [queue.publish("topic", b"%d" % number, qos) for number in range(count)]


def start(started: list[Told], connection: FakeConnection, **settings: Any) -> Told:
    """Start a queue on a connection in memory, and note it to be stopped."""
    told = Told(connection, connection.events, **settings)
    started.append(told)
    told.queue.start()
    return told

"""A transport with its broker in memory, in the hands of the test.

It behaves as `Mqtt311Transport` does with the real client library, measured there:

- statistics: `incomplete` rises in publish(), `unacked` when the message is written, both fall before `settled` runs;
- QoS 1 published while the link is down is kept; what is in flight when the link is lost keeps its future and its place
  in the statistics, and is written again, in order, when the link is back;
- a first attempt that fails is repeated by `advance`; a lost link comes back by itself;
- a replaced object says `Closed` once, and only then do the futures it held fail.

Everything happens in the test's own calls: what a native thread would do by itself is done in `advance`, unless the
test holds it (`hold_writes`, `hold_acks`, `hold_farewell`) and does it step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tests.observer import Message
from weir.core.errors import NotTaken, Refused, RefusedByBroker
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted
from weir.core.ports import Post, Settled, Statistics
from weir.core.topics import MESSAGE_BYTES

RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
_HEADER_BYTES = 4


class ClientError(Exception):
    """A failure as the client library reports it: known by its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(eq=False)
class Publish:
    """One publish that has no outcome yet."""

    topic: str
    payload: bytes
    qos: int
    record_id: bytes | None = None
    future: Future[Any] = field(default_factory=Future)
    unacked: bool = False  # was written once: counts as such until the outcome
    written: bool = False  # was written on the link that is up now

    @property
    def size(self) -> int:
        return _HEADER_BYTES + len(self.topic.encode()) + len(self.payload)


class FakeTransport:
    """Fulfils `weir.core.ports.Transport`."""

    name = "fake"
    message_bytes = MESSAGE_BYTES
    most_outstanding: int | None = None
    hands_over = False
    carries_ids = False
    operation_bytes = 4
    packet_bytes = 8

    def __init__(self, post: Post, settled: Settled, *, reachable: bool = True, clean_session: bool = False) -> None:
        self._post = post
        self._settled = settled
        self.generation = 1
        self.reachable = reachable  # whether an attempt to connect would succeed now
        self.clean_session = clean_session  # the leak: what is in flight when the link is lost stays in the statistics
        self.hold_writes = False
        self.hold_acks = False
        self.hold_farewell = False
        self.received: list[Message] = []  # at the broker, twins included
        self.published: list[Publish] = []  # every operation ever taken
        self.operations: list[Publish] = []  # those without an outcome, in order
        self.hangs_up_on: Callable[[bytes], bool] = lambda _: False  # what the broker closes the connection for
        self.refuses: Callable[[bytes], bool] = lambda _: False  # what the broker answers that it will not have
        self.attempts = 0  # first attempts to connect
        self.online = False
        self.closed = False
        self._established = False  # was up once: comes back by itself
        self._attempting = False
        self._retry_at: float | None = None
        self._leaving: list[Publish] | None = None  # what the replaced object held
        self._give_up_at: float | None = None
        self._foreign: list[int] = []  # sizes of the operations of others
        self._leaked: list[int] = []

    # What the loop calls

    def start(self) -> None:
        self._try_to_connect()

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Future[Any]:
        if self.closed or self._leaving is not None:
            raise RuntimeError("there is no connection object to publish to")
        if not topic or any(sign in topic for sign in "+#\0"):
            raise Refused("AWS_ERROR_MQTT_INVALID_TOPIC")
        operation = Publish(topic, payload, qos, record_id)
        if qos == 0 and not self.online:
            self._fail(operation, "AWS_ERROR_MQTT_NOT_CONNECTED")
            return operation.future
        self.published.append(operation)
        self.operations.append(operation)
        return operation.future

    def statistics(self) -> Statistics:
        if self._leaving is not None:
            return Statistics(0, 0, 0, 0)
        others = self._foreign + self._leaked
        incomplete = [operation.size for operation in self.operations] + others
        unacked = [operation.size for operation in self.operations if operation.unacked] + others
        return Statistics(len(incomplete), sum(incomplete), len(unacked), sum(unacked))

    def advance(self, now: float) -> float | None:
        if self.closed:
            return None
        if self._leaving is not None and not self._see_off(now):
            return self._give_up_at
        self._see_to_attempt(now)
        if self.online:
            self.write_all()
            if self._hang_up(now):
                return now + RETRY_SECONDS
            if not self.hold_acks:
                self.ack_all()
        return now if self._attempting else self._retry_at

    def replace(self) -> None:
        if self._leaving is not None or self.closed:
            return
        self._leaving = self.operations
        self.operations = []
        self.online = self._established = self._attempting = False
        self._retry_at = self._give_up_at = None
        self.generation += 1

    def close(self, timeout_seconds: float) -> None:
        self.closed = True
        self.online = self._established = self._attempting = False
        held = self.operations + (self._leaving or [])
        self.operations, self._leaving = [], None
        self._destroy(held)

    # What the test does to the link

    def interrupt(self, reason: str = "AWS_IO_SOCKET_CLOSED") -> None:
        """Take the link away, until `resume`."""
        self.reachable = False
        if not self.online:
            return
        self.online = False
        if self.clean_session:
            self._leak()
        for operation in self.operations:
            operation.written = False
        self._post(Interrupted(self.generation, reason))

    def resume(self, *, session_present: bool = False) -> None:
        """Give the link back; a connection that was up is up again at once."""
        self.reachable = True
        if self._established and not self.online:
            self._come_up(session_present=session_present)

    # What the test does to single messages

    def write_all(self) -> None:
        """Let the client write what was published; QoS 0 is complete with that."""
        if self.hold_writes:
            return
        for operation in [operation for operation in self.operations if not operation.written]:
            operation.written = operation.unacked = True
            if self.refuses(operation.payload):
                self.operations.remove(operation)
                operation.future.set_exception(RefusedByBroker("0x99 payload format invalid"))
                self._settled(operation.future)
                continue
            self.received.append(Message(operation.topic, operation.payload))
            if operation.qos == 0:
                self._complete(operation)

    def ack(self, count: int = 1) -> None:
        """Let the broker's answers to the oldest written messages arrive."""
        for operation in [operation for operation in self.operations if operation.written][:count]:
            self._complete(operation)

    def ack_all(self) -> None:
        """Let every answer arrive."""
        self.ack(len(self.operations))

    def give_up(self, count: int = 1) -> None:
        """Let the client give up on the oldest written messages; the broker has them."""
        for operation in [operation for operation in self.operations if operation.written][:count]:
            self.operations.remove(operation)
            self._fail(operation, "AWS_ERROR_MQTT_PROTOCOL_ERROR")

    def turn_away(self, why: str, retry_seconds: float | None = None) -> None:
        """Take none of what was published and not written yet, and say so."""
        for operation in [operation for operation in self.operations if not operation.written]:
            self.operations.remove(operation)
            operation.future.set_exception(NotTaken(why, retry_seconds))
            self._settled(operation.future)

    def others_publish(self, count: int, size: int = 200) -> None:
        """Let somebody else use the same connection."""
        self._foreign += [size] * count

    def others_settle(self) -> None:
        """Let every operation of others have its outcome."""
        self._foreign.clear()

    # What goes on inside

    def _try_to_connect(self) -> None:
        self.attempts += 1
        self._attempting = True
        self._retry_at = None

    def _hang_up(self, now: float) -> bool:
        """Let the broker answer what comes before a message that it will not have, and then close the connection."""
        written = [operation for operation in self.operations if operation.written]
        fault = next((n for n, operation in enumerate(written) if self.hangs_up_on(operation.payload)), None)
        if fault is None:
            return False
        self.ack(fault)
        self.received = self.received[: len(self.received) - (len(written) - fault)]  # it took no more than these
        self.interrupt()
        self.reachable = True
        self._retry_at = now + RETRY_SECONDS
        return True

    def _see_to_attempt(self, now: float) -> None:
        if self._established and not self.online and self.reachable and now >= (self._retry_at or 0.0):
            self._retry_at = None
            self._come_up(session_present=True)
            return
        if self._retry_at is not None and now >= self._retry_at:
            self._try_to_connect()
        if not self._attempting:
            return
        self._attempting = False
        if self.reachable:
            self._come_up(session_present=False)
        else:
            self._retry_at = now + RETRY_SECONDS
            self._post(ConnectFailed(self.generation, "AWS_IO_SOCKET_CONNECTION_REFUSED"))

    def _come_up(self, *, session_present: bool) -> None:
        self.online = self._established = True
        self._post(Connected(self.generation, session_present))

    def _see_off(self, now: float) -> bool:
        if self._give_up_at is None:
            self._give_up_at = now + PATIENCE_SECONDS
        if self.hold_farewell and now < self._give_up_at:
            return False
        held, self._leaving = self._leaving or [], None
        self._leaked.clear()
        self._foreign.clear()
        self._post(Closed(self.generation - 1))
        self._destroy(held)
        self._try_to_connect()
        return True

    def _leak(self) -> None:
        lost, self.operations = self.operations, []
        self._leaked += [operation.size for operation in lost]
        for operation in lost:
            self._fail(operation, "AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION")

    def _destroy(self, operations: list[Publish]) -> None:
        for operation in operations:
            self._fail(operation, "AWS_ERROR_MQTT_CONNECTION_DESTROYED")

    def _complete(self, operation: Publish) -> None:
        self.operations.remove(operation)  # before the callback, so that it already sees the free place
        operation.future.set_result(None)
        self._settled(operation.future)

    def _fail(self, operation: Publish, name: str) -> None:
        operation.future.set_exception(ClientError(name))
        self._settled(operation.future)

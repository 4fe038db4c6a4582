"""An MQTT connection with its broker in memory, in the hands of the test: what an operation queue may be given.

It behaves as `awscrt.mqtt.Connection` does, measured there:

- `incomplete` rises in the call, `unacked` when the packet is written; both fall before the future has its outcome,
  but for QoS 0, where they fall a moment after it;
- while it is down, what is answered by the broker waits in it, and QoS 0 fails at once;
- what cannot be sent at all comes back as a future that has failed;
- with a clean session, what was out when the connection was lost fails, and stays in the statistics.

With `late_statistics` it is like the MQTT 5 client: the statistics rise only with `write`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fakes.transport import ClientError
from weir.operation_queue import ConnectionEvents

_PUBLISH_BYTES, _SUBSCRIBE_BYTES, _UNSUBSCRIBE_BYTES = 4, 7, 4


class FakeStatistics(NamedTuple):
    incomplete_operation_count: int
    incomplete_operation_size: int
    unacked_operation_count: int
    unacked_operation_size: int


@dataclass(eq=False)
class Packet:
    """One operation as the broker sees it."""

    kind: str
    topic: str
    payload: bytes
    size: int
    answered: bool
    future: Future[Any] = field(default_factory=Future)
    written: bool = False


class FakeConnection:
    """Fulfils `weir.operation_queue.Connection`; with `acks_at_once` every answer comes within the call."""

    def __init__(
        self, *, acks_at_once: bool = False, clean_session: bool = False, late_statistics: bool = False
    ) -> None:
        self.events = ConnectionEvents(up=True)
        self.acks_at_once = acks_at_once
        self.writes_at_once = False
        self.clean_session = clean_session
        self.late_statistics = late_statistics
        self.packets: list[Packet] = []  # all that was ever taken
        self.out: list[Packet] = []  # what has no outcome
        self.subscriptions: dict[str, Callable[..., Any] | None] = {}
        self._foreign: list[int] = []
        self._leaked: list[int] = []
        self._lingering: list[int] = []  # QoS 0 that was told and is still in the statistics

    # -- what a queue calls -------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: Any, qos: Any, retain: bool = False) -> tuple[Future[Any], int]:  # noqa: FBT001, FBT002 - as awscrt has it
        body = payload.encode() if isinstance(payload, str) else payload
        size = _PUBLISH_BYTES + len(topic.encode()) + len(body)
        return self._take(Packet("publish", topic, body, size, answered=qos > 0))

    def subscribe(self, topic: str, qos: Any, callback: Callable[..., Any] | None = None) -> tuple[Future[Any], int]:
        self.subscriptions[topic] = callback
        return self._take(Packet("subscribe", topic, b"", _SUBSCRIBE_BYTES + len(topic.encode()), answered=True))

    def unsubscribe(self, topic: str) -> tuple[Future[Any], int]:
        self.subscriptions.pop(topic, None)
        return self._take(Packet("unsubscribe", topic, b"", _UNSUBSCRIBE_BYTES + len(topic.encode()), answered=True))

    def get_stats(self) -> FakeStatistics:
        more = self._foreign + self._leaked + self._lingering
        incomplete = [one.size for one in self.out if one.written or not self.late_statistics] + more
        unacked = [one.size for one in self.out if one.written and one.answered] + self._foreign + self._leaked
        return FakeStatistics(len(incomplete), sum(incomplete), len(unacked), sum(unacked))

    # -- what the test does -------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Let the client write what it holds; QoS 0 is complete with that."""
        for packet in [packet for packet in self.out if not packet.written]:
            packet.written = True
            if not packet.answered:
                self._lingering.append(packet.size)
                self._complete(packet)

    def linger_no_more(self) -> None:
        """Let the statistics of written QoS 0 fall."""
        self._lingering.clear()

    def ack(self, count: int = 1) -> None:
        """Write everything, then let the broker answer the oldest."""
        self.write()
        for packet in self.out[:count]:
            self._complete(packet)

    def fail(self, name: str = "AWS_ERROR_MQTT_TIMEOUT") -> None:
        """Let the client give up on the oldest one."""
        packet = self.out.pop(0)
        packet.future.set_exception(ClientError(name))

    def lose(self) -> None:
        """Lose the connection."""
        self.events.lost()
        if self.clean_session:
            lost, self.out = self.out, []
            self._leaked += [packet.size for packet in lost]
            for packet in lost:
                packet.future.set_exception(ClientError("AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION"))

    def resume(self) -> None:
        """Have it back."""
        self.events.connected()

    def others_publish(self, count: int, size: int = 200) -> None:
        """Let somebody else use the connection."""
        self._foreign += [size] * count

    def others_settle(self) -> None:
        """Let the operations of others have their outcome."""
        self._foreign.clear()

    @property
    def sent(self) -> list[tuple[str, str, bytes]]:
        return [(packet.kind, packet.topic, packet.payload) for packet in list(self.packets)]

    # -- what goes on inside ------------------------------------------------------------------------------------------

    def _take(self, packet: Packet) -> tuple[Future[Any], int]:
        if not packet.topic or (packet.kind == "publish" and ("+" in packet.topic or "#" in packet.topic)):
            packet.future.set_exception(ClientError("AWS_ERROR_MQTT_INVALID_TOPIC"))
        elif not packet.answered and not self.events.up:
            packet.future.set_exception(ClientError("AWS_ERROR_MQTT_NOT_CONNECTED"))
        else:
            self.packets.append(packet)
            self.out.append(packet)
            if self.writes_at_once:
                self.write()
            if self.acks_at_once:
                self.ack(len(self.out))
                self._lingering.clear()
        return packet.future, len(self.packets)

    def _complete(self, packet: Packet) -> None:
        self.out.remove(packet)
        packet.future.set_result({"packet_id": len(self.packets)})

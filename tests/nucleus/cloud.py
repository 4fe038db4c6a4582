"""The nucleus' own MQTT link: what it takes from components, what the broker has, what was lost on the way.

No broker behind it: the test says when there is one and when it acknowledges. Not thread-safe: the server's lock guards
it. Sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.nucleus.errors import IpcError, service_error
from tests.nucleus.tables import Behaviour

_PACKET_BYTES = 8  # fixed header, topic length, packet id, properties: about so much around a small message


@dataclass(frozen=True)
class Published:
    """One message that the nucleus took from the component."""

    topic: str
    payload: bytes
    qos: int

    @property
    def packet_bytes(self) -> int:
        return _PACKET_BYTES + len(self.topic.encode()) + len(self.payload)


class CloudLink:
    """`published` is what was answered with OK, in order; each message of it is waiting, delivered or lost."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._acks_held = False
        self.online = True
        self.published: list[Published] = []
        self.delivered: list[Published] = []
        self.lost: list[Published] = []
        self.waiting: list[Published] = []  # lite: unacknowledged; classic: in the spooler
        self._sizes: list[int] = []  # of what waits, as the nucleus counts it
        self._waiting_bytes = 0

    def publish(self, message: Published) -> None:
        """Take a message or raise the IpcError that the component gets."""
        limit = self._behaviour.max_payload
        if limit is not None and len(message.payload) > limit:
            raise _failed(message.topic, f"payload of {len(message.payload)} bytes, at most {limit}")
        if any(sign in message.topic for sign in "#+"):
            self._publish_wildcard(message)
            return
        if self._behaviour.spool_bytes is None:
            self._write(message)
        else:
            self._spool(message, self._behaviour.spool_bytes)

    def go_offline(self) -> None:
        self.online = False
        self._drop_link()

    def go_online(self) -> None:
        self.online = True
        self._settle()

    def hold_acks(self) -> None:
        self._acks_held = True

    def release_acks(self, count: int | None) -> None:
        """Acknowledge the oldest `count`, and go on holding; None: all, and hold no longer."""
        if count is not None:
            self._deliver(count)
            return
        self._acks_held = False
        self._settle()

    def _publish_wildcard(self, message: Published) -> None:
        if not self._behaviour.wildcard_topic_drops_link:
            raise _failed(message.topic, "The topic of publish request should not contain wildcard characters")
        if not self.online:
            raise service_error("not connected")
        self.published.append(message)
        self.lost.append(message)
        self._drop_link()

    def _write(self, message: Published) -> None:
        """Without a spooler: onto the wire now, or refused."""
        if not self.online:
            raise service_error("not connected")
        if message.qos > 0:
            self._check_unacked(message)
        self.published.append(message)
        if message.qos > 0:
            self._wait(message, message.packet_bytes)
        else:
            self.delivered.append(message)

    def _check_unacked(self, message: Published) -> None:
        most, most_bytes = self._behaviour.max_unacked, self._behaviour.max_unacked_bytes
        if most is not None and len(self.waiting) >= most:
            raise service_error("no memory for another unacknowledged publish")
        if most_bytes is not None and self._waiting_bytes + message.packet_bytes > most_bytes:
            raise service_error("no memory for so many unacknowledged bytes")

    def _spool(self, message: Published, room: int) -> None:
        if message.qos == 0 and not self.online:
            raise _failed(message.topic, "offline, and QoS 0 is not kept")
        if self._waiting_bytes + len(message.payload) > room:
            raise _failed(message.topic, "Message spool is full. Message could not be added.")
        self.published.append(message)
        self._wait(message, len(message.payload))

    def _wait(self, message: Published, size: int) -> None:
        self.waiting.append(message)
        self._sizes.append(size)
        self._waiting_bytes += size
        self._settle()

    def _settle(self) -> None:
        if self.online and not self._acks_held:
            self._deliver(len(self.waiting))

    def _deliver(self, count: int) -> None:
        if self.online:
            self.delivered += self._take(count)

    def _take(self, count: int) -> list[Published]:
        taken = self.waiting[:count]
        self._waiting_bytes -= sum(self._sizes[:count])
        del self.waiting[:count], self._sizes[:count]
        return taken

    def _drop_link(self) -> None:
        if self._behaviour.spool_bytes is None:  # it connects anew with a clean session and forgets what was unacked
            self.lost += self._take(len(self.waiting))


def _failed(topic: str, why: str) -> IpcError:
    return service_error(f"Publish to topic {topic} failed with error {why}")

"""An independent subscriber: what really arrived at the broker, in order, byte for byte.

It speaks just enough MQTT 3.1.1 to subscribe at QoS 1, by itself: it shares no code with the client under test, and it
must keep up with that client. It comes in through a Unix socket of the broker, so nothing done to the network listener
touches it, and its session is kept: what the broker takes while the observer is away is delivered when it is back.

A message that the *broker* sends to the observer a second time (it has the DUP flag, and the packet id and the bytes of
one that was recorded) is recorded once. What was *published* twice arrives twice.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.conditions import DEADLINE_SECONDS

_CONNACK, _PUBLISH, _SUBACK, _PINGRESP = 2, 3, 9, 13
_PINGREQ = b"\xc0\x00"
_CHUNK_BYTES = 1 << 18
_RETRY_SECONDS = 0.02


class Message(NamedTuple):
    """One message as it arrived."""

    topic: str
    payload: bytes


class _Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes


class Observer:
    """Subscribes to a filter and records; comes back by itself when the broker does."""

    def __init__(self, socket_path: str, topic_filter: str = "#", name: str = "observer") -> None:
        """Start to subscribe; `subscribed` says when that is done."""
        self.messages: list[Message] = []
        self.subscribed = threading.Event()
        self.path = socket_path
        self._filter = topic_filter.encode()
        self.name = name
        self._last: dict[bytes, Message] = {}  # packet id -> what was recorded under it last
        self._pongs = 0
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    @property
    def payloads(self) -> list[bytes]:
        """Give the payloads alone, in order."""
        return [message.payload for message in self.messages]

    def arrived(self) -> list[bytes]:
        """Give the payloads of all that the broker has taken until now: it answers a ping behind them."""
        connection, before = self._socket, self._pongs
        if connection is not None and self.subscribed.is_set():
            with contextlib.suppress(OSError):
                self._send(connection, _PINGREQ)
                self.wait_for(lambda: self._pongs > before or not self.subscribed.is_set())
        return self.payloads

    def wait_for(self, goal: int | Callable[[], object], seconds: float = DEADLINE_SECONDS) -> list[Message]:
        """Wait until so many messages are here, or until the condition holds; give all messages."""
        reached = goal if callable(goal) else lambda: len(self.messages) >= goal
        with self._changed:
            if not self._changed.wait_for(reached, seconds):
                raise AssertionError(f"after {seconds:g} s only {len(self.messages)} messages arrived (goal: {goal})")
        return list(self.messages)

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self.path)
                self._socket = connection
                self._listen(connection)
            self.subscribed.clear()
            self._stop.wait(_RETRY_SECONDS)

    def _listen(self, connection: socket.socket) -> None:
        connection.sendall(_connect_packet(self.name.encode()))
        buffer = bytearray()
        while chunk := connection.recv(_CHUNK_BYTES):
            buffer += chunk
            answer = b"".join(self._answer(packet) for packet in _packets(buffer))
            if answer:
                self._send(connection, answer)
            with self._changed:
                self._changed.notify_all()

    def _send(self, connection: socket.socket, packets: bytes) -> None:
        with self._sending:
            connection.sendall(packets)

    def _answer(self, packet: _Packet) -> bytes:
        if packet.kind == _PUBLISH:
            return self._record(packet)
        if packet.kind == _CONNACK:
            return _subscribe_packet(self._filter)
        if packet.kind == _SUBACK:
            self.subscribed.set()
        if packet.kind == _PINGRESP:
            self._pongs += 1
        return b""

    def _record(self, packet: _Packet) -> bytes:
        end = 2 + int.from_bytes(packet.body[:2], "big")
        at_least_once = packet.flags & 0b0110
        start = end + 2 if at_least_once else end
        message = Message(packet.body[2:end].decode(), packet.body[start:])
        if not at_least_once:
            self.messages.append(message)
            return b""
        packet_id = packet.body[end:start]
        if not (packet.flags & 0b1000 and self._last.get(packet_id) == message):
            self.messages.append(message)
            self._last[packet_id] = message
        return b"\x40\x02" + packet_id


def _packets(buffer: bytearray) -> Iterator[_Packet]:
    """Take the whole packets off the buffer; the beginning of one that is still coming stays."""
    data, position = bytes(buffer), 0
    while (body := _body(data, position)) is not None and body.stop <= len(data):
        yield _Packet(data[position] >> 4, data[position] & 0b1111, data[body])
        position = body.stop
    del buffer[:position]


def _body(data: bytes, position: int) -> slice | None:
    """Give where the body of the packet at this position lies, once its length can be read."""
    length = shift = 0
    for at in range(position + 1, len(data)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:  # the highest bit says that the length goes on
            return slice(at + 1, at + 1 + length)
    return None


def _connect_packet(name: bytes) -> bytes:
    keep_session, no_keep_alive = 0, 0
    head = struct.pack(">H4sBBH", 4, b"MQTT", 4, keep_session, no_keep_alive)
    return _packet(0x10, head + struct.pack(">H", len(name)) + name)


def _subscribe_packet(topic_filter: bytes) -> bytes:
    packet_id, at_least_once = 1, 1
    return _packet(0x82, struct.pack(">HH", packet_id, len(topic_filter)) + topic_filter + bytes([at_least_once]))


def _packet(first_byte: int, body: bytes) -> bytes:
    if len(body) > 0x7F:  # what the observer itself sends is short
        raise ValueError("a packet of the observer is longer than one length byte can say")
    return bytes([first_byte, len(body)]) + body

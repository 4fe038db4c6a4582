"""What stands before a broker that hangs up on messages without a word, as AWS IoT Core does.

Owns TLS towards the device, and the look at each PUBLISH of it: one whose topic or size is not allowed is not passed
on, and its connection ends. The head of a PUBLISH is the same in MQTT 3.1.1 and 5.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator

from tests.certificates import Certificates
from tests.faults.relay import Relay, _Way

CONNECT, PUBLISH = 1, 3

Judge = Callable[[bytes, int], bool]  # of the topic and the packet's size in bytes: whether it may pass


class Guard(Relay):
    """A relay that speaks TLS with the device and goes on by the broker's Unix socket; `hung_up` counts."""

    def __init__(self, certificates: Certificates, onward: str, allows: Judge) -> None:
        """Lead to the socket at this path."""
        super().__init__(0)
        self.hung_up = 0
        self.flood: list[bytes] = []  # packets that nobody asked for, sent to each device that connects
        self.connects: list[bytes] = []  # the packets by which devices introduced themselves
        self._path = onward
        self._allows = allows
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
        self._tls.verify_mode = ssl.CERT_REQUIRED  # a client that has a certificate breaks off if nobody asks for it
        self._tls.load_cert_chain(certificates.server.certificate, certificates.server.key)

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _onward(self) -> _Way:
        return await asyncio.open_unix_connection(self._path)

    async def _pour(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        if answers:
            sink.write(await source.read(1 << 16))  # that it is connected
            for packet in self.flood:
                sink.write(packet)
                await sink.drain()
            await super()._pour(source, sink, answers=True)
            return
        buffer = bytearray()
        while chunk := await source.read(1 << 16):
            buffer += chunk
            for packet in _packets(buffer):
                if packet[0] >> 4 == CONNECT:
                    self.connects.append(packet)
                if packet[0] >> 4 == PUBLISH and not self._allows(_topic(packet), len(packet)):
                    self.hung_up += 1
                    return
                sink.write(packet)
            await sink.drain()


def message(topic: bytes, payload: bytes, *, packet_id: int | None = None, properties: bytes = b"") -> bytes:
    """Make a PUBLISH, of QoS 1 if it has an id; in MQTT 5 with properties, the least of which is a zero byte."""
    head = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if packet_id else b"") + properties
    rest, size = bytearray(), len(head) + len(payload)
    while size >= 0x80:
        rest.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([PUBLISH << 4 | (2 if packet_id else 0), *rest, size]) + head + payload


def _packets(buffer: bytearray) -> Iterator[bytes]:
    """Take every packet that is there as a whole out of the buffer."""
    while size := _size(buffer):
        if len(buffer) < size:
            return
        packet = bytes(buffer[:size])
        del buffer[:size]
        yield packet


def _size(buffer: bytes | bytearray) -> int:
    """Give the size of the packet that begins here, 0 while its head is not complete."""
    rest = 0
    for place, byte in enumerate(buffer[1:5]):
        rest |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return 2 + place + rest
    return 0


def _topic(packet: bytes) -> bytes:
    head = next(place for place, byte in enumerate(packet[1:5], start=2) if byte < 0x80)
    size = int.from_bytes(packet[head : head + 2], "big")
    return packet[head + 2 : head + 2 + size]

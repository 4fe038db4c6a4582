"""A broker of one's own words: takes MQTT 5 clients by TLS, and answers each PUBLISH with the code it is told to.

Owns just enough of the server's side of MQTT 5 for that; real brokers give most codes only when something breaks.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

from tests.certificates import Certificates

_CONNECT, _PUBLISH, _PINGREQ, _DISCONNECT = 1, 3, 12, 14
_CONNACK = b"\x20\x03\x00\x00\x00"  # no session, success, no properties
MQTT_ON_HTTPS_PORT = "x-amzn-mqtt-ca"  # as AWS IoT Core documents it
_PINGRESP = b"\xd0\x00"

Answer = Callable[[bytes], int]  # the reason code for a payload


class AnsweringBroker:
    """Serves one client at a time, until it is closed; `received` are the payloads in order."""

    endpoint = "localhost"

    def __init__(self, certificates: Certificates, answer: Answer) -> None:
        """Listen; `answer` is asked for each PUBLISH of QoS 1."""
        self.received: list[bytes] = []
        self.connections = 0
        self.goodbye: int | None = None  # end the next connection with a DISCONNECT of this code
        self._answer = answer
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
        self._context.verify_mode = (
            ssl.CERT_REQUIRED
        )  # a client that has a certificate breaks off if nobody asks for it
        self._context.load_cert_chain(certificates.server.certificate, certificates.server.key)
        self._context.set_alpn_protocols([MQTT_ON_HTTPS_PORT])
        self.protocols: list[str | None] = []  # what each client asked for by ALPN, as far as it is known here
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more clients."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self._context.wrap_socket(raw, server_side=True) as client:
                self._talk(client)

    def _talk(self, client: ssl.SSLSocket) -> None:
        self.protocols.append(client.selected_alpn_protocol())
        stream = client.makefile("rb")
        while first := stream.read(1):
            body = stream.read(_length(stream.read))
            kind = first[0] >> 4
            if kind == _CONNECT:
                self.connections += 1
                client.sendall(_CONNACK)
            elif kind == _PUBLISH:
                client.sendall(self._puback(first[0], body))
                if self.goodbye is not None:
                    client.sendall(bytes([0xE0, 1, self.goodbye]))
                    self.goodbye = None
                    return
            elif kind == _PINGREQ:
                client.sendall(_PINGRESP)
            elif kind == _DISCONNECT:
                return

    def _puback(self, flags: int, body: bytes) -> bytes:
        at = 2 + int.from_bytes(body[:2], "big")
        packet_id, at = (body[at : at + 2], at + 2) if flags & 0b0110 else (b"", at)
        properties = iter(body[at:])
        length = _length(lambda _: bytes([next(properties)]))
        payload = bytes(properties)[length:]
        self.received.append(payload)
        return b"\x40\x03" + packet_id + bytes([self._answer(payload)]) if packet_id else b""


def _length(read: Callable[[int], bytes]) -> int:
    length = shift = 0
    while True:
        byte = read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # the highest bit says that the length goes on
            return length


@contextlib.contextmanager
def answering_broker(certificates: Certificates, answer: Answer) -> Iterator[AnsweringBroker]:
    """Give such a broker for as long as the block goes on."""
    broker = AnsweringBroker(certificates, answer)
    try:
        yield broker
    finally:
        broker.close()

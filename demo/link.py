"""The link between gateway and broker: a relay on loopback that is slow as a mobile link, and that can be cut.

The broker itself stays up, so that nothing is lost but what the link loses: what is on its way when it is cut, in both
directions. An acknowledgement that is lost so is why a record may arrive twice.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

DELAY_SECONDS = 0.02  # each way, at least
_CHUNK_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing throws away what is on its way


class Link:
    """Listens on a port of its own and relays every connection to the broker, while it is not cut."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_cut = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def cut(self) -> None:
        """Take the link away: connections break, and new ones fail."""
        self._is_cut.set()
        for connection in self._open:
            _break(connection)
        self._open.clear()

    def mend(self) -> None:
        self._is_cut.clear()

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                gateway, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self._is_cut.is_set():
                _break(gateway)
            else:
                self._relay(gateway)

    def _relay(self, gateway: socket.socket) -> None:
        broker = socket.create_connection(("127.0.0.1", self._to_port))
        self._open += [gateway, broker]
        if self._is_cut.is_set():  # in this very moment
            self.cut()
        for source, sink in ((gateway, broker), (broker, gateway)):
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_carry, args=(source, sink), name="link", daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until an end closes; what comes meanwhile travels together."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            time.sleep(DELAY_SECONDS)
            sink.sendall(chunk)
    _break(source)
    _break(sink)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in recv
    connection.close()

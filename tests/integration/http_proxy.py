"""An HTTP proxy on loopback that knows one verb, CONNECT: enough to see whether a client goes through one."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.targets.append(target)
        if self.server.refusal is not None:
            self.connection.sendall(f"HTTP/1.1 {self.server.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            self.rfile.read()  # until the client goes: if this side did first, all it saw might be that
            return
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as onward:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pour, args=(onward, self.connection), daemon=True)
            back.start()
            _pour(self.connection, onward)
            back.join()


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, refusal: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.refusal = refusal
        self.targets: list[str] = []


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def http_proxy(refusal: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Give the port of a running proxy, and the list of targets it was asked for; it may refuse all, with a status."""
    with _Proxy(refusal) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy.server_address[1], proxy.targets
        proxy.shutdown()

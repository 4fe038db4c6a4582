"""The server side of the control socket, without a thread: the loop calls it while it waits.

Owns the listening socket and the requests that are not complete yet. Knows nothing of what a request means.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from weir.control.protocol import MAX_BYTES, NAME, Message, address, decode, encode

BACKLOG = 64
RETRY_SECONDS = 2.0  # after the disk has not taken the socket
CLIENTS = 16  # so many may be connected at once; the oldest of more is hung up on
ANSWER_SECONDS = 0.5  # a client that does not take its answer must not hold the loop


class Watcher(Protocol):
    """What calls us when a descriptor is readable."""

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever the descriptor is readable."""

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor."""


class ControlServer:
    """Answers requests with what `answer` says."""

    def __init__(self, directory: Path, watcher: Watcher, answer: Callable[[Message], Message]) -> None:
        """Listen in a directory that this process owns, so that an old socket there is nobody's."""
        self._directory = directory
        self._watcher = watcher
        self._answer = answer
        self._requests: dict[socket.socket, bytes] = {}
        self._listener: socket.socket | None = None
        self._retry_at = -math.inf
        self.advance(-math.inf)

    def advance(self, now: float) -> None:
        """Listen if the disk did not take the socket until now (monotonic seconds)."""
        if self._listener is not None or now < self._retry_at:
            return
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._bind(listener)
        except OSError:
            listener.close()
            self._retry_at = now + RETRY_SECONDS
        else:
            self._listener = listener
            self._watcher.watch(listener.fileno(), lambda: self._accept(listener))

    def _bind(self, listener: socket.socket) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._directory / NAME).unlink()
        with address(self._directory) as where:
            listener.bind(where)
        (self._directory / NAME).chmod(0o600)
        listener.listen(BACKLOG)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            client.settimeout(0)
            while len(self._requests) >= CLIENTS:
                self._hang_up(next(iter(self._requests)))
            self._requests[client] = b""
            self._watcher.watch(client.fileno(), lambda: self._receive(client))

    def _receive(self, client: socket.socket) -> None:
        if client not in self._requests:
            return  # hung up on since the loop saw that it has something to say
        try:
            part = client.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        request = self._requests[client] + part
        self._requests[client] = request
        if request.endswith(b"\n"):
            self._respond(client, request)
        if not part or request.endswith(b"\n") or len(request) > MAX_BYTES:
            self._hang_up(client)

    def _respond(self, client: socket.socket, request: bytes) -> None:
        try:
            answer = self._answer(decode(request))
        except (ValueError, TypeError, RecursionError) as error:
            answer = {"error": str(error)}
        client.settimeout(ANSWER_SECONDS)
        with contextlib.suppress(OSError):
            client.sendall(encode(answer))

    def _hang_up(self, client: socket.socket) -> None:
        del self._requests[client]
        self._watcher.unwatch(client.fileno())
        client.close()

    def close(self) -> None:
        """Hang up on everybody and stop listening."""
        for client in list(self._requests):
            self._hang_up(client)
        if self._listener is not None:
            self._watcher.unwatch(self._listener.fileno())
            self._listener.close()

"""The event-stream RPC server side: one thread, one Unix socket, any number of connections.

Owns the socket, the connections, the handshake and the streams; what an operation does is not its business: it is given
a handler for requests and one for closed streams. Everything is read, handled and written on the one thread, so a stall
stalls every caller, as the real single-threaded daemon does. `post` may be called from any thread.
"""

from __future__ import annotations

import collections
import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.nucleus.errors import NAMESPACE, IpcError, service_error
from tests.nucleus.framing import BrokenMessage, HeaderValue, Message, Reader, encode
from tests.nucleus.tables import Behaviour

APPLICATION_MESSAGE, APPLICATION_ERROR, PING, PING_RESPONSE, CONNECT, CONNECT_ACK, PROTOCOL_ERROR = range(7)
CONNECTION_ACCEPTED = 1
TERMINATE_STREAM = 2
PROTOCOL_VERSION = "0.1.0"

_RECEIVE_BYTES = 65_536
_PATIENCE_SECONDS = 10.0  # for a client that does not read what it is sent


@dataclass(eq=False)
class Connection:
    """One client; `component` is "" until it has shown who it is."""

    socket: socket.socket
    reader: Reader
    component: str = ""
    operations: dict[int, str] = field(default_factory=dict)  # of the streams that are open


@dataclass(frozen=True)
class Identity:
    """Who a client is; `issued_token` is handed to one that came without."""

    component: str
    issued_token: str = ""


@dataclass(frozen=True)
class Stream:
    """One stream of one connection: where an operation's answer and its events go."""

    connection: Connection
    number: int


@dataclass(frozen=True)
class Answer:
    """An operation's response: the shape is OPERATION + "Response". `keep_open` when events will follow."""

    value: dict[str, Any] = field(default_factory=dict)
    keep_open: bool = False


class Server:
    """Listens from start() to stop(), and again after that.

    `identify` is given a connect message's claims, None refuses it; `handle` does an operation and may raise IpcError;
    `forget` hears of every stream that ended.
    """

    def __init__(
        self,
        path: Path,
        behaviour: Behaviour,
        *,
        identify: Callable[[dict[str, Any]], Identity | None],
        handle: Callable[[Stream, str, str, dict[str, Any]], Answer],
        forget: Callable[[Stream], None],
    ) -> None:
        self._path = path
        self._behaviour = behaviour
        self._identify = identify
        self._handle = handle
        self._forget = forget
        self._connections: set[Connection] = set()
        self._outbox: collections.deque[tuple[Stream, str, dict[str, Any]]] = collections.deque()
        self._gate = threading.Condition()
        self._stalled_until = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def connections(self) -> int:
        """How many clients are let in."""
        return sum(1 for connection in list(self._connections) if connection.component)

    def start(self) -> None:
        self._stopping = False
        self._stalled_until = 0.0
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o666)  # as the real one is: who may connect is decided by the token
        self._listener.listen(64)
        self._wakeup, self._alarm = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"nucleus {self._behaviour.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and every connection; the socket's file goes too. Calls that are stalled get no answer."""
        if self._thread is None:
            return
        with self._gate:
            self._stopping = True
            self._gate.notify_all()
        self._wake()
        self._thread.join()
        self._thread = None

    def stall(self, seconds: float) -> None:
        """From now on answer nothing, accept nobody; release() ends it earlier."""
        with self._gate:
            self._stalled_until = time.monotonic() + seconds

    def release(self) -> None:
        with self._gate:
            self._stalled_until = 0.0
            self._gate.notify_all()

    def post(self, stream: Stream, shape: str, value: dict[str, Any]) -> None:
        """Send an event on a stream that was kept open; nothing happens when it is closed by then."""
        self._outbox.append((stream, shape, value))
        self._wake()

    def drop_connections(self) -> None:
        """Close every connection, the listener stays."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._alarm.send(b"!")

    def _run(self) -> None:
        try:
            while self._wait_for_turn():
                self._flush()
                for key, _ in self._selector.select():
                    if not self._wait_for_turn():
                        return
                    self._serve(key.fileobj, key.data)
        finally:
            self._close_all()

    def _wait_for_turn(self) -> bool:
        with self._gate:
            while not self._stopping and (left := self._stalled_until - time.monotonic()) > 0:
                self._gate.wait(min(left, threading.TIMEOUT_MAX))
            return not self._stopping

    def _flush(self) -> None:
        while self._outbox:
            stream, shape, value = self._outbox.popleft()
            if stream.number in stream.connection.operations:
                self._send_on(stream, NAMESPACE + shape, value)

    def _serve(self, readable: object, connection: Connection | None) -> None:
        if readable is self._listener:
            self._accept()
        elif connection is None:
            self._wakeup.recv(_RECEIVE_BYTES)
        elif connection in self._connections:
            self._receive(connection)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(_PATIENCE_SECONDS)
        connection = Connection(client, Reader(self._behaviour.max_message))
        self._connections.add(connection)
        self._selector.register(client, selectors.EVENT_READ, connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_RECEIVE_BYTES)
            connection.reader.feed(data)
            while (message := connection.reader.take()) is not None:
                self._on_message(connection, message)
                if connection not in self._connections or not self._wait_for_turn():
                    return
        except (OSError, BrokenMessage):
            data = b""
        if not data:
            self._close(connection)

    def _on_message(self, connection: Connection, message: Message) -> None:
        kind, number = message.headers.get(":message-type"), message.headers.get(":stream-id", 0)
        if kind == CONNECT and not connection.component:
            self._connect(connection, message)
        elif not connection.component:
            self._close(connection)
        elif kind == PING:
            self._send(connection, PING_RESPONSE, 0, payload=message.payload)
        elif kind == APPLICATION_MESSAGE and isinstance(number, int) and number > 0:
            self._on_stream(Stream(connection, number), message)

    def _connect(self, connection: Connection, message: Message) -> None:
        try:
            claims = _as_map(message.payload)
        except IpcError:
            claims = {}
        right_version = message.headers.get(":version") == PROTOCOL_VERSION
        identity = self._identify(claims) if right_version else None
        if identity is not None:
            connection.component = identity.component
            headers = {"svcuid": identity.issued_token} if identity.issued_token else {}
            self._send(connection, CONNECT_ACK, 0, flags=CONNECTION_ACCEPTED, headers=headers)
            return
        if self._behaviour.refusal_has_ack:
            self._send(
                connection, CONNECT_ACK, 0
            )  # and the client closes: closing here too would race with its reading
        else:
            self._close(connection)

    def _on_stream(self, stream: Stream, message: Message) -> None:
        flags = message.headers.get(":message-flags", 0)
        if isinstance(flags, int) and flags & TERMINATE_STREAM:
            self._end(stream)
            return
        operation = str(message.headers.get("operation", "")).removeprefix(NAMESPACE)
        stream.connection.operations[stream.number] = operation
        try:
            request = _as_map(message.payload)
            answer = self._handle(stream, stream.connection.component, operation, request)
        except IpcError as error:
            self._refuse(stream, error)
            return
        ends = self._behaviour.response_ends_stream and not answer.keep_open
        self._send_on(stream, f"{NAMESPACE}{operation}Response", answer.value, ends=ends)

    def _refuse(self, stream: Stream, error: IpcError) -> None:
        value = {self._behaviour.error_text_key: error.text, "_errorCode": error.code}
        self._send_on(stream, error.shape, value, kind=APPLICATION_ERROR, ends=True)

    def _send_on(
        self, stream: Stream, shape: str, value: dict[str, Any], *, kind: int = APPLICATION_MESSAGE, ends: bool = False
    ) -> None:
        headers = {":content-type": "application/json", "service-model-type": shape}
        flags = TERMINATE_STREAM if ends else 0
        payload = json.dumps(value).encode()
        self._send(stream.connection, kind, stream.number, flags=flags, headers=headers, payload=payload)
        if ends:
            self._end(stream)

    def _send(
        self,
        connection: Connection,
        kind: int,
        number: int,
        *,
        flags: int = 0,
        headers: dict[str, str] | None = None,
        payload: bytes = b"",
    ) -> None:
        own: dict[str, HeaderValue] = {":message-type": kind, ":message-flags": flags, ":stream-id": number}
        try:
            connection.socket.sendall(encode(Message({**own, **(headers or {})}, payload)))
        except OSError:
            self._close(connection)

    def _end(self, stream: Stream) -> None:
        if stream.connection.operations.pop(stream.number, None) is not None:
            self._forget(stream)

    def _close(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for number in list(connection.operations):
            self._end(Stream(connection, number))

    def _close_all(self) -> None:
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()
        for end in (self._listener, self._wakeup, self._alarm):
            end.close()
        self._path.unlink(missing_ok=True)
        self._outbox.clear()


def _as_map(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload or b"{}")
    except ValueError as error:
        raise service_error("the request is no JSON") from error
    if not isinstance(value, dict):
        raise service_error("the request is no JSON object")
    return value

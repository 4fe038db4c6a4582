"""The stand-in against a client that is none: what the library would never send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.integration.nucleus_clients import COMPONENT
from tests.nucleus import LITE, NucleusStandIn
from tests.nucleus.framing import HeaderValue, Message, Reader, encode

MESSAGE, ERROR, PING, PING_RESPONSE, CONNECT, CONNECT_ACK = range(6)
ACCEPTED, TERMINATE = 1, 2
VERSION: dict[str, HeaderValue] = {":version": "0.1.0"}


class RawClient:
    """A socket that speaks messages."""

    def __init__(self, nucleus: NucleusStandIn) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(nucleus.socket_path))
        self._reader = Reader()

    def send(
        self, kind: int, payload: bytes = b"", *, stream: int = 0, extra: dict[str, HeaderValue] | None = None
    ) -> None:
        own: dict[str, HeaderValue] = {":message-type": kind, ":message-flags": 0, ":stream-id": stream}
        self.socket.sendall(encode(Message({**own, **(extra or {})}, payload)))

    def receive(self) -> Message | None:
        """The next message; None when the other side closed."""
        while (message := self._reader.take()) is None:
            data = self.socket.recv(65_536)
            if not data:
                return None
            self._reader.feed(data)
        return message

    def connect(self, nucleus: NucleusStandIn) -> Message | None:
        self.send(CONNECT, json.dumps({"authToken": nucleus.token}).encode(), extra=VERSION)
        return self.receive()

    def call(self, operation: str, payload: bytes, *, stream: int) -> Message:
        self.send(MESSAGE, payload, stream=stream, extra={"operation": f"aws.greengrass#{operation}"})
        answer = self.receive()
        assert answer is not None
        assert answer.headers[":stream-id"] == stream
        return answer


@pytest.fixture
def client(nucleus: NucleusStandIn) -> Iterator[RawClient]:
    one = RawClient(nucleus)
    with one.socket:
        yield one


def test_a_ping_is_answered(nucleus: NucleusStandIn, client: RawClient) -> None:
    client.connect(nucleus)
    client.send(PING, b"abc")

    answer = client.receive()

    assert answer is not None
    assert (answer.headers[":message-type"], answer.payload) == (PING_RESPONSE, b"abc")


@pytest.mark.parametrize("payload", [b"", b"{}", b"no json", b"[1]", b'{"authToken": 5}', b'{"authToken": "wrong"}'])
def test_nobody_gets_in_without_the_token(nucleus: NucleusStandIn, client: RawClient, payload: bytes) -> None:
    client.send(CONNECT, payload, extra=VERSION)

    answer = client.receive()

    if nucleus.kind is LITE:
        assert answer is None
    else:
        assert answer is not None
        assert (answer.headers[":message-type"], answer.headers[":message-flags"]) == (CONNECT_ACK, 0)
    assert nucleus.connections == 0


def test_another_version_of_the_protocol_is_refused(nucleus: NucleusStandIn, client: RawClient) -> None:
    client.send(CONNECT, json.dumps({"authToken": nucleus.token}).encode(), extra={":version": "0.2.0"})

    answer = client.receive()

    assert answer is None or answer.headers[":message-flags"] == 0


def test_a_call_before_the_handshake_closes_the_connection(nucleus: NucleusStandIn, client: RawClient) -> None:
    client.send(MESSAGE, b"{}", stream=1, extra={"operation": "aws.greengrass#GetConfiguration"})

    assert client.receive() is None
    assert nucleus.calls == []


def test_bytes_that_are_no_message_close_the_connection_and_no_other(
    nucleus: NucleusStandIn, client: RawClient
) -> None:
    other = RawClient(nucleus)
    other.connect(nucleus)
    client.connect(nucleus)

    client.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")

    assert client.receive() is None
    assert other.call("GetConfiguration", b"{}", stream=1).headers[":message-type"] == MESSAGE
    other.socket.close()


@pytest.mark.parametrize("payload", [b"no json", b"[1]"])
def test_a_request_that_is_no_map_is_a_service_error(
    nucleus: NucleusStandIn, client: RawClient, payload: bytes
) -> None:
    client.connect(nucleus)

    answer = client.call("GetConfiguration", payload, stream=1)

    assert answer.headers[":message-type"] == ERROR
    assert answer.headers["service-model-type"] == "aws.greengrass#ServiceError"
    assert client.call("GetConfiguration", b"{}", stream=2).headers[":message-type"] == MESSAGE


def test_an_error_ends_its_stream_and_names_itself(nucleus: NucleusStandIn, client: RawClient) -> None:
    client.connect(nucleus)

    answer = client.call("GetConfiguration", b'{"keyPath": ["none"]}', stream=1)

    assert answer.headers[":message-flags"] == TERMINATE
    assert json.loads(answer.payload)["_errorCode"] == "ResourceNotFoundError"


def test_a_stream_that_the_client_ended_gets_no_more_events(nucleus: NucleusStandIn, client: RawClient) -> None:
    client.connect(nucleus)
    for stream in (1, 2):
        client.call("SubscribeToConfigurationUpdate", b"{}", stream=stream)
    ended: dict[str, HeaderValue] = {":message-type": MESSAGE, ":message-flags": TERMINATE, ":stream-id": 1}
    client.socket.sendall(encode(Message(ended)))
    client.call("GetConfiguration", b"{}", stream=3)

    nucleus.deploy(merge={"mode": "lifo"})

    event = client.receive()
    assert event is not None
    assert event.headers[":stream-id"] == 2


def test_whoever_comes_by_name_is_handed_the_token() -> None:
    with NucleusStandIn(LITE, component=COMPONENT, configuration=None) as lite:
        client = RawClient(lite)
        client.send(CONNECT, json.dumps({"componentName": COMPONENT}).encode(), extra=VERSION)

        answer = client.receive()

        assert answer is not None
        assert (answer.headers[":message-flags"], answer.headers["svcuid"]) == (ACCEPTED, lite.token)
        client.socket.close()

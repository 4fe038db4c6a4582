"""A WebSocket with a signature, through a gate that checks it, to a real broker; credentials from a service nearby."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests import sigv4
from tests.broker import Broker
from tests.certificates import Certificates
from tests.conditions import eventually
from tests.contract.benches import WebSocketBench
from tests.contract.mqtt5_bench import Mqtt5WebSocketBench
from tests.device import Device
from tests.signed_gate import SignedGate
from tests.token_exchange import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    TOKEN,
    TokenExchangeService,
    answer,
    token_exchange_service,
)
from weir.core.configuration import Surroundings, parse
from weir.core.events import Closed, Connected, ConnectFailed, ConnectionEvent, Interrupted
from weir.core.ports import Operation
from weir.transports import token_exchange
from weir.transports.approach import HTTPS_PORT
from weir.transports.mqtt311 import Mqtt311Transport
from weir.transports.mutual_tls import MutualTls
from weir.transports.token_exchange import TokenExchange
from weir.transports.websocket import SignedWebSocket

TOPIC = "telemetry/gw-17/vitals"
REGION = "eu-central-1"

FORBIDDEN = (
    "token exchange service refused: HTTP 403 (it does not accept this component's token, or nobody may have this role)"
)
REFUSED = (
    "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE "
    "(the broker refused the WebSocket: the role's policy, the region, or this machine's clock)"
)


@pytest.fixture
def gate(websocket_broker: Broker) -> Iterator[SignedGate]:
    assert websocket_broker.websocket_port is not None
    gate = SignedGate(
        websocket_broker.certificates, websocket_broker.websocket_port, {ACCESS_KEY_ID: SECRET_ACCESS_KEY}
    )
    with gate.running():
        yield gate


Bench = WebSocketBench | Mqtt5WebSocketBench


@pytest.fixture(params=[WebSocketBench, Mqtt5WebSocketBench])
def bench(
    request: pytest.FixtureRequest, websocket_broker: Broker, gate: SignedGate, service: TokenExchangeService
) -> Iterator[Bench]:
    bench: Bench = request.param(websocket_broker, service, REGION, port=gate.port)
    yield bench
    bench.close()


class Impostor(NamedTuple):
    """A gate whose certificate is of an authority that the client does not know, and what came of an attempt."""

    gate: SignedGate
    events: list[ConnectionEvent]


@pytest.fixture(scope="module", autouse=True)
def impostor(certificates: Certificates) -> Iterator[Impostor]:
    """Begin with the first test what the last one looks at: the client keeps silent about it for 10 to 30 s."""
    gate = SignedGate(certificates, 0, {})
    with gate.running(), token_exchange_service() as service:
        settings = msgspec.structs.replace(
            parse({}, Surroundings("gw-17", "bench", "/", under_nucleus=False, root_ca_path=None)).connection,
            port=gate.port,
            ca=certificates.stranger_ca,
        )
        approach = SignedWebSocket(settings, "localhost", REGION, TokenExchange(service.uri, TOKEN))
        events: list[ConnectionEvent] = []
        transport = Mqtt311Transport(settings, "gw-17", events.append, lambda _: None, approach=approach)
        transport.start()
        yield Impostor(gate, events)
        transport.close(0)


def heard(bench: Bench, kind: type) -> list[Any]:
    return [event for event in list(bench.events) if isinstance(event, kind)]


def start(bench: Bench) -> Bench:
    bench.transport.start()
    bench.until(lambda: heard(bench, Connected), "connected")
    return bench


def deliver(bench: Bench, *payloads: bytes) -> None:
    futures: list[Operation] = [bench.transport.publish(TOPIC, payload, 1) for payload in payloads]
    bench.until(lambda: all(future.done() and future.exception() is None for future in futures), "it delivers")


def first_complaint(bench: Bench) -> str:
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the first attempt failed")
    reason: str = heard(bench, ConnectFailed)[0].reason
    assert not any(secret in reason for secret in (SECRET_ACCESS_KEY, SESSION_TOKEN))
    return reason


def test_what_is_published_is_acknowledged_and_arrives(bench: Bench) -> None:
    payloads = [b"%d:" % number + bytes(range(256)) * (number % 5) for number in range(1_000)] + [b"x" * 120_000, b""]
    deliver(start(bench), *payloads)
    bench.until(lambda: len(bench.received()) == len(payloads), "all are there")
    assert [message.payload for message in bench.received()] == payloads


def test_the_opening_request_is_signed_for_the_gateway_service_with_the_token_beside_it(
    bench: Bench, gate: SignedGate
) -> None:
    start(bench)
    [request] = gate.requests
    query = request.query
    assert (request.method, request.target.split("?")[0]) == ("GET", "/mqtt")
    assert request.headers["sec-websocket-protocol"] == "mqtt"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    access_key, date, *scope = query["X-Amz-Credential"].split("/")
    assert (access_key, scope) == (ACCESS_KEY_ID, [REGION, "iotdevicegateway", "aws4_request"])
    assert query["X-Amz-Date"].startswith(date)
    assert "host" in query["X-Amz-SignedHeaders"].split(";")
    assert query["X-Amz-Security-Token"] == SESSION_TOKEN
    assert query["X-Amz-Signature"] == sigv4.signature(request, SECRET_ACCESS_KEY)
    assert query["X-Amz-Signature"] != sigv4.signature(request, "another secret")


@pytest.mark.parametrize(
    ("levers", "reason"),
    [
        (
            {"status": 403},
            FORBIDDEN,
        ),
        (
            {"body": lambda: b"garbage"},
            "token exchange service answered with something else than AccessKeyId, SecretAccessKey and Token as JSON",
        ),
        ({"stalled": True}, "token exchange service did not answer within 0.5 s"),
        (
            {"body": lambda: answer(hours=-1, AccessKeyId="ASIAEXPIRED")},
            REFUSED,
        ),
    ],
)
def test_it_says_what_is_wrong_with_the_service_and_connects_once_it_is_mended(
    bench: Bench,
    service: TokenExchangeService,
    levers: dict[str, object],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "stalled" in levers:
        monkeypatch.setattr(token_exchange, "DEADLINE_SECONDS", 0.5)
    for lever, value in levers.items():
        setattr(service, lever, value)
    assert first_complaint(bench) == reason
    bench.until(lambda: len(heard(bench, ConnectFailed)) == 2, "it tries again")
    service.mend()
    bench.until(lambda: heard(bench, Connected), "it connects once it is mended")
    deliver(bench, b"a")
    assert [type(event) for event in bench.events[:2]] == [ConnectFailed, ConnectFailed]


def test_a_service_that_fails_while_the_client_reconnects_by_itself_is_told(
    bench: Bench, service: TokenExchangeService, gate: SignedGate
) -> None:
    service.body = lambda: answer(hours=0)  # so that they are fetched for each attempt
    start(bench)
    service.status = 500
    gate.break_all()
    bench.until(lambda: heard(bench, ConnectFailed), "it is told")
    assert [type(event) for event in bench.events[:3]] == [Connected, Interrupted, ConnectFailed]
    assert heard(bench, ConnectFailed)[0].reason.startswith("token exchange service refused: HTTP 500")
    service.mend()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "it is back")
    assert {event.generation for event in bench.events} == {1}
    deliver(bench, b"a")


def test_a_link_that_is_lost_comes_back_with_the_credentials_that_were_kept_and_a_new_signature(
    bench: Bench, service: TokenExchangeService, gate: SignedGate
) -> None:
    start(bench)
    gate.break_all()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "it is back")
    deliver(bench, b"a")
    assert service.asked == 1
    assert len(gate.requests) >= 2
    assert not gate.refused


def test_a_new_object_asks_for_new_credentials(bench: Bench, service: TokenExchangeService) -> None:
    start(bench)
    bench.transport.replace()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "the next one is up")
    assert service.asked == 2


def test_an_object_that_waits_for_credentials_can_be_given_up(
    bench: Bench, service: TokenExchangeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_exchange, "DEADLINE_SECONDS", 0.5)
    service.stalled = True
    bench.transport.start()
    eventually(lambda: service.asked, what="the service was asked")
    bench.transport.replace()
    service.mend()
    bench.until(lambda: heard(bench, Connected), "the next one is up")
    assert heard(bench, Closed) == [Closed(1)]
    assert [event.generation for event in heard(bench, Connected)] == [2]
    deliver(bench, b"a")


class OfferedCredentials(Device):
    """A device without a certificate, in the environment of a component that is offered credentials."""

    def __init__(self, directory: Path, service: TokenExchangeService) -> None:
        super().__init__(directory)
        self._service = service

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self._service.uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
            "AWS_REGION": REGION,
        }


@pytest.fixture
def device(tmp_path: Path, service: TokenExchangeService) -> Iterator[Device]:
    device = OfferedCredentials(tmp_path, service)
    yield device
    device.close()


def test_a_device_that_is_offered_credentials_delivers_without_a_certificate(
    device: Device, websocket_broker: Broker, gate: SignedGate, service: TokenExchangeService
) -> None:
    observer = websocket_broker.observe()
    (device.inbox / "a.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % number for number in range(200)))
    service.status = 500
    process = device.start(
        "--once", "--endpoint", "localhost", "--port", str(gate.port), "--ca-file", websocket_broker.certificates.ca
    )

    def refusal_is_told() -> bool:
        assert process.poll() is None, device.log()
        return "token exchange service refused: HTTP 500" in device.log()

    eventually(refusal_is_told, what="the refusal is in the log")
    service.mend()
    assert process.wait(60) == 0, device.log()
    records = device.status()["records"]
    assert (records["read"], records["delivered"]) == (200, 200)
    assert len(observer.messages) == 200
    assert not gate.refused
    assert "the token exchange service is offered" in device.log()
    assert not any(secret in device.log() for secret in (TOKEN, SECRET_ACCESS_KEY, SESSION_TOKEN))


def test_without_a_port_it_is_that_of_https_for_a_websocket_and_that_of_mqtt_for_mutual_tls(broker: Broker) -> None:
    settings = broker.connection(port=None)
    exchange = TokenExchange("http://localhost:1/", None)
    assert SignedWebSocket(settings, "localhost", REGION, exchange).opening(print).port == HTTPS_PORT
    assert MutualTls(settings).opening(print).port == 8883


# The first attempt of a process whose service never answers; it is to end without waiting for either.
_PROGRAM = """
import sys, threading, time
from weir.core.configuration import Surroundings, parse
from weir.transports import token_exchange
from weir.transports.mqtt311 import Mqtt311Transport
from weir.transports.websocket import SignedWebSocket
token_exchange.DEADLINE_SECONDS = 600.0
connection = parse({}, Surroundings("gw-17", "bench", "/", False, None)).connection
approach = SignedWebSocket(connection, "localhost", "eu-central-1", token_exchange.TokenExchange(sys.argv[1], None))
transport = Mqtt311Transport(connection, "gw-17", lambda _: None, lambda _: None, approach=approach)
transport.start()
while "weir-handshake" not in [thread.name for thread in threading.enumerate()]:
    time.sleep(0.01)
transport.close(0.5)
"""


def test_a_process_that_ends_while_it_waits_for_credentials_does_not_wait_for_them(
    service: TokenExchangeService,
) -> None:
    service.stalled = True
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, service.uri], check=False, timeout=60, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_broker_that_does_not_prove_itself_gets_no_request(impostor: Impostor) -> None:
    eventually(lambda: impostor.events, seconds=90, what="it is refused")
    [failed] = impostor.events
    assert isinstance(failed, ConnectFailed)
    assert "certificate" in failed.reason
    assert not impostor.gate.requests

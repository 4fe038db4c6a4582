"""Weir under a nucleus that offers credentials: a connection of its own, to the broker that the nucleus names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.component import DEFAULTS, ComponentDevice, numbered
from tests.conditions import eventually
from tests.integration.nucleus_clients import COMPONENT
from tests.nucleus import KINDS, NucleusStandIn
from tests.signed_gate import SignedGate
from tests.token_exchange import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, TOKEN, TokenExchangeService

# What lies about on a machine, and must not be signed with.
FOREIGN = {"AWS_ACCESS_KEY_ID": "AKIAFOREIGN", "AWS_SECRET_ACCESS_KEY": "foreign", "AWS_PROFILE": "foreign"}


class WithCredentials(ComponentDevice):
    """A component that is offered credentials, beside those of somebody else."""

    def __init__(self, work_path: Path, nucleus: NucleusStandIn, service: TokenExchangeService) -> None:
        super().__init__(work_path, nucleus)
        self._service = service

    def environment(self) -> dict[str, str]:
        offered = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self._service.uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN}
        home = self.directory / "home"
        (home / ".aws").mkdir(parents=True, exist_ok=True)
        content = "[foreign]\naws_access_key_id = AKIAFOREIGN\naws_secret_access_key = foreign\n"
        (home / ".aws" / "credentials").write_text(content, encoding="utf-8")
        return super().environment() | offered | FOREIGN | {"HOME": str(home)}


@pytest.fixture
def gate(websocket_broker: Broker) -> Iterator[SignedGate]:
    assert websocket_broker.websocket_port is not None
    keys = {ACCESS_KEY_ID: SECRET_ACCESS_KEY}
    gate = SignedGate(websocket_broker.certificates, websocket_broker.websocket_port, keys)
    with gate.running():
        yield gate


@pytest.fixture(params=sorted(KINDS))
def device(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    websocket_broker: Broker,
    gate: SignedGate,
    service: TokenExchangeService,
) -> Iterator[WithCredentials]:
    """Give a component whose nucleus names the gate as the endpoint of its broker."""
    connection: dict[str, Any] = {"port": gate.port, "ca": str(websocket_broker.certificates.ca)}
    with NucleusStandIn(
        KINDS[request.param],
        component=COMPONENT,
        configuration=DEFAULTS | {"connection": connection},
        nucleus={"iotDataEndpoint": "localhost"},
    ) as nucleus:
        device = WithCredentials(tmp_path, nucleus, service)
        yield device
        device.close()


def test_it_delivers_by_a_signed_websocket_to_the_broker_that_the_nucleus_names(
    device: WithCredentials, websocket_broker: Broker, gate: SignedGate
) -> None:
    observer = websocket_broker.observe()
    device.write("a.log", numbered(100))
    device.begin()
    status = device.until(lambda s: s["records"]["delivered"] == 100)
    assert (status["transport"], status["records"]["handedOver"]) == ("mqtt311", 0)
    assert sorted(message.payload for message in observer.messages) == numbered(100)
    assert not device.nucleus.published
    assert {request.query["X-Amz-Credential"].split("/")[0] for request in gate.requests} == {ACCESS_KEY_ID}
    [started] = [line for line in device.log().splitlines() if "event=started" in line]
    assert "the token exchange service is offered" in started
    assert "endpoint=localhost" in started
    assert not any(secret in device.log() for secret in (TOKEN, SECRET_ACCESS_KEY, SESSION_TOKEN))


def test_a_merge_leads_it_from_the_websocket_to_the_nucleus_and_back(device: WithCredentials) -> None:
    device.write("a.log", numbered(50))
    device.begin()
    device.until(lambda s: s["records"]["delivered"] == 50)
    assert device.nucleus.deploy(merge={"connection": {"transport": "ipc"}}).succeeded
    device.until(lambda s: s["transport"] == "ipc")
    device.write("b.log", numbered(50, first=50))
    device.until(lambda s: s["records"]["handedOver"] == 50)
    assert device.nucleus.deploy(merge={"connection": {"transport": "auto"}}).succeeded
    device.until(lambda s: s["transport"] == "mqtt311")
    device.write("c.log", numbered(50, first=100))
    records = device.until(lambda s: s["records"]["delivered"] == 100)["records"]
    assert (records["read"], records["handedOver"], records["droppedTotal"]) == (150, 50, 0)
    eventually(lambda: device.log().count("anew=true") == 2, what="it began anew for each")

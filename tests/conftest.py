"""What tests of every kind may ask for: certificates, a broker, a device, and a service that gives out credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.broker import Broker
from tests.certificates import Certificates, make_certificates
from tests.device import Device
from tests.observer import Observer
from tests.token_exchange import TokenExchangeService, token_exchange_service

# How long an example takes says something of the machine and of what else it does, not of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give certificates of two authorities, made once."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def stopped_broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Broker]:
    """Give a broker that does not run yet."""
    try:
        broker = Broker(tmp_path_factory.mktemp("broker"), certificates)
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    yield broker
    broker.close()


@pytest.fixture
def broker(stopped_broker: Broker) -> Broker:
    """Give a broker that accepts connections."""
    stopped_broker.start()
    return stopped_broker


@pytest.fixture
def websocket_broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Broker]:
    """Give a broker that accepts connections by WebSocket too."""
    broker = Broker(tmp_path_factory.mktemp("broker"), certificates, websocket=True)
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def service() -> Iterator[TokenExchangeService]:
    """Give a token exchange service that answers as it should."""
    with token_exchange_service() as service:
        yield service


@pytest.fixture
def observer(broker: Broker) -> Observer:
    """Give an observer that is subscribed before anything else connects."""
    return broker.observe()


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    """Give a device with a configuration for this broker."""
    device = Device(tmp_path, broker)
    yield device
    device.close()

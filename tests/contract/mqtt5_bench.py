"""MQTT 5 and a real broker: more worlds in which a transport has to keep its promises."""

from __future__ import annotations

from tests.broker import Broker
from tests.contract.benches import BrokerBench
from tests.token_exchange import TOKEN, TokenExchangeService
from weir.core.settings import ConnectionSettings
from weir.transports.mqtt5 import Mqtt5Transport
from weir.transports.token_exchange import TokenExchange
from weir.transports.websocket import SignedWebSocket


class Mqtt5Bench(BrokerBench[Mqtt5Transport]):
    """MQTT 5 with mutual TLS."""

    operation_bytes = 5

    def _make(self, settings: ConnectionSettings) -> Mqtt5Transport:
        return Mqtt5Transport(settings, "gw-17", self.events.append, self.outcomes.append)


class Mqtt5WebSocketBench(Mqtt5Bench):
    """As above, through a WebSocket that is opened with credentials of a service; without a certificate."""

    def __init__(self, broker: Broker, service: TokenExchangeService, region: str, **changes: object) -> None:
        self._exchange = TokenExchange(service.uri, TOKEN)
        self._region = region
        to_the_listener = {"port": broker.websocket_port, "certificate": None, "private_key": None}
        super().__init__(broker, **(to_the_listener | changes))

    def _make(self, settings: ConnectionSettings) -> Mqtt5Transport:
        approach = SignedWebSocket(settings, self.broker.endpoint, self._region, self._exchange)
        return Mqtt5Transport(settings, "gw-17", self.events.append, self.outcomes.append, approach=approach)

"""The worlds in which a transport has to keep its promises: one in memory, some with a real broker.

All give the same handles to the same suite. What the transport says by itself is collected here the way the loop
collects it: events and outcomes are only appended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from tests.broker import Broker
from tests.conditions import eventually
from tests.fakes import FakeTransport
from tests.observer import Message
from tests.token_exchange import TOKEN, TokenExchangeService
from weir.core.events import ConnectionEvent
from weir.core.ports import Operation, Transport
from weir.core.settings import ConnectionSettings
from weir.transports import publishing
from weir.transports.mqtt311 import Mqtt311Transport
from weir.transports.token_exchange import TokenExchange
from weir.transports.websocket import SignedWebSocket


class Outcomes(list[Operation]):
    """The operations that have their outcome; `told` is called with each one, on the thread that tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Callable[[Operation], object] = lambda _: None

    def append(self, operation: Operation) -> None:
        super().append(operation)
        self.told(operation)


class Bench(Protocol):
    """A transport, its broker, and what was heard from it."""

    unreachable: str  # said of an attempt to connect to a broker that is down
    operation_bytes: int  # what the statistics count of a small operation beyond topic and payload
    events: list[ConnectionEvent]
    outcomes: Outcomes

    @property
    def transport(self) -> Transport: ...

    def turn(self) -> None:
        """Do what the loop does in each of its turns."""

    def broker_down(self) -> None: ...

    def broker_up(self) -> None: ...

    def broker_silent(self) -> None:
        """Let the link stand, but let no answer come."""

    def broker_answers(self) -> None: ...

    def received(self) -> list[Message]:
        """Give what has arrived at the broker."""

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Take turns until the condition holds."""

    def close(self) -> None: ...


class FakeBench:
    """Time is a number here: each turn is a tenth of a second."""

    unreachable = "CONNECTION_REFUSED"
    operation_bytes = 4

    def __init__(self) -> None:
        self.events: list[ConnectionEvent] = []
        self.outcomes = Outcomes()
        self.transport = FakeTransport(self.events.append, self.outcomes.append)
        self._now = 0.0

    def turn(self) -> None:
        self._now += 0.1
        self.transport.advance(self._now)

    def broker_down(self) -> None:
        self.transport.interrupt()

    def broker_up(self) -> None:
        self.transport.resume()

    def broker_silent(self) -> None:
        self.transport.hold_acks = True

    def broker_answers(self) -> None:
        self.transport.hold_acks = False

    def received(self) -> list[Message]:
        return self.transport.received

    def until(self, condition: Callable[[], object], what: str) -> None:
        for _ in range(1_000):
            if condition():
                return
            self.turn()
        raise AssertionError(f"never: {what}")

    def close(self) -> None:
        self.transport.close(0)


AnyTransport = TypeVar("AnyTransport", bound=Transport)


class BrokerBench(Generic[AnyTransport]):
    """mosquitto and the client library; `changes` are to the connection's settings."""

    unreachable = "CONNECTION_REFUSED"
    operation_bytes = 4

    def __init__(self, broker: Broker, **changes: object) -> None:
        self.events: list[ConnectionEvent] = []
        self.outcomes = Outcomes()
        self.broker = broker
        self.transport = self._make(broker.connection(**changes))
        self.ahead = 0.0  # how far the loop's clock is put forward, where a test cannot wait so long
        self._observer = broker.observe() if broker.running else None

    def _make(self, settings: ConnectionSettings) -> AnyTransport:
        raise NotImplementedError

    def turn(self) -> None:
        self.transport.advance(time.monotonic() + self.ahead)

    def broker_down(self) -> None:
        self.broker.kill()

    def broker_up(self) -> None:
        self.broker.start()

    def broker_silent(self) -> None:
        self.broker.freeze()

    def broker_answers(self) -> None:
        self.broker.thaw()

    def received(self) -> list[Message]:
        return [] if self._observer is None else self._observer.messages

    def until(self, condition: Callable[[], object], what: str) -> None:
        def after_a_turn() -> object:
            self.turn()
            return condition()

        eventually(after_a_turn, what=what)

    def close(self) -> None:
        self.broker_answers()
        self.transport.close(1)


class RealBench(BrokerBench[Mqtt311Transport]):
    """MQTT 3.1.1 with mutual TLS."""

    def _make(self, settings: ConnectionSettings) -> Mqtt311Transport:
        return Mqtt311Transport(settings, "gw-17", self.events.append, self.outcomes.append)


class PublicBench(BrokerBench[Mqtt311Transport]):
    """As above, with a release of the client of which only the public call is known."""

    def _make(self, settings: ConnectionSettings) -> Mqtt311Transport:
        way = publishing.way("0.0.0")
        return Mqtt311Transport(settings, "gw-17", self.events.append, self.outcomes.append, publish=way)


class WebSocketBench(RealBench):
    """As above, through a WebSocket that is opened with credentials of a service; without a certificate."""

    def __init__(self, broker: Broker, service: TokenExchangeService, region: str, **changes: object) -> None:
        self._exchange = TokenExchange(service.uri, TOKEN)
        self._region = region
        to_the_listener = {"port": broker.websocket_port, "certificate": None, "private_key": None}
        super().__init__(broker, **(to_the_listener | changes))

    def _make(self, settings: ConnectionSettings) -> Mqtt311Transport:
        approach = SignedWebSocket(settings, self.broker.endpoint, self._region, self._exchange)
        return Mqtt311Transport(settings, "gw-17", self.events.append, self.outcomes.append, approach=approach)

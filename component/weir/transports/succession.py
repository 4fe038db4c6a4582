"""One connection object of the client library after another, the same for both protocols.

Owns which object is in use, its generation, when the next attempt is due and the farewell of an object that must go. It
must not know what is sent, why, or how often: no queue, no limits, no counters. Nor what one object does, nor how a
connection is opened: `client311` and `client5` tell the one, the approach that is handed in the other.

The client library keeps an established connection alive and brings it back by itself, with everything that was in
flight. What it leaves to us: an object that never was up and holds nothing is thrown away after a failed attempt, so
that the next one reads the certificate files anew and waits as long as the settings say; and an object that has lost
its way must be replaced.

All state here is changed by the loop's thread, in its calls. What native threads do to an object is looked at in
`advance`, which must therefore be called after every event.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, Protocol, TypeVar

from awscrt import io

from weir.core import topics
from weir.core.ports import Operation, Post, Settled, Statistics
from weir.core.settings import ConnectionSettings
from weir.transports import backoff, network
from weir.transports.approach import Approach
from weir.transports.farewell import Farewell
from weir.transports.mutual_tls import MutualTls

Native_co = TypeVar("Native_co", covariant=True)  # the client library's own object

_NOTHING = Statistics(0, 0, 0, 0)


class ConnectionObject(Protocol[Native_co]):
    """One object of the client library, from its making to its end."""

    @property
    def native(self) -> Native_co | None:
        """Give the library's object, for whoever shares it."""

    @property
    def was_up(self) -> bool:
        """Tell whether it ever was connected; from then on it comes back by itself."""

    @property
    def gave_up(self) -> bool:
        """Tell whether an attempt failed and it makes no other by itself, or need not since it holds nothing."""

    @property
    def holds_nothing(self) -> bool:
        """Tell whether it would be missed by nobody."""

    def try_to_connect(self) -> None:
        """Make an attempt; what came of it is posted, also where it could not even begin."""

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None) -> Operation:
        """Hand over one message. Raises `Refused`."""

    def statistics(self) -> Statistics:
        """Read the client's operation statistics."""

    def leave(self, *, politely: bool) -> Future[None]:
        """Stop for good; the future resolves, always without an error, once it can send no more."""

    def let_go(self) -> None:
        """Drop the library's object, which knows us by its callbacks: neither would ever end before the other."""


class Succession(ABC, Generic[Native_co]):
    """What fulfils `weir.core.ports.Transport` but for the making of an object and the figures of its protocol."""

    def __init__(
        self,
        settings: ConnectionSettings,
        thing_name: str,
        post: Post,
        settled: Settled,
        jitter: Callable[[], float] = random.random,
        *,
        approach: Approach | None = None,
    ) -> None:
        """Make ready; connections are opened by mutual TLS, unless another approach is given."""
        self.generation = 1
        self._settings = settings
        self._approach = approach or MutualTls(settings)
        self._client_id = topics.expand(settings.client_id, {"thingName": thing_name})
        self._post = post
        self._settled = settled
        self._jitter = jitter
        self._bootstrap: io.ClientBootstrap | None = network.new_bootstrap()
        self._object: ConnectionObject[Native_co] | None = None
        self._failures = 0
        self._retry_at: float | None = None
        self._farewell: Farewell | None = None  # while the old object is on its way out there is no new one
        self._old: ConnectionObject[Native_co] | None = None  # held that long: once dropped, what it still held fails

    @abstractmethod
    def _new_object(self) -> ConnectionObject[Native_co]:
        """Make the object of this generation; it is not connected yet."""

    @property
    def connection(self) -> Native_co | None:
        """Give the library's object, for whoever shares it; only this transport may replace or close it."""
        return None if self._object is None else self._object.native

    def start(self) -> None:
        """Make the first attempt to connect."""
        self._try_to_connect()

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Operation:
        """Hand one message to the client; while the connection is down, QoS 1 waits in it and QoS 0 fails."""
        if self._object is None:
            raise RuntimeError("there is no connection object to publish to")
        return self._object.publish(topic, payload, qos, record_id)

    def statistics(self) -> Statistics:
        """Read the client's operation statistics; without an object they are zero."""
        return _NOTHING if self._object is None else self._object.statistics()

    def advance(self, now: float) -> float | None:
        """See what became of an attempt or a farewell, and make the next attempt when its time has come."""
        if self._farewell is not None:
            if not self._farewell.over(now):
                return self._farewell.deadline
            self._let_go()
            self._try_to_connect()
        if self._object is not None:
            self._look_at(self._object, now)
        if self._retry_at is not None and now >= self._retry_at:
            self._try_to_connect()
        return self._retry_at

    def replace(self) -> None:
        """Give up the object; `advance` makes the next one once the old one is gone."""
        if self._farewell is not None or self._bootstrap is None:
            return  # already on its way, or closed
        self._old = self._object
        self._farewell = Farewell(self.generation, _leave(self._object), self._post)
        self._object = self._retry_at = None
        self.generation += 1  # at once: what the old object still says is told apart from here on

    def close(self, timeout_seconds: float) -> None:
        """Disconnect for good; what the client still held fails, then or a little later."""
        gone = _leave(self._object, politely=True) if self._farewell is None else self._farewell.gone
        wait([gone], timeout_seconds)
        self._let_go()
        self._bootstrap = None  # the native threads end with the last object that needs them

    def _let_go(self) -> None:
        for each in (self._object, self._old):
            if each is not None:
                each.let_go()
        self._object = self._retry_at = self._farewell = self._old = None

    def _try_to_connect(self) -> None:
        self._retry_at = None
        if self._object is None:
            self._object = self._new_object()
        self._object.try_to_connect()

    def _look_at(self, current: ConnectionObject[Native_co], now: float) -> None:
        if current.was_up:
            self._failures = 0
        elif self._retry_at is None and current.gave_up:
            self._failures += 1
            self._retry_at = now + backoff.delay(
                self._failures,
                self._settings.reconnect_min_seconds,
                self._settings.reconnect_max_seconds,
                self._jitter(),
            )
            if current.holds_nothing:
                self._object = None
                current.leave(politely=False).add_done_callback(lambda _: current.let_go())


def _leave(current: ConnectionObject[Native_co] | None, *, politely: bool = False) -> Future[None]:
    if current is not None:
        return current.leave(politely=politely)
    gone: Future[None] = Future()
    gone.set_result(None)
    return gone

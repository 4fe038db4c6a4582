"""MQTT 3.1.1 through awscrt.

Owns one connection object of the client library at a time, numbered by its generation, and the attempts to get it up
the first time. It must not know what is sent, why, or how often: no queue, no limits, no counters. Nor how a
connection is opened: that is the approach, which is handed in.

The client library keeps an established connection alive and brings it back by itself, with everything that was in
flight (`clean_session=False`; with a clean session the operations in flight stay in the statistics for ever). Two
things it leaves to us: it never repeats a first attempt that failed, and an object that has lost its way must be
replaced.

Native threads run only `_Reporter`, the caller's `settled` and the steps of a farewell. All state here is changed by
the loop's thread, in its calls; the futures that the library resolves are looked at in `advance`, which must therefore
be called after every event. Between `Interrupted` and the next `Connected` the library makes its attempts in silence;
only why a handshake could not even begin is told, as `ConnectFailed`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from awscrt import io, mqtt
from awscrt.exceptions import AwsCrtError

from weir.core import topics
from weir.core.events import Connected, ConnectFailed, Interrupted
from weir.core.ports import Operation, Post, Settled, Statistics
from weir.core.settings import ConnectionSettings
from weir.core.topics import MESSAGE_BYTES, OPERATION_BYTES, OVERHEAD_BYTES
from weir.transports import backoff, connection311, publishing
from weir.transports.approach import Approach
from weir.transports.farewell import Farewell, leave
from weir.transports.mutual_tls import MutualTls
from weir.transports.publishing import Publish
from weir.transports.reasons import TURNED_AWAY, name_of, reason

_NOTHING = Statistics(0, 0, 0, 0)


class _Reporter:
    """Tells the loop what happens to one connection object; called by the threads that serve it, and no others."""

    def __init__(self, generation: int, post: Post) -> None:
        self._generation = generation
        self._post = post
        self._was_up = False
        self._fault: str | None = None  # what kept the handshake of the attempt that is being made from beginning

    def handshake_failed(self, why: str) -> None:
        """Tell why an attempt is about to fail: at once, or of a first attempt when it has failed, in one event."""
        if self._was_up:
            self._post(ConnectFailed(self._generation, why))
        else:
            self._fault = why

    def attempted(self, attempt: Future[Any]) -> None:
        """Tell that a first attempt failed; of success the client tells `connected`."""
        error = attempt.exception()
        if error is not None:
            fault, self._fault = self._fault, None
            turned_away = fault is None and name_of(error) in TURNED_AWAY
            self._post(ConnectFailed(self._generation, fault or reason(error), turned_away))

    def connected(self, *, callback_data: mqtt.OnConnectionSuccessData, **_: object) -> None:
        """Tell that the connection is up, for the first time or again."""
        self._was_up = True
        self._post(Connected(self._generation, callback_data.session_present))

    def interrupted(self, *, error: BaseException, **_: object) -> None:
        """Tell that the connection was lost."""
        self._post(Interrupted(self._generation, reason(error)))


class Mqtt311Transport:
    """Fulfils `weir.core.ports.Transport`."""

    name = "mqtt311"
    message_bytes = MESSAGE_BYTES
    most_outstanding: int | None = None
    hands_over = False
    carries_ids = False
    operation_bytes = OPERATION_BYTES
    packet_bytes = OVERHEAD_BYTES

    def __init__(
        self,
        settings: ConnectionSettings,
        thing_name: str,
        post: Post,
        settled: Settled,
        jitter: Callable[[], float] = random.random,
        *,
        approach: Approach | None = None,
        publish: Publish | None = None,
    ) -> None:
        """Make ready; connections are opened by mutual TLS, unless another approach is given."""
        self._settings = settings
        self._approach = approach or MutualTls(settings)
        self._client_id = topics.expand(settings.client_id, {"thingName": thing_name})
        self._post = post
        self._settled = settled
        self._publish = publish or publishing.way()
        self._jitter = jitter
        self._bootstrap: io.ClientBootstrap | None = connection311.new_bootstrap()
        self.generation = 1
        self._reporter = _Reporter(self.generation, post)
        self._connection: mqtt.Connection | None = None
        self._attempt: Future[Any] | None = None  # the first connect of this object, until its outcome was seen
        self._failures = 0
        self._retry_at: float | None = None
        self._farewell: Farewell | None = None  # while the old object is on its way out there is no new one
        self._old: mqtt.Connection | None = None  # held that long: once it is dropped, what it still held fails

    @property
    def connection(self) -> mqtt.Connection | None:
        """Give the client's connection object, for whoever shares it; only this transport may replace or close it."""
        return self._connection

    def start(self) -> None:
        """Make the first attempt to connect."""
        self._try_to_connect()

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Operation:  # noqa: ARG002 - no place for it
        """Hand one message to the client; while the connection is down, QoS 1 waits in it and QoS 0 fails."""
        if self._connection is None:
            raise RuntimeError("there is no connection object to publish to")
        return self._publish(self._connection, topic, payload, qos, self._settled)

    def statistics(self) -> Statistics:
        """Read the client's operation statistics; without a connection object they are zero."""
        if self._connection is None:
            return _NOTHING
        now = self._connection.get_stats()
        return Statistics(
            now.incomplete_operation_count,
            now.incomplete_operation_size,
            now.unacked_operation_count,
            now.unacked_operation_size,
        )

    def advance(self, now: float) -> float | None:
        """See what became of an attempt or a farewell, and make the next attempt when its time has come."""
        if self._farewell is not None:
            if not self._farewell.over(now):
                return self._farewell.deadline
            self._farewell = self._old = None
            self._try_to_connect()
        if self._attempt is not None and self._attempt.done():
            self._judge(self._attempt, now)
        if self._retry_at is not None and now >= self._retry_at:
            self._try_to_connect()
        return self._retry_at

    def replace(self) -> None:
        """Give up the connection object; `advance` makes the next one once the old one is gone."""
        if self._farewell is not None or self._bootstrap is None:
            return  # already on its way, or closed
        self._old = self._connection
        self._farewell = Farewell(self.generation, leave(self._connection, self._attempt), self._post)
        self._connection = self._attempt = self._retry_at = None
        self.generation += 1  # at once: what the old object still says is told apart from here on
        self._reporter = _Reporter(self.generation, self._post)

    def close(self, timeout_seconds: float) -> None:
        """Disconnect for good; what the client still held fails, then or a little later."""
        gone = leave(self._connection, self._attempt) if self._farewell is None else self._farewell.gone
        wait([gone], timeout_seconds)
        self._connection = self._attempt = self._retry_at = self._farewell = self._old = None
        self._bootstrap = None  # the native threads end with the last object that needs them

    def _try_to_connect(self) -> None:
        self._retry_at = None
        try:
            if self._connection is None:
                self._connection = self._new_connection()
            self._attempt = self._connection.connect()
        except (OSError, ValueError, RuntimeError, AwsCrtError) as error:  # the files, as they are now, do not do
            self._attempt = Future()
            self._attempt.set_exception(error)
        self._attempt.add_done_callback(self._reporter.attempted)

    def _judge(self, attempt: Future[Any], now: float) -> None:
        self._attempt = None
        if attempt.exception() is None:
            self._failures = 0
            return
        self._failures += 1
        self._retry_at = now + backoff.delay(
            self._failures,
            self._settings.reconnect_min_seconds,
            self._settings.reconnect_max_seconds,
            self._jitter(),
        )
        if self.statistics() == _NOTHING:
            self._connection = None  # it holds nothing, so the next attempt may read the certificate files anew

    def _new_connection(self) -> mqtt.Connection:
        return connection311.new_connection(
            self._settings,
            self._approach.opening(self._reporter.handshake_failed),
            self._bootstrap,
            client_id=self._client_id,
            on_success=self._reporter.connected,
            on_interrupted=self._reporter.interrupted,
        )

"""MQTT 5 through awscrt.

Owns one client object at a time, numbered by its generation, and what follows when it cannot get up or must go. It must
not know what is sent, why, or how often: no queue, no limits, no counters. Nor how a connection is opened: that is the
approach, which is handed in. What one object does is told in `client5`.

The promises are those of `mqtt311`, and so are the attempts: an object that never was up and holds nothing is thrown
away after a failed attempt, so that the next one reads the certificate files anew and waits as long as the settings
say. An object that was up comes back by itself, in silence, unless a broker was there and refused it.

What MQTT 5 adds: a broker that does not want a message answers so, and the operation fails with what that means; each
PUBLISH carries the id of its record as a user property; a message that is too large for the broker is refused here,
where MQTT 3.1.1 loses the connection over it. Flow control by the library stays off, since the pace is the loop's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from awscrt import http, io, mqtt5
from awscrt.exceptions import AwsCrtError

from weir.core import topics
from weir.core.events import ConnectFailed
from weir.core.ports import Post, Settled, Statistics
from weir.core.settings import ConnectionSettings
from weir.core.topics import MAX_MESSAGE_BYTES
from weir.transports import backoff
from weir.transports.approach import Approach
from weir.transports.client5 import OPERATION_BYTES, PACKET_BYTES, Client5
from weir.transports.farewell import Farewell
from weir.transports.mutual_tls import MutualTls
from weir.transports.reasons import reason

# How long the broker keeps the session of a client that is away. Nothing of ours lies in it; but where it is kept, an
# operation in flight is resumed with its packet id, and the broker can tell that it is the same one.
SESSION_SECONDS = 3_600
_STEADY_SECONDS = 10  # a connection that stood for so long begins anew with the shortest wait when it is lost
_NOTHING = Statistics(0, 0, 0, 0)


class Mqtt5Transport:
    """Fulfils `weir.core.ports.Transport`."""

    name = "mqtt5"
    message_bytes = MAX_MESSAGE_BYTES - PACKET_BYTES
    most_outstanding: int | None = None
    hands_over = False
    carries_ids = True
    operation_bytes = OPERATION_BYTES
    packet_bytes = PACKET_BYTES

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
        self._settings = settings
        self._approach = approach or MutualTls(settings)
        self._client_id = topics.expand(settings.client_id, {"thingName": thing_name})
        self._post = post
        self._settled = settled
        self._jitter = jitter
        self._bootstrap: io.ClientBootstrap | None = _bootstrap()
        self.generation = 1
        self._client: Client5 | None = None
        self._failures = 0
        self._retry_at: float | None = None
        self._farewell: Farewell | None = None  # while the old object is on its way out there is no new one
        self._old: Client5 | None = None  # held that long: once it is dropped, what it still held fails

    @property
    def connection(self) -> mqtt5.Client | None:
        """Give the client library's object, for whoever shares it; only this transport may replace or close it."""
        return self._client and self._client.native

    def start(self) -> None:
        """Make the first attempt to connect."""
        self._try_to_connect()

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Future[Any]:
        """Hand one message to the client; while the connection is down, QoS 1 waits in it and QoS 0 fails."""
        if self._client is None:
            raise RuntimeError("there is no connection object to publish to")
        return self._client.publish(topic, payload, qos, record_id)

    def statistics(self) -> Statistics:
        """Read the client's operation statistics; without a client object they are zero."""
        return _NOTHING if self._client is None else self._client.statistics()

    def advance(self, now: float) -> float | None:
        """See what became of an attempt or a farewell, and make the next attempt when its time has come."""
        if self._farewell is not None:
            if not self._farewell.over(now):
                return self._farewell.deadline
            self._let_go()
            self._try_to_connect()
        if self._client is not None:
            self._look_at(self._client, now)
        if self._retry_at is not None and now >= self._retry_at:
            self._try_to_connect()
        return self._retry_at

    def replace(self) -> None:
        """Give up the client object; `advance` makes the next one once the old one is gone."""
        if self._farewell is not None or self._bootstrap is None:
            return  # already on its way, or closed
        self._old = self._client
        self._farewell = Farewell(self.generation, _leave(self._client), self._post)
        self._client = self._retry_at = None
        self.generation += 1  # at once: what the old object still says is told apart from here on

    def close(self, timeout_seconds: float) -> None:
        """Disconnect for good; what the client still held fails, then or a little later."""
        gone = _leave(self._client, politely=True) if self._farewell is None else self._farewell.gone
        wait([gone], timeout_seconds)
        self._let_go()
        self._bootstrap = None  # the native threads end with the last object that needs them

    def _let_go(self) -> None:
        for client in (self._client, self._old):
            if client is not None:
                client.let_go()
        self._client = self._retry_at = self._farewell = self._old = None

    def _try_to_connect(self) -> None:
        self._retry_at = None
        client = self._client = Client5(self.generation, self._post, self._settled)
        try:
            client.attach(self._native_for(client))
        except (OSError, ValueError, RuntimeError, AwsCrtError) as error:  # the files, as they are now, do not do
            client.fell = True
            self._post(ConnectFailed(self.generation, reason(error)))

    def _look_at(self, client: Client5, now: float) -> None:
        if client.was_up:
            self._failures = 0
        elif client.fell and client.holds_nothing:
            self._client = None
            _leave(client)
            self._failures += 1
            self._retry_at = now + backoff.delay(
                self._failures,
                self._settings.reconnect_min_seconds,
                self._settings.reconnect_max_seconds,
                self._jitter(),
            )

    def _native_for(self, client: Client5) -> mqtt5.Client:
        settings = self._settings
        opening = self._approach.opening(client.handshake_failed)
        answer_ms = settings.ping_timeout_seconds * 1000  # how long an answer may take on this link
        proxy = http.HttpProxyOptions(settings.proxy_host, settings.proxy_port) if settings.proxy_host else None
        socket = io.SocketOptions()
        socket.connect_timeout_ms = answer_ms
        return mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=opening.host_name,
                port=opening.port,
                bootstrap=self._bootstrap,
                tls_ctx=opening.tls,
                socket_options=socket,
                http_proxy_options=proxy,
                websocket_handshake_transform=opening.handshake,
                connect_options=mqtt5.ConnectPacket(
                    client_id=self._client_id,
                    keep_alive_interval_sec=settings.keep_alive_seconds,
                    session_expiry_interval_sec=SESSION_SECONDS,
                ),
                session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_NON_QOS1_PUBLISH_ON_DISCONNECT,
                retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
                min_reconnect_delay_ms=settings.reconnect_min_seconds * 1000,
                max_reconnect_delay_ms=settings.reconnect_max_seconds * 1000,
                min_connected_time_to_reset_reconnect_delay_ms=_STEADY_SECONDS * 1000,
                ping_timeout_ms=answer_ms,
                connack_timeout_ms=answer_ms,
                ack_timeout_sec=0,  # an operation that the client gives up on may be at the broker all the same
                on_lifecycle_event_stopped_fn=client.stopped,
                on_lifecycle_event_connection_success_fn=client.connected,
                on_lifecycle_event_connection_failure_fn=client.failed,
                on_lifecycle_event_disconnection_fn=client.interrupted,
                disable_metrics=True,  # else the client puts its version and platform into the user name
            )
        )


def _bootstrap() -> io.ClientBootstrap:
    group = io.EventLoopGroup(1)  # one connection is served by one thread; a second one brings nothing
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))


def _leave(client: Client5 | None, *, politely: bool = False) -> Future[None]:
    if client is not None:
        return client.leave(politely=politely)
    gone: Future[None] = Future()
    gone.set_result(None)
    return gone

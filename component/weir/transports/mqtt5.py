"""MQTT 5 through awscrt.

Owns how the objects of this protocol are made, and its figures. Of their succession tells `succession`, of what one
does `client5`.

What MQTT 5 adds: a broker that does not want a message answers so, and the operation fails with what that means; each
PUBLISH carries the id of its record as a user property; a message that is too large for the broker is refused here,
where MQTT 3.1.1 loses the connection over it. Flow control by the library stays off, since the pace is the loop's.
"""

from __future__ import annotations

from awscrt import mqtt5

from weir.core.topics import MAX_MESSAGE_BYTES
from weir.transports import network
from weir.transports.client5 import OPERATION_BYTES, PACKET_BYTES, Client5
from weir.transports.succession import Succession

# How long the broker keeps the session of a client that is away. Nothing of ours lies in it; but where it is kept, an
# operation in flight is resumed with its packet id, and the broker can tell that it is the same one.
SESSION_SECONDS = 3_600
LARGEST_BYTES = 1 << 18  # of a packet that a broker may send, which it is told; IoT Core sends half of it at most
_STEADY_SECONDS = 10  # a connection that stood for so long begins anew with the shortest wait when it is lost


class Mqtt5Transport(Succession[mqtt5.Client]):
    """Fulfils `weir.core.ports.Transport`."""

    name = "mqtt5"
    message_bytes = MAX_MESSAGE_BYTES - PACKET_BYTES
    most_outstanding: int | None = None
    hands_over = False
    carries_ids = True
    operation_bytes = OPERATION_BYTES
    packet_bytes = PACKET_BYTES

    def _new_object(self) -> Client5:
        return Client5(self.generation, self._post, self._settled, self._new_client)

    def _new_client(self, owner: Client5) -> mqtt5.Client:
        settings = self._settings
        opening = self._approach.opening(owner.handshake_failed)
        answer_ms = settings.ping_timeout_seconds * 1000  # how long an answer may take on this link
        return mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=opening.host_name,
                port=opening.port,
                bootstrap=self._bootstrap,
                tls_ctx=opening.tls,
                socket_options=network.socket_options(settings),
                http_proxy_options=network.proxy_options(settings),
                websocket_handshake_transform=opening.handshake,
                connect_options=mqtt5.ConnectPacket(
                    client_id=self._client_id,
                    keep_alive_interval_sec=settings.keep_alive_seconds,
                    session_expiry_interval_sec=SESSION_SECONDS,
                    maximum_packet_size=LARGEST_BYTES,
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
                on_lifecycle_event_stopped_fn=owner.stopped,
                on_lifecycle_event_connection_success_fn=owner.connected,
                on_lifecycle_event_connection_failure_fn=owner.failed,
                on_lifecycle_event_disconnection_fn=owner.interrupted,
                disable_metrics=True,  # else the client puts its version and platform into the user name
            )
        )

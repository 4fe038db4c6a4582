"""How an MQTT 3.1.1 connection object of awscrt is made.

Owns what every such object has in common. Knows nothing of its life: it is not connected yet, and whoever asks for it
connects, disconnects and replaces it.
"""

from __future__ import annotations

from collections.abc import Callable

from awscrt import io, mqtt

from weir.core.settings import ConnectionSettings
from weir.transports import network
from weir.transports.approach import Opening


def new_connection(
    settings: ConnectionSettings,
    opening: Opening,
    bootstrap: io.ClientBootstrap,
    *,
    client_id: str,
    on_success: Callable[..., None],
    on_interrupted: Callable[..., None],
    on_closed: Callable[..., None] | None = None,
    clean_session: bool = False,
) -> mqtt.Connection:
    """Make one; the callbacks are the client's own, called by its threads."""
    # The client's own operation timeout stays off: it keeps some 160 bytes for every operation until the time is up,
    # acknowledged or not, and an operation that it gives up on may be at the broker all the same.
    return mqtt.Connection(
        client=mqtt.Client(bootstrap, opening.tls),
        host_name=opening.host_name,
        port=opening.port,
        use_websockets=opening.handshake is not None,
        websocket_handshake_transform=opening.handshake,
        client_id=client_id,
        clean_session=clean_session,
        reconnect_min_timeout_secs=settings.reconnect_min_seconds,
        reconnect_max_timeout_secs=settings.reconnect_max_seconds,
        keep_alive_secs=settings.keep_alive_seconds,
        ping_timeout_ms=settings.ping_timeout_seconds * 1000,
        socket_options=network.socket_options(settings),
        proxy_options=network.proxy_options(settings),
        on_connection_success=on_success,
        on_connection_interrupted=on_interrupted,
        on_connection_closed=on_closed,
        disable_metrics=True,  # else the client puts its version and platform into the user name
    )

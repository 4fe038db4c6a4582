"""A plain MQTT 3.1.1 connection with mutual TLS, for programs that use one by themselves.

Owns how it is opened, nothing of its life: whoever asks for it connects and disconnects it.
"""

from __future__ import annotations

from collections.abc import Callable

from awscrt import http, io, mqtt

from weir.core.settings import ConnectionSettings
from weir.transports.mutual_tls import MutualTls

AT_MOST_ONCE, AT_LEAST_ONCE = mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE
VERBOSITIES = tuple(level.name for level in io.LogLevel)


def log_to_stderr(verbosity: str) -> None:
    """Let the client library write its own log, as talkative as one of VERBOSITIES says."""
    io.init_logging(io.LogLevel[verbosity], "stderr")


def new_connection(
    settings: ConnectionSettings,
    *,
    on_success: Callable[..., None],
    on_interrupted: Callable[..., None],
    on_closed: Callable[..., None] | None = None,
    clean_session: bool = False,
) -> mqtt.Connection:
    """Make a connection that is not connected yet; the callbacks are the client's own, called by its threads.

    Raises OSError, or the client's own error, where certificate, key or CA do not do.
    """
    opening = MutualTls(settings).opening(lambda _why: None)
    group = io.EventLoopGroup(1)
    proxy = http.HttpProxyOptions(settings.proxy_host, settings.proxy_port) if settings.proxy_host else None
    return mqtt.Connection(
        client=mqtt.Client(io.ClientBootstrap(group, io.DefaultHostResolver(group)), opening.tls),
        host_name=opening.host_name,
        port=opening.port,
        client_id=settings.client_id,
        clean_session=clean_session,
        reconnect_min_timeout_secs=settings.reconnect_min_seconds,
        reconnect_max_timeout_secs=settings.reconnect_max_seconds,
        keep_alive_secs=settings.keep_alive_seconds,
        ping_timeout_ms=settings.ping_timeout_seconds * 1000,
        proxy_options=proxy,
        on_connection_success=on_success,
        on_connection_interrupted=on_interrupted,
        on_connection_closed=on_closed,
        disable_metrics=True,  # else the client puts its version and platform into the user name
    )

"""A plain MQTT 3.1.1 connection with mutual TLS, for programs that use one by themselves.

Owns the way it is opened, nothing of its life: whoever asks for it connects and disconnects it.
"""

from __future__ import annotations

from collections.abc import Callable

from awscrt import io, mqtt

from weir.core.settings import ConnectionSettings
from weir.transports import connection311, network
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
    return connection311.new_connection(
        settings,
        MutualTls(settings).opening(lambda _why: None),
        network.new_bootstrap(),
        client_id=settings.client_id,
        on_success=on_success,
        on_interrupted=on_interrupted,
        on_closed=on_closed,
        clean_session=clean_session,
    )

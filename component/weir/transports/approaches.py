"""From the way that was chosen to the approach that takes it.

Owns what an approach needs of the environment. What signs a WebSocket is imported only where one is opened: a device
with a certificate does without an HTTP client in its memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from weir.core.settings import ConnectionSettings
from weir.core.ways import TOKEN_EXCHANGE_URI, Way
from weir.transports.approach import Approach
from weir.transports.mutual_tls import MutualTls

_AUTHORIZATION = "AWS_CONTAINER_AUTHORIZATION_TOKEN"


def approach_of(way: Way, settings: ConnectionSettings, environment: Mapping[str, str]) -> Approach:
    """Give the approach for a way of our own, which is any but ipc; raises ValueError for that one."""
    if way.kind == "mutualTls":
        return MutualTls(settings, way.endpoint)
    if way.kind == "ipc" or way.endpoint is None or way.region is None:
        raise ValueError(f"{way.kind} is no connection of our own, or lacks its endpoint or region")
    from weir.transports.token_exchange import TokenExchange  # noqa: PLC0415 - only for a WebSocket
    from weir.transports.websocket import SignedWebSocket  # noqa: PLC0415 - only for a WebSocket

    exchange = TokenExchange(environment.get(TOKEN_EXCHANGE_URI, ""), environment.get(_AUTHORIZATION))
    return SignedWebSocket(settings, way.endpoint, way.region, exchange)

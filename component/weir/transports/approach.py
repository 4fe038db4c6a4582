"""How a connection object finds the broker and proves who it is.

Owns the shape that all approaches share, so that the life of a connection is told without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from awscrt import io

HTTPS_PORT = 443

# Says why the opening handshake could not be made; called by any thread, before the attempt fails.
HandshakeFailed = Callable[[str], None]


class Opening(NamedTuple):
    """What one connection object is opened with."""

    host_name: str
    port: int
    tls: io.ClientTlsContext
    handshake: Callable[..., None] | None = None  # changes the request that opens a WebSocket; None is plain MQTT


class Approach(Protocol):
    """A way to open connections."""

    def opening(self, failed: HandshakeFailed) -> Opening:
        """Give what the next connection object is opened with.

        Raises OSError, or the client's own error, where files do not do.
        """

"""MQTT 3.1.1 through awscrt.

Owns how the objects of this protocol are made, and its figures. Of their succession tells `succession`, of what one
does `client311`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from awscrt import mqtt

from weir.core.ports import Post, Settled
from weir.core.settings import ConnectionSettings
from weir.core.topics import MESSAGE_BYTES, OPERATION_BYTES, OVERHEAD_BYTES
from weir.transports import connection311, publishing
from weir.transports.approach import Approach
from weir.transports.client311 import Client311
from weir.transports.publishing import Publish
from weir.transports.succession import Succession


class Mqtt311Transport(Succession[mqtt.Connection]):
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
        """Make ready; messages go the shortest way that this release of the client has, unless one is given."""
        super().__init__(settings, thing_name, post, settled, jitter, approach=approach)
        self._publish = publish or publishing.way()

    def _new_object(self) -> Client311:
        return Client311(self.generation, self._post, self._settled, self._new_connection, self._publish)

    def _new_connection(self, owner: Client311) -> mqtt.Connection:
        return connection311.new_connection(
            self._settings,
            self._approach.opening(owner.handshake_failed),
            self._bootstrap,
            client_id=self._client_id,
            on_success=owner.connected,
            on_interrupted=owner.interrupted,
        )

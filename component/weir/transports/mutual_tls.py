"""MQTT over TLS in which both sides show a certificate."""

from __future__ import annotations

from weir.core.settings import ConnectionSettings
from weir.transports.approach import HTTPS_PORT, HandshakeFailed, Opening
from weir.transports.credentials import with_certificate

DEFAULT_PORT = 8883

# IoT Core speaks MQTT on the port of HTTPS only with a client that asks for it by this name.
_MQTT_ON_HTTPS_PORT = "x-amzn-mqtt-ca"


class MutualTls:
    """Fulfils `weir.transports.approach.Approach` with the certificate of the settings.

    `endpoint` is the broker where the settings name none.
    """

    def __init__(self, settings: ConnectionSettings, endpoint: str | None = None) -> None:
        self._settings = settings
        self._host_name = settings.endpoint or endpoint or ""
        self._port = settings.port or DEFAULT_PORT

    def opening(self, failed: HandshakeFailed) -> Opening:  # noqa: ARG002 - TLS tells of its handshake itself
        """Read the files and give what the next connection object is opened with."""
        protocol = _MQTT_ON_HTTPS_PORT if self._port == HTTPS_PORT else None
        return Opening(self._host_name, self._port, with_certificate(self._settings, protocol))

"""Who we are to the broker and whom we believe: the TLS side of a connection.

Owns how certificate, private key and CA become a TLS context. The files are read each time one is made, so a renewed
certificate is used by the next connection object. That the broker proves itself cannot be turned off.
"""

from __future__ import annotations

import errno

from awscrt import io

from weir.core.settings import ConnectionSettings

# IoT Core speaks MQTT on the port of HTTPS only with a client that asks for it by this name.
_HTTPS_PORT = 443
_MQTT_ON_HTTPS_PORT = "x-amzn-mqtt-ca"


def tls_context(settings: ConnectionSettings) -> io.ClientTlsContext:
    """Read the files and make the context; raises OSError, or the client's own error for what is no certificate."""
    options = io.TlsContextOptions.create_client_with_mtls_from_path(
        _given(settings.certificate, "connection.certificate"),
        _given(settings.private_key, "connection.privateKey"),
    )
    options.verify_peer = True
    options.min_tls_ver = io.TlsVersion.TLSv1_2
    if settings.ca is not None:
        options.override_default_trust_store_from_path(ca_filepath=settings.ca)
    if settings.port == _HTTPS_PORT:
        options.alpn_list = [_MQTT_ON_HTTPS_PORT]
    return io.ClientTlsContext(options)


def _given(path: str | None, key: str) -> str:
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "not configured", key)
    return path

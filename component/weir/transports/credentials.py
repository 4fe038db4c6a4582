"""Who we are to the broker and whom we believe: the TLS side of a connection.

Owns how certificate, private key and CA become a TLS context. The files are read each time one is made, so a renewed
certificate is used by the next connection object. That the broker proves itself cannot be turned off.
"""

from __future__ import annotations

import errno

from awscrt import io

from weir.core.settings import ConnectionSettings


def with_certificate(settings: ConnectionSettings, protocol: str | None) -> io.ClientTlsContext:
    """Make the context of a client that shows its certificate, asking for `protocol` by ALPN if one is given.

    Raises OSError, or the client's own error for what is no certificate.
    """
    options = io.TlsContextOptions.create_client_with_mtls_from_path(
        _given(settings.certificate, "connection.certificate"),
        _given(settings.private_key, "connection.privateKey"),
    )
    return _context(options, settings.ca, protocol)


def without_certificate(settings: ConnectionSettings, protocol: str | None) -> io.ClientTlsContext:
    """Make the context of a client that proves itself otherwise; arguments and errors as above."""
    return _context(io.TlsContextOptions(), settings.ca, protocol)


def _context(options: io.TlsContextOptions, ca: str | None, protocol: str | None) -> io.ClientTlsContext:
    options.verify_peer = True
    options.min_tls_ver = io.TlsVersion.TLSv1_2
    if ca is not None:
        options.override_default_trust_store_from_path(ca_filepath=ca)
    if protocol is not None:
        options.alpn_list = [protocol]
    return io.ClientTlsContext(options)


def _given(path: str | None, key: str) -> str:
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "not configured", key)
    return path

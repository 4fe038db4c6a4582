"""What the connection objects of both protocols stand on: a thread, a socket, a proxy.

Owns how these are made from the settings. Knows nothing of what is connected by them.
"""

from __future__ import annotations

from awscrt import http, io

from weir.core.settings import ConnectionSettings


def new_bootstrap() -> io.ClientBootstrap:
    """Start the native threads, which end with the last object that needs them."""
    group = io.EventLoopGroup(1)  # one connection is served by one thread; a second one brings nothing
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))


def socket_options(settings: ConnectionSettings) -> io.SocketOptions:
    """Wait for a connection as long as for any other answer on this link."""
    socket = io.SocketOptions()
    socket.connect_timeout_ms = settings.ping_timeout_seconds * 1000
    return socket


def proxy_options(settings: ConnectionSettings) -> http.HttpProxyOptions | None:
    """Give the HTTP proxy to go through, None for the straight way."""
    return http.HttpProxyOptions(settings.proxy_host, settings.proxy_port) if settings.proxy_host else None

"""What a failure of the client means, in words a person can act on.

Owns the texts. They are made from the error's name, or the path of a file that cannot be read, and never from what a
file or a setting holds: no secret can slip into a log through them.
"""

from __future__ import annotations

import re

_RAISED_AT_ONCE = re.compile(r"\d+ \((AWS_[A-Z0-9_]+)\)")  # what is refused in the call itself has its name in the text

TEXTS = {
    "AWS_ERROR_HTTP_PROXY_CONNECT_FAILED": "the proxy did not let it through: it refused, or cannot reach the broker",
    "AWS_ERROR_HTTP_PROXY_CONNECT_FAILED_RETRYABLE": "the proxy wants to be told who asks, which is not supported",
    "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE": (
        "the broker refused the WebSocket: the role's policy, the region, or this machine's clock"
    ),
    "AWS_ERROR_INVALID_ARGUMENT": "a certificate, private key or CA file is not PEM, or the client id no text",
    "AWS_IO_DNS_INVALID_NAME": "the name of the endpoint cannot be resolved",
    "AWS_IO_DNS_NO_ADDRESS_FOR_HOST": "the name of the endpoint has no address",
    "AWS_IO_DNS_QUERY_AGAIN": "no name server answered",
    "AWS_IO_DNS_QUERY_FAILED": "the name of the endpoint cannot be resolved now",
    "AWS_IO_SOCKET_CLOSED": "the broker, or a proxy on the way, closed the connection",
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "nothing listens at that address and port",
    "AWS_IO_SOCKET_CONNECT_ABORTED": "the network broke off the attempt",
    "AWS_IO_SOCKET_NETWORK_DOWN": "the network is down",
    "AWS_IO_SOCKET_NO_ROUTE_TO_HOST": "no route leads to that address",
    "AWS_IO_SOCKET_TIMEOUT": "no answer from that address",
    "AWS_IO_TLS_CTX_ERROR": "certificate and private key do not fit together, or a file is not PEM",
    "AWS_IO_TLS_ERROR_ALERT_RECEIVED": "the broker refused the TLS handshake, perhaps our certificate",
    "AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND": "this system has no store of CA certificates; configure a CA",
    "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE": "the TLS handshake failed: one side refused the other's certificate",
    "AWS_IO_TLS_ERROR_READ_FAILURE": "the broker broke off the TLS session, perhaps over our certificate",
    "AWS_IO_TLS_NEGOTIATION_TIMEOUT": "the TLS handshake did not end in time",
    "AWS_ERROR_MQTT5_CLIENT_TERMINATED": "the connection was given up",
    "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED": "the broker refused the connection",
    "AWS_ERROR_MQTT5_CONNACK_TIMEOUT": "the broker did not answer in time",
    "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR": "the other side did not speak MQTT 5",
    "AWS_ERROR_MQTT5_PACKET_VALIDATION": "the message is larger than this broker takes",
    "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT": "no answer in time",
    "AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION": "no message can have this topic",
    "AWS_ERROR_MQTT5_USER_REQUESTED_STOP": "the connection was given up",
    "AWS_ERROR_MQTT_CONNECTION_DESTROYED": "the connection was given up",
    "AWS_ERROR_MQTT_NOT_CONNECTED": "there is no connection",
    "AWS_ERROR_MQTT_PROTOCOL_ERROR": "the broker refused the connection or did not speak MQTT",
    "AWS_ERROR_MQTT_TIMEOUT": "no answer in time",
    "AWS_ERROR_MQTT_UNEXPECTED_HANGUP": "the broker hung up: the same client id elsewhere, its policy, or a limit",
}

# A broker was there and would not have us, whatever it is that it does not say.
TURNED_AWAY = frozenset(
    {
        "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE",
        "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED",
        "AWS_ERROR_MQTT_PROTOCOL_ERROR",  # with MQTT 3.1.1: a CONNACK that refuses
        "AWS_ERROR_MQTT_UNEXPECTED_HANGUP",
    }
)


def name_of(error: BaseException) -> str:
    """Give the name by which the client knows an error, else the name of its type."""
    name = getattr(error, "name", None)
    if isinstance(name, str) and name:
        return name
    found = _RAISED_AT_ONCE.match(str(error)) if isinstance(error, RuntimeError) else None
    return found[1] if found else type(error).__name__


def reason(error: BaseException) -> str:
    """Say why, in short: the name to search for, and what it means."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    name = name_of(error)
    return f"{name} ({TEXTS[name]})" if name in TEXTS else name

"""The independent subscriber: what really arrived at the broker.

It is paho-mqtt, which shares no code with the client that Weir publishes through. It sits beside the broker, on the far
side of the link, so that nothing that happens to the link happens to it.
"""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from demo.broker import HOST
from demo.certificates import Certificates
from demo.trouble import until

AT_LEAST_ONCE = 1
_LAST = "demo/end"


class Subscriber:
    """Subscribes to everything, and keeps every payload in order of arrival, until `close`."""

    def __init__(self, port: int, certificates: Certificates) -> None:
        """Return once the broker has granted the subscription."""
        self.payloads: list[bytes] = []
        self._granted = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="demo-subscriber")
        identity = certificates.subscriber
        self._client.tls_set(str(certificates.authority), str(identity.certificate), str(identity.key))
        self._client.on_connect = lambda client, *_: client.subscribe("#", AT_LEAST_ONCE)
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.on_message = lambda _client, _data, message: self.payloads.append(bytes(message.payload))
        self._client.connect(HOST, port)
        self._client.loop_start()
        until(self._granted.is_set, "the subscriber's subscription is granted")

    def hear_out(self) -> list[bytes]:
        """Give every payload, once everything that the broker has taken so far has arrived.

        The broker sends in the order in which it takes, so a last message of our own comes after all others.
        """
        self._client.publish(_LAST, _LAST, AT_LEAST_ONCE)
        until(lambda: _LAST.encode() in self.payloads[-1:], "the last message arrives at the subscriber")
        return self.payloads[:-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

"""A peer: paho-mqtt with its network thread, lines of a file at QoS 1. A process of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.gateway import WINDOW


def main() -> int:
    port, certificate, key, ca, topic, file = sys.argv[1:]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="peer-paho", clean_session=False)
    client.tls_set(ca, certificate, key)
    client.max_inflight_messages_set(WINDOW)
    client.max_queued_messages_set(0)
    slots = threading.Semaphore(WINDOW)
    client.on_publish = lambda *_: slots.release()
    up = threading.Event()
    client.on_connect = lambda *_: up.set()
    client.connect("localhost", int(port))
    client.loop_start()
    up.wait(30)
    with Path(file).open("rb") as lines:
        for line in lines:
            slots.acquire()
            client.publish(topic, line.rstrip(b"\n"), qos=1)
    for _ in range(WINDOW):
        slots.acquire()
    client.disconnect()
    client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

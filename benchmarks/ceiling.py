"""The ceiling: what the client library itself reaches, with nothing around it. Run as a process of its own.

One payload is published again and again, at most a window of it outstanding. The callback counts, and wakes the
producer once half of the window has come back, or all of it.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from awscrt import io, mqtt

from benchmarks.processes import Mark, Report, mark, peak_mib, write_report
from benchmarks.workload import record


class Ceiling:
    """So many publishes through one connection."""

    def __init__(self, connection: mqtt.Connection, topic: str, total: int, window: int) -> None:
        self._connection = connection
        self._topic = topic
        self._total = total
        self._window = window
        self._sent = 0
        self._wake_at = 0  # wake the producer when so many have come back
        self._woken = threading.Event()
        self.acknowledged = 0
        self.last: Mark | None = None

    def run(self) -> Mark:
        """Publish all of it and wait for every PUBACK; give the moment of the first publish."""
        publish, payload, at_least_once = self._connection.publish, record(0), mqtt.QoS.AT_LEAST_ONCE
        first = mark()
        while self.acknowledged < self._total:
            room = min(self._window - (self._sent - self.acknowledged), self._total - self._sent)
            for _ in range(room):
                future, _ = publish(self._topic, payload, at_least_once)
                future.add_done_callback(self._count)
            self._sent += room
            self._wait()
        return first

    def _wait(self) -> None:
        self._woken.clear()
        outstanding = self._sent - self.acknowledged
        self._wake_at = self._sent - (self._window // 2 if self._sent < self._total else 0)
        if outstanding and self.acknowledged < self._wake_at:
            self._woken.wait()

    def _count(self, _future: object) -> None:
        self.acknowledged += 1
        if self.acknowledged == self._total:
            self.last = mark()
        if self.acknowledged == self._wake_at:
            self._woken.set()


def connection(port: int, certificate: str, key: str, ca: str, fail: Any) -> mqtt.Connection:  # noqa: ANN401
    """Make a connection that is not clean, as Weir's; `fail` is called if it is interrupted."""
    group = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    options = io.TlsContextOptions.create_client_with_mtls_from_path(certificate, key)
    options.override_default_trust_store_from_path(None, ca)
    return mqtt.Connection(
        client=mqtt.Client(bootstrap, io.ClientTlsContext(options)),
        host_name="localhost",
        port=port,
        client_id="ceiling",
        clean_session=False,
        keep_alive_secs=30,
        on_connection_interrupted=fail,
    )


def main() -> None:
    port, certificate, key, ca, topic, total, window, report = sys.argv[1:]
    failures: list[object] = []
    client = connection(int(port), certificate, key, ca, lambda **failure: failures.append(failure))
    client.connect().result(30)
    ceiling = Ceiling(client, topic, int(total), int(window))
    first = ceiling.run()
    if failures or ceiling.last is None or client.get_stats().incomplete_operation_count:
        sys.exit(f"the connection did not hold: {failures}")
    write_report(Path(report), Report(first, ceiling.last, ceiling.acknowledged, peak_mib()))
    client.disconnect().result(5)


if __name__ == "__main__":
    main()

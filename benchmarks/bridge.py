"""A peer of another kind: a second mosquitto that bridges to the broker, fed by `mosquitto_pub`.

It keeps its queue in a snapshot file, written when it ends and every so many changes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gateway import WINDOW
from benchmarks.work import Missing
from tests.broker import Broker, mosquitto

_CONFIGURATION = """\
user root
listener 0 {place}/feed.sock
allow_anonymous true
persistence true
persistence_location {place}/
autosave_on_changes true
autosave_interval 1000
max_queued_messages 0
max_inflight_messages {window}
log_dest none
connection bridge
address localhost:{port}
bridge_cafile {ca}
bridge_certfile {certificate}
bridge_keyfile {key}
cleansession false
remote_clientid peer-bridge
topic # out 1
restart_timeout 1
"""


class Bridge:
    """The second broker: start, kill, feed."""

    def __init__(self, place: Path, broker: Broker) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._feeder = shutil.which("mosquitto_pub")
        if self._feeder is None:
            raise Missing("the bridge is fed by mosquitto_pub: apt-get install mosquitto-clients")
        to = broker.connection()
        text = _CONFIGURATION.format(
            place=place, window=WINDOW, port=to.port, ca=to.ca, certificate=to.certificate, key=to.private_key
        )
        (place / "bridge.conf").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it takes messages."""
        path = self._place / "feed.sock"
        path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [mosquitto(), "-c", str(self._place / "bridge.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
                return
            time.sleep(0.02)
        raise RuntimeError("the bridge did not start")

    def feed(self, topic: str, file: Path) -> subprocess.Popen[bytes]:
        """Begin to give it the lines of a file."""
        with file.open("rb") as lines:
            return subprocess.Popen(
                [str(self._feeder), "--unix", str(self._place / "feed.sock"), "-t", topic, "-q", "1", "-l"],
                stdin=lines,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@contextmanager
def bridged(place: Path, broker: Broker) -> Iterator[Bridge]:
    """Run a bridge for a while."""
    bridge = Bridge(place, broker)
    bridge.start()
    try:
        yield bridge
    finally:
        bridge.kill()

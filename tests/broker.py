"""A real broker for the tests: mosquitto on loopback, with mutual TLS.

Owns the process and what can be done to it. Clients come in through TLS only and must show a certificate, except by a
WebSocket; the observer has a Unix socket of its own. The broker keeps no messages over a SIGKILL, but it keeps the
observer's subscription: whoever comes first after a restart, nothing that arrives escapes the observer.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.certificates import Certificates
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.observer import Message, Observer
from weir.core.settings import ConnectionSettings

__all__ = ["Broker", "Message", "Observer"]

_PORTS = range(15_000, 32_000)  # below the ports that the system hands out: still free at the next start

_CONFIGURATION = """\
user {user}
persistence true
persistence_location {directory}/
autosave_interval 0
log_dest file {directory}/broker.log
log_type error
log_type warning
log_type notice
log_type information
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
{extra}

listener 0 {socket}
"""

_LISTENER = """
listener {port} {address}
cafile {certificates.ca}
certfile {certificates.server.certificate}
keyfile {certificates.server.key}
require_certificate true
use_identity_as_username false
"""

_WEBSOCKET_LISTENER = """
listener {websocket_port}
bind_interface lo
protocol websockets
cafile {certificates.ca}
certfile {certificates.server.certificate}
keyfile {certificates.server.key}
"""


class Broker:
    """One mosquitto: start, stop, kill, freeze, thaw; always on the same port."""

    endpoint = "localhost"

    def __init__(
        self,
        directory: Path,
        certificates: Certificates,
        *,
        extra: str = "",
        also_at: str | None = None,
        websocket: bool = False,
    ) -> None:
        """Write the configuration, with `extra` lines and the listeners asked for beside the usual; nothing runs yet.

        `also_at` is a second address for clients with a certificate; at `websocket_port` they come without one.
        """
        self.directory = directory
        self.certificates = certificates
        self.port = _free_port()
        self.websocket_port = _free_port() if websocket else None
        self.observers: list[Observer] = []
        self._binary = mosquitto()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = directory / "observer.sock"
        self._configure(extra, ["127.0.0.1", *filter(None, [also_at])])

    def _configure(self, extra: str, addresses: list[str]) -> None:
        values = {
            "user": "root" if os.geteuid() == 0 else "mosquitto",  # only root changes to another user
            "directory": self.directory,
            "certificates": self.certificates,
            "port": self.port,
            "websocket_port": self.websocket_port,
            "socket": self._socket,
            "extra": extra,
        }
        listeners = [_LISTENER.format(address=address, **values) for address in addresses]
        if self.websocket_port is not None:
            listeners.append(_WEBSOCKET_LISTENER.format(**values))
        text = _CONFIGURATION.format(**values) + "".join(listeners)
        (self.directory / "mosquitto.conf").write_text(text)

    @property
    def running(self) -> bool:
        """Say whether the process is there (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """Give all that the broker has logged so far."""
        log = self.directory / "broker.log"
        return log.read_text() if log.exists() else ""

    def connection(self, **changes: object) -> ConnectionSettings:
        """Give settings that lead here, with quick retries; `changes` replace single ones."""
        values: dict[str, object] = {
            "transport": "mqtt",
            "protocol": "mqtt311",
            "endpoint": self.endpoint,
            "port": self.port,
            "certificate": self.certificates.client.certificate,
            "private_key": self.certificates.client.key,
            "ca": self.certificates.ca,
            "client_id": "{thingName}-weir",
            "keep_alive_seconds": 30,
            "ping_timeout_seconds": 10,
            "operation_timeout_seconds": 90.0,
            "reconnect_min_seconds": 1,
            "reconnect_max_seconds": 1,
            "proxy_host": None,
            "proxy_port": 8080,
        }
        return ConnectionSettings(**(values | changes))  # type: ignore[arg-type]  # the names are the struct's own

    def observe(self, topic_filter: str = "#") -> Observer:
        """Subscribe an observer, for as long as the broker's directory exists; restarts included."""
        observer = Observer(str(self._socket), topic_filter, f"observer-{len(self.observers)}")
        self.observers.append(observer)
        if not observer.subscribed.wait(DEADLINE_SECONDS):
            raise AssertionError(f"the observer could not subscribe:\n{self.log_text()}")
        self._remember_sessions()
        return observer

    def start(self) -> None:
        """Run, and return once connections are accepted."""
        self._socket.unlink(missing_ok=True)
        command = [self._binary, "-c", str(self.directory / "mosquitto.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._accepts, what="mosquitto accepts connections")

    def stop(self) -> None:
        """End it the polite way (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill and start again, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)
        eventually(self._stopped, what="mosquitto stands still")

    def thaw(self) -> None:
        """Let it go on after a freeze (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything that belongs to this broker."""
        if self.running:
            self.kill()
        for observer in self.observers:
            observer.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if number is not signal.SIGKILL:
            self._signal(signal.SIGCONT)  # a frozen process takes no polite signal
        if self._process is not None:
            self._process.wait(DEADLINE_SECONDS)

    def _accepts(self) -> bool:
        if not self.running:
            raise AssertionError(f"mosquitto ended at its start:\n{self.log_text()}")
        with contextlib.suppress(OSError):
            for port in filter(None, (self.port, self.websocket_port)):
                socket.create_connection(("127.0.0.1", port), 1).close()
            return self._socket.exists()
        return False

    def _stopped(self) -> bool:
        if self._process is None:
            return False
        after_the_name = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2]
        return after_the_name.split()[0] == "T"

    def _remember_sessions(self) -> None:
        """Make it write its sessions to its own disk now, so that a SIGKILL does not undo the subscription."""
        database = self.directory / "mosquitto.db"
        before = database.stat().st_ino if database.exists() else None
        self._signal(signal.SIGUSR1)
        eventually(lambda: database.exists() and database.stat().st_ino != before, what="mosquitto saved its sessions")


def mosquitto() -> str:
    """Give the path of the program; without it the tests that need it fail, they are never skipped."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        raise FileNotFoundError("mosquitto is not installed: apt-get install mosquitto")
    return found


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port

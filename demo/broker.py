"""A broker on loopback with TLS: mosquitto where it is installed, else amqtt, as a process of its own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from demo.certificates import Certificates
from demo.trouble import Trouble, until
from demo.workplace import Workplace

BROKERS = ("mosquitto", "amqtt")
HOST = "localhost"

_PORTS = range(15_000, 32_000)  # below those that the system hands out to clients
_END_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe"  # MQTT 3.1.1, clean session, client id "probe"
_LET_IN = b"\x20\x02\x00\x00"

# Paths are relative: the broker runs in the directory of the demonstration, whose path may hold spaces.
_MOSQUITTO = """\
log_dest file {log}
log_type error
log_type warning
log_type notice
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
{user}

listener {port} 127.0.0.1
cafile {certificates.authority.name}
certfile {certificates.broker.certificate.name}
keyfile {certificates.broker.key.name}
require_certificate true
"""


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Broker:
    """One broker, from its start to `close`."""

    def __init__(self, workplace: Workplace, certificates: Certificates, wanted: str | None) -> None:
        """Choose it and write its configuration; nothing runs yet."""
        self.port = _free_port()
        self._workplace = workplace
        self._authority = certificates.authority
        self._process: subprocess.Popen[bytes] | None = None
        mosquitto = None if wanted == "amqtt" else find_mosquitto()
        if wanted == "mosquitto" and mosquitto is None:
            raise Trouble("mosquitto is neither on PATH nor in /usr/sbin (as root: apt install mosquitto)")
        if mosquitto is not None:
            self.name = _version(mosquitto)
            self._command = _mosquitto_command(mosquitto, workplace, certificates, self.port)
        else:
            self.name = "amqtt"
            self._command = _amqtt_command(certificates, self.port)

    def start(self) -> None:
        """Run, and return once connections are accepted."""
        with self._workplace.broker_log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._workplace.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to act on
            )
        until(self._accepts, "the broker accepts connections")

    def _accepts(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise Trouble(f"the broker ended at its start, with code {self._process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False

    def admits_without_certificate(self) -> bool:
        """Find out, by trying, whether a client gets in that shows no certificate of its own."""
        context = ssl.create_default_context(cafile=self._authority)
        with (
            socket.create_connection((HOST, self.port), _ANSWER_SECONDS) as connection,
            contextlib.suppress(ssl.SSLError, ConnectionError),  # how a broker turns somebody away
            context.wrap_socket(connection, server_hostname=HOST) as secured,
        ):
            secured.sendall(_CONNECT)
            return secured.recv(len(_LET_IN)) == _LET_IN
        return False

    def close(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _mosquitto_command(program: str, workplace: Workplace, certificates: Certificates, port: int) -> list[str]:
    text = _MOSQUITTO.format(
        log=workplace.broker_log.name,
        user="user root" if os.geteuid() == 0 else "",  # else root's mosquitto becomes a user who may not read the key
        port=port,
        certificates=certificates,
    )
    (workplace.path / "mosquitto.conf").write_text(text)
    return [program, "-c", "mosquitto.conf"]


def _amqtt_command(certificates: Certificates, port: int) -> list[str]:
    files = (certificates.authority, certificates.broker.certificate, certificates.broker.key)
    return [sys.executable, str(Path(__file__).with_name("amqtt_broker.py")), str(port), *map(str, files)]


def _version(program: str) -> str:
    """Give the first line of its help, which names its version; it has no flag that prints the version alone."""
    answer = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    return answer.stdout.partition("\n")[0].replace(" version", "") or "mosquitto"


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - any free one does
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port

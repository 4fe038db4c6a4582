"""The other ways to send lines of a file to a broker, and what has to be there for each.

Owns how each is installed and started. What cannot be had is skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import ROOT, python
from benchmarks.work import Missing
from tests.broker import Broker

_PLACE = ROOT / "build" / "peers"
_AIOMQTT = "aiomqtt==2.5.1"
_MQTTJS = "mqtt@5.16.0"


class Peer(NamedTuple):
    """A program that forwards the lines of a file, and ends when it has."""

    name: str
    command: Callable[[Broker, str, Path], list[str]]  # with the topic and the file
    environment: dict[str, str]


def mosquitto_pub() -> Peer:
    """Give the client of mosquitto. Raises `Missing`, as all of these do."""
    program = shutil.which("mosquitto_pub")
    if program is None:
        raise Missing("mosquitto_pub is not installed: apt-get install mosquitto-clients")

    def command(broker: Broker, topic: str, file: Path) -> list[str]:
        to = broker.connection()
        tls = f"--cafile {to.ca} --cert {to.certificate} --key {to.private_key}"
        return ["sh", "-c", f"exec {program} -h localhost -p {to.port} {tls} -t {topic} -q 1 -l < {file}"]

    return Peer("mosquitto_pub -l -q 1", command, {})


def paho() -> Peer:
    """Give paho-mqtt, which is locked with the tests' other libraries."""
    return Peer("paho-mqtt", _module("benchmarks.peer_paho"), {})


def aiomqtt() -> Peer:
    """Give aiomqtt, installed beside the locked libraries and only for this."""
    place = _PLACE / "python"
    if not (place / "aiomqtt").exists():
        _install([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), _AIOMQTT], _AIOMQTT)
    return Peer("aiomqtt", _module("benchmarks.peer_aiomqtt"), {"PYTHONPATH": str(place)})


def mqttjs() -> Peer:
    """Give MQTT.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("MQTT.js needs node and npm: apt-get install nodejs npm")
    if not (_PLACE / "node_modules" / "mqtt").exists():
        _PLACE.mkdir(parents=True, exist_ok=True)
        _install([npm, "install", "--silent", "--no-save", "--prefix", str(_PLACE), _MQTTJS], _MQTTJS)
    script = ROOT / "benchmarks" / "peer_mqttjs.cjs"
    return Peer(
        "MQTT.js",
        lambda broker, topic, file: [node, str(script), *_arguments(broker, topic, file)],
        {"NODE_PATH": str(_PLACE / "node_modules")},
    )


def _module(name: str) -> Callable[[Broker, str, Path], list[str]]:
    return lambda broker, topic, file: python(name, *_arguments(broker, topic, file))


def _arguments(broker: Broker, topic: str, file: Path) -> list[str]:
    to = broker.connection()
    return [str(word) for word in (to.port, to.certificate, to.private_key, to.ca, topic, file)]


def _install(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise Missing(f"{what} could not be installed (it needs the network): {done.stderr.strip().splitlines()[-1:]}")

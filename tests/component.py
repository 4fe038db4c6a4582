"""Weir as a component of a nucleus stand-in: the real process, in a work path of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conditions import eventually
from tests.device import Device, environment
from tests.nucleus import NucleusStandIn

TOPIC = "telemetry/gateway/telemetry"
DEFAULTS: dict[str, Any] = {
    "accessControl": {
        "aws.greengrass.ipc.mqttproxy": {
            "io.weir.Forwarder:publish:1": {
                "operations": ["aws.greengrass#PublishToIoTCore"],
                "resources": ["telemetry/*"],
            }
        }
    },
    "thingName": "gateway",
    "streams": {"telemetry": {"source": {"settleSeconds": 0.2}, "queue": {"mode": 4, "maxRecords": 1000}}},
    "pace": {"publishesPerSecond": "none", "bytesPerSecond": "none"},
    "state": {"commitSeconds": 0.2},
}


class ComponentDevice(Device):
    """One component: all it knows comes from the nucleus, and its work path holds inbox and state."""

    def __init__(self, work_path: Path, nucleus: NucleusStandIn, command: tuple[str, ...] = ()) -> None:
        super().__init__(work_path)
        self.nucleus = nucleus
        self._flags = command

    def arguments(self, *more: str, **_keys: object) -> list[str]:
        return [*self._flags, *more]

    def environment(self) -> dict[str, str]:
        return environment() | self.nucleus.environment()

    def write(self, name: str, records: list[bytes]) -> None:
        """Put a finished file into the inbox, all at once."""
        hidden = self.inbox / f".{name}"
        hidden.write_bytes(b"".join(record + b"\n" for record in records))
        hidden.rename(self.inbox / name)

    def begin(self, **how: Any) -> None:
        """Start it, and wait until it says so."""
        before = self.log().count("event=started")
        self.start(**how)
        eventually(lambda: self.log().count("event=started") > before or self.ended, what="it runs")
        assert not self.ended, self.log()

    @property
    def ended(self) -> bool:
        """Tell whether the process is over."""
        return self.process is None or self.process.poll() is not None


def numbered(count: int, first: int = 0) -> list[bytes]:
    """Give that many different records."""
    return [b"record %06d" % number for number in range(first, first + count)]


def payloads(nucleus: NucleusStandIn) -> list[bytes]:
    """Give what the nucleus took, in order."""
    return [message.payload for message in nucleus.published]


def handed_over(count: int) -> Callable[[dict[str, Any]], bool]:
    """Give the condition that so many records are with the nucleus."""
    return lambda status: bool(status["records"]["handedOver"] >= count)

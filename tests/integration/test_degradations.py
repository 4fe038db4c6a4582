"""What needs a person: each reason comes from its real cause and goes with it.

`metricsFileFailing`, `sourceMissing` and the dates of certificates are in test_reporting.py, `storeFailing` in
test_commands.py, `configRefused` in test_component.py.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.certificates import Certificates
from tests.component import ComponentDevice
from tests.conditions import eventually
from tests.device import Device, change
from tests.faults import jumping
from tests.nucleus import KINDS, NucleusStandIn

SECONDS = 90  # some causes have to last half a minute before anybody is told, or before all is said to be well
MEBIBYTE = 1 << 20


class Bound(Device):
    """A device whom the rights of files bind, whoever runs it."""

    def command(self, *words: str) -> list[str]:
        command = super().command(*words)
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


class Unset(Device):
    """A device that has just been switched on and has no battery for its clock, until somebody sets it."""

    @property
    def clock(self) -> Path:
        return self.directory / "clock"

    def set_clock(self, seconds_off: float) -> None:
        made = self.clock.with_suffix(".new")
        made.write_text(str(seconds_off))
        made.rename(self.clock)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.faults.jumping", *words] if words[0] == "run" else super().command(*words)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            jumping.VARIABLE: str(self.clock),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }


Make = Callable[..., Device]


@pytest.fixture
def make(tmp_path: Path, broker: Broker) -> Iterator[Make]:
    devices: list[Device] = []

    def one(path: str = "device", at: Broker = broker, kind: type[Device] = Device) -> Device:
        devices.append(kind(tmp_path / path, at))
        return devices[-1]

    yield one
    for device in devices:
        device.close()


def write(device: Device, name: str, count: int) -> None:
    (device.inbox / name).write_text("".join(f'{{"{name}":{number}}}\n' for number in range(count)))


def reasons(document: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in document["degraded"]]


def comes(device: Device, reason: str) -> str:
    """Wait until this is wrong, and nothing else; give what to do."""
    document = device.until(lambda document: reasons(document) == [reason], SECONDS, reason)
    assert f"event=degraded reason={reason} " in device.log()
    assert device.ask("status").returncode == 3
    return str(document["degraded"][0]["remedy"])


def goes(device: Device, reason: str) -> None:
    device.until(lambda document: not document["degraded"], SECONDS, f"{reason} is over")
    assert f"event=recovered reason={reason} " in device.log()


def test_a_disk_that_fills_up_and_is_emptied_again(make: Make) -> None:
    device = make()
    free = shutil.disk_usage(device.directory).free
    if free < 4_096 * MEBIBYTE:
        pytest.skip("too little disk to fill a part of it beside others who use it")
    device.start(state__minFreeBytes=free - 1_024 * MEBIBYTE)
    device.until(lambda document: document["state"] == "online")
    ballast = device.directory / "ballast"
    try:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2_048 * MEBIBYTE)
        comes(device, "diskLow")
        write(device, "a.jsonl", 5)
    finally:
        ballast.unlink()
    goes(device, "diskLow")
    device.until(lambda document: document["records"]["delivered"] == 5)


def test_a_directory_that_may_not_be_read_and_may_again(make: Make) -> None:
    device = make(kind=Bound)
    device.start()
    device.until(lambda document: document["state"] == "online")
    device.inbox.chmod(0)
    try:
        assert str(device.inbox) in comes(device, "sourceUnreadable")
    finally:
        device.inbox.chmod(0o755)
    write(device, "a.jsonl", 5)
    goes(device, "sourceUnreadable")
    device.until(lambda document: document["records"]["delivered"] == 5)


def test_a_client_id_that_two_have_until_one_of_them_stops(make: Make) -> None:
    devices = [make("one"), make("other")]
    for device in devices:
        device.start()
    for device in devices:
        assert "gateway-weir" in comes(device, "clientIdConflict")
    assert devices[0].terminate() == 0
    goes(devices[1], "clientIdConflict")


def test_a_broker_that_refuses_the_client_until_it_is_allowed(
    make: Make, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> None:
    strict = Broker(tmp_path_factory.mktemp("strict"), certificates, extra="allow_anonymous false")
    strict.start()
    try:
        device = make(at=strict)
        device.start()
        assert "gateway-weir" in comes(device, "refusedByPolicy")
        configuration = strict.directory / "mosquitto.conf"
        configuration.write_text(configuration.read_text().replace("allow_anonymous false", ""))
        strict.restart()
        goes(device, "refusedByPolicy")
    finally:
        strict.close()


def test_a_broker_that_stands_still_with_messages_until_it_goes_on(make: Make, broker: Broker) -> None:
    device = make()
    device.start(connection__keepAliveSeconds=300)
    device.until(lambda document: document["state"] == "online")
    broker.freeze()
    try:
        write(device, "a.jsonl", 5)
        comes(device, "noAck")
    finally:
        broker.thaw()
    goes(device, "noAck")
    device.until(lambda document: document["records"]["delivered"] == 5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_topic_that_the_nucleus_does_not_allow_until_it_does(tmp_path: Path, kind: str) -> None:
    def control(resource: str) -> dict[str, Any]:
        policy = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": [resource]}
        return {"aws.greengrass.ipc.mqttproxy": {"io.weir.Forwarder:publish:1": policy}}

    configuration = {
        "accessControl": control("elsewhere/*"),
        "thingName": "gateway",
        "streams": {"telemetry": {"source": {"settleSeconds": 0.2}}},
    }
    with NucleusStandIn(KINDS[kind], component="io.weir.Forwarder", configuration=configuration) as nucleus:
        device = ComponentDevice(tmp_path, nucleus)
        try:
            device.write("a.log", [b"a", b"b"])
            device.start()
            assert "accessControl" in comes(device, "publishRefused")
            nucleus.deploy(merge={"accessControl": control("telemetry/*")})
            device.until(lambda document: document["records"]["handedOver"] == 2, SECONDS)
            goes(device, "publishRefused")
        finally:
            device.close()


def test_a_clock_that_was_never_set_until_it_is(tmp_path: Path, broker: Broker) -> None:
    device = Unset(tmp_path / "device", broker)
    device.set_clock(-1_700_000_000.0)
    try:
        write(device, "a.jsonl", 5)
        device.start()
        assert "NTP" in comes(device, "clockNotSet")
        device.until(lambda document: document["records"]["delivered"] == 5)
        device.set_clock(0.0)
        goes(device, "clockNotSet")
    finally:
        device.close()


def test_counters_that_do_not_add_up_until_they_do(make: Make) -> None:
    device = make()
    write(device, "a.jsonl", 20)

    assert device.run("--once") == 0
    change(device, "UPDATE stream SET delivered = delivered + 1")
    device.start()
    eventually(lambda: "event=degraded reason=lawBroken " in device.log(), what="it is told")
    device.terminate()
    change(device, "UPDATE stream SET delivered = delivered - 1")
    device.start()
    document = device.until(lambda document: document["state"] == "online")
    assert (reasons(document), document["records"]["delivered"]) == ([], 20)

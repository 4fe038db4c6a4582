"""The whole way by MQTT 5: the real command, a real broker, refusals and a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.certificates import Certificates
from tests.device import Device

LINES = 20_000
SETTINGS: dict[str, Any] = {"connection__protocol": "mqtt5", "streams__telemetry__source__format": "jsonl"}
MakeDevice = Callable[[Broker], Device]


@pytest.fixture
def make_device(tmp_path: Path) -> Iterator[MakeDevice]:
    made: list[Device] = []

    def make_one(broker: Broker) -> Device:
        made.append(Device(tmp_path / "device", broker))
        return made[-1]

    yield make_one
    for device in made:
        device.close()


def lines(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


def write(device: Device, records: list[bytes]) -> None:
    (device.inbox / "a.jsonl").write_bytes(b"".join(record + b"\n" for record in records))


def test_twenty_thousand_lines_arrive_in_order_each_once(make_device: MakeDevice, broker: Broker) -> None:
    device, observer = make_device(broker), broker.observe()
    write(device, lines(LINES))
    assert device.run("--once", **SETTINGS) == 0, device.log()
    observer.wait_for(LINES)
    assert observer.arrived() == lines(LINES)
    assert device.status()["records"]["delivered"] == LINES


def test_after_a_kill_in_the_middle_every_line_has_arrived_and_twins_are_within_the_bound(
    make_device: MakeDevice, broker: Broker
) -> None:
    device, observer = make_device(broker), broker.observe()
    write(device, lines(LINES))
    settings = {**SETTINGS, "state__commitRecords": 500, "gate__maxInFlight": 50}
    device.start(**settings)
    observer.wait_for(LINES // 2)
    device.kill()
    assert device.run("--once", **settings) == 0, device.log()
    observer.wait_for(lambda: len(set(observer.payloads)) == LINES)
    assert list(dict.fromkeys(observer.payloads)) == lines(LINES)
    document = device.status()
    assert document["records"]["delivered"] == document["records"]["read"] == LINES
    assert len(observer.payloads) - LINES <= 500 + 50


def test_what_the_broker_refuses_is_set_aside_with_the_code_and_the_rest_arrives(
    make_device: MakeDevice, tmp_path: Path, certificates: Certificates, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "acl").write_text("topic read #\ntopic write telemetry/gateway/open\n")
    (tmp_path / "acl").chmod(0o600)
    broker = Broker(tmp_path, certificates, extra=f"acl_file {tmp_path}/acl")
    request.addfinalizer(broker.close)
    broker.start()
    device, observer = make_device(broker), broker.observe()
    places = {number: "secret" if number in {50, 51, 200} else "open" for number in range(300)}
    write(device, [b'{"n":%d,"to":"%s"}' % (number, place.encode()) for number, place in places.items()])
    settings = {**SETTINGS, "streams__telemetry__topic": "telemetry/{thingName}/{record.to}"}
    assert device.run("--once", **settings) == 0, device.log()
    good = {number for number, place in places.items() if place == "open"}
    observer.wait_for(lambda: {json.loads(payload)["n"] for payload in observer.payloads} == good)
    records = device.status()["records"]
    assert (records["read"], records["delivered"], records["quarantined"]["refused"]) == (300, 297, 3)
    listed = device.ask("quarantine", "list")
    assert listed.stdout.count("refused") == 3, listed
    assert device.log().count("0x87 not authorized") >= 3

"""What a running Weir says of itself, to Prometheus, to the broker and to a person, each from its real cause."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.broker import Broker
from tests.certificates import Certificates
from tests.component import ComponentDevice
from tests.conditions import eventually
from tests.device import Device
from tests.nucleus import KINDS, NucleusStandIn

MakeDevice = Callable[..., Device]


@pytest.fixture
def make(tmp_path: Path, broker: Broker) -> Iterator[MakeDevice]:
    devices: list[Device] = []

    def one(path: str = "device", at: Broker = broker) -> Device:
        devices.append(Device(tmp_path / path, at))
        return devices[-1]

    yield one
    for device in devices:
        device.close()


def write(device: Device, count: int) -> None:
    (device.inbox / "a.jsonl").write_text("".join(f'{{"n":{number}}}\n' for number in range(count)))


def reasons(document: dict[str, Any]) -> set[str]:
    return {one["reason"] for one in document["degraded"]}


def remedy(device: Device, reason: str) -> str:
    """Wait until this is wrong, and nothing else; give what to do."""
    document = device.until(lambda document: reason in reasons(document), what=reason)
    assert device.ask("status").returncode == 3
    (text,) = [one["remedy"] for one in document["degraded"] if one["reason"] == reason]
    return str(text)


# -- the metrics file -------------------------------------------------------------------------------------------------


def figures(path: Path) -> dict[str, float]:
    """Give the sum of each metric over its labels."""
    families = text_string_to_metric_families(path.read_text())
    return {family.name: sum(sample.value for sample in family.samples) for family in families}


def test_prometheus_reads_the_counters_of_the_status_to_the_end(make: MakeDevice) -> None:
    device = make()
    path = device.directory / "weir.prom"
    write(device, 100)
    device.start(report__metricsFile=path)
    eventually(path.exists, what="the metrics file is there")
    device.until(lambda document: document["records"]["delivered"] == 100)
    assert figures(path)["weir_up"] == 1
    assert device.terminate() == 0
    told = figures(path)
    assert (told["weir_records_read"], told["weir_records_delivered"], told["weir_records_pending"]) == (100, 100, 0)
    assert (told["weir_up"], told["weir_messages_acknowledged"]) == (0, 100)


def test_a_metrics_file_that_cannot_be_replaced_degrades_and_the_records_flow(make: MakeDevice) -> None:
    device = make()
    path = device.directory / "weir.prom"
    device.start(report__metricsFile=path, report__logSeconds=1)
    eventually(path.exists, what="the metrics file is there")
    path.unlink()
    path.mkdir()
    assert str(path) in remedy(device, "metricsFileFailing")
    write(device, 10)
    device.until(lambda document: document["records"]["delivered"] == 10)
    path.rmdir()
    device.until(lambda document: not document["degraded"])
    assert path.is_file()


# -- the status as a message ------------------------------------------------------------------------------------------


def test_the_status_is_published_again_and_again_and_is_no_record(make: MakeDevice, broker: Broker) -> None:
    observer = broker.observe("status/#")
    device = make()
    write(device, 20)
    device.start(report__topic="status/{thingName}/weir", report__topicSeconds=1)
    eventually(lambda: len(observer.messages) >= 3, what="three statuses have arrived")
    document = device.until(lambda document: document["messages"]["acknowledged"] >= 23)
    assert {message.topic for message in observer.messages} == {"status/gateway/weir"}
    told = json.loads(observer.messages[-1].payload)
    assert (told["thingName"], told["state"], told["epoch"]) == ("gateway", "online", document["epoch"])
    assert document["records"]["read"] == document["records"]["delivered"] == 20


def test_a_dry_run_says_nothing_but_what_would_be_sent(make: MakeDevice) -> None:
    device = make()
    write(device, 2)
    path = device.directory / "weir.prom"
    assert device.run("--dry-run", "--once", report__topic="status", report__metricsFile=path) == 0
    assert not path.exists()
    assert [line.split("\t")[0] for line in device.log().splitlines()] == ["telemetry/gateway/telemetry"] * 2


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        (timedelta(days=-9), timedelta(days=-1), "certificateExpired"),
        (timedelta(days=-9), timedelta(days=13), "certificateExpiring"),
        (timedelta(days=1), timedelta(days=100), "clockNotSet"),
    ],
)
def test_the_dates_of_a_certificate_are_told_until_it_is_replaced(
    make: MakeDevice, certificates: Certificates, begin: timedelta, end: timedelta, reason: str
) -> None:
    now = datetime.now(timezone.utc)
    device = make()
    certificate, key = device.directory / "device.pem", device.directory / "device.key"
    key.touch(mode=0o600)
    issued = trustme.CA().issue_cert("device@weir.test", not_before=now + begin, not_after=now + end)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    device.start(connection__certificate=certificate, connection__privateKey=key)
    assert str(certificate) in remedy(device, reason)
    certificate.write_bytes(Path(certificates.client.certificate).read_bytes())
    key.write_bytes(Path(certificates.client.key).read_bytes())
    device.until(lambda document: not document["degraded"] and document["state"] == "online")


def test_a_directory_that_is_not_there_is_told_until_it_is(make: MakeDevice) -> None:
    device = make()
    device.start()
    device.until(lambda document: document["state"] == "online")
    device.inbox.rmdir()
    assert str(device.inbox) in remedy(device, "sourceMissing")
    device.inbox.mkdir()
    write(device, 5)
    document = device.until(lambda document: document["records"]["delivered"] == 5)
    assert not document["degraded"]


# -- through a nucleus ------------------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(KINDS))
def component(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], ComponentDevice]]:
    with ExitStack() as stack:

        def begin(topic: str) -> ComponentDevice:
            policy = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["telemetry/*"]}
            configuration = {
                "accessControl": {"aws.greengrass.ipc.mqttproxy": {"io.weir.Forwarder:publish:1": policy}},
                "thingName": "gateway",
                "report": {"topic": topic, "topicSeconds": 1},
                "streams": {"telemetry": {"source": {"settleSeconds": 0.2}}},
            }
            nucleus = NucleusStandIn(KINDS[request.param], component="io.weir.Forwarder", configuration=configuration)
            stack.enter_context(nucleus)
            device = ComponentDevice(tmp_path, nucleus)
            stack.callback(device.close)
            device.write("a.log", [b"a", b"b"])
            device.start()
            return device

        yield begin


def test_a_nucleus_takes_the_status_as_well(component: Callable[[str], ComponentDevice]) -> None:
    device = component("telemetry/{thingName}/status")

    def statuses() -> list[bytes]:
        return [one.payload for one in device.nucleus.published if one.topic == "telemetry/gateway/status"]

    eventually(lambda: len(statuses()) >= 2, what="two statuses have arrived")
    assert json.loads(statuses()[-1])["transport"] == "ipc"
    document = device.until(lambda document: document["records"]["handedOver"] == 2)
    assert document["messages"]["acknowledged"] == 0


def test_a_nucleus_that_does_not_allow_the_topic_of_the_status_takes_the_records(
    component: Callable[[str], ComponentDevice],
) -> None:
    device = component("elsewhere/{thingName}")
    eventually(lambda: "event=publish_failed what=report.topic" in device.log(), what="it is told")
    assert "elsewhere/gateway" in device.log()
    document = device.until(lambda document: document["records"]["handedOver"] == 2)
    assert not document["degraded"]

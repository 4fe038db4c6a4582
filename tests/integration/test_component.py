"""Weir under a nucleus, classic and lite: from its configuration to the messages that the nucleus takes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component import DEFAULTS, TOPIC, ComponentDevice, handed_over, numbered, payloads
from tests.conditions import eventually
from tests.nucleus import CLASSIC, LITE, NucleusStandIn


@pytest.fixture
def defaults() -> dict[str, Any]:
    return DEFAULTS


@pytest.fixture
def device(tmp_path: Path, nucleus: NucleusStandIn) -> Iterator[ComponentDevice]:
    device = ComponentDevice(tmp_path, nucleus)
    yield device
    device.close()


def began_anew(device: ComponentDevice, times: int) -> None:
    eventually(lambda: device.log().count("anew=true") == times, what=f"it began anew {times} times")


# -- from the start -----------------------------------------------------------------------------------------------


def test_what_lies_in_the_inbox_is_handed_over_and_said_to_be_no_more_than_that(device: ComponentDevice) -> None:
    device.write("a.log", numbered(100))
    device.begin()
    status = device.until(handed_over(100))
    assert (status["records"]["delivered"], status["transport"], status["state"]) == (0, "ipc", "online")
    assert payloads(device.nucleus) == numbered(100)
    assert {message.topic for message in device.nucleus.published} == {TOPIC}
    [started] = [line for line in device.log().splitlines() if "event=started" in line]
    assert f"nucleus={device.nucleus.kind.name}" in started
    assert "neither a certificate is configured nor the token exchange service offered" in started
    assert "connection.certificate" in started  # what the better way needs
    assert device.terminate() == 0
    account = "read=100 delivered=0 unconfirmed=0 handedOver=100 pending=0 dropped=0 quarantined=0"
    assert f"event=stopped {account}" in device.log()


def test_a_component_without_any_configuration_goes_by_the_defaults(tmp_path: Path) -> None:
    with NucleusStandIn(LITE, component="io.weir.Forwarder", configuration=None) as nucleus:
        device = ComponentDevice(tmp_path, nucleus)
        device.begin()
        status = device.until(lambda s: s["state"] == "online")
        assert status["streams"]["telemetry"]["mode"] == "back/return-error"
        device.close()


def test_a_first_start_with_a_configuration_that_will_not_do_ends_with_78_and_says_all_of_it(
    tmp_path: Path, nucleus: NucleusStandIn
) -> None:
    device = ComponentDevice(tmp_path, nucleus)
    nucleus.deploy(merge={"gate": {"maxInFlight": "many"}, "quque": {"mode": 1}})
    assert device.run() == 78
    assert "gate.maxInFlight" in device.log()
    assert "quque" in device.log()
    assert "Traceback" not in device.log()


# -- other settings ---------------------------------------------------------------------------------------------------


def test_mode_and_limit_change_while_it_runs(device: ComponentDevice) -> None:
    device.begin()
    device.until(lambda s: s["state"] == "online")
    pid = device.status()["pid"]
    queue = {"streams": {"telemetry": {"queue": {"mode": "back/drop-front", "maxRecords": 50}}}}
    assert device.nucleus.deploy(merge=queue | {"log": {"level": "DEBUG"}}).succeeded
    status = device.until(lambda s: s["streams"]["telemetry"]["mode"] == "back/drop-front")
    assert status["pid"] == pid
    [applied] = [line for line in device.log().splitlines() if "event=config_applied" in line]
    assert "anew=false" in applied
    assert "streams.telemetry.queue.maxRecords" in applied


def test_a_deployment_of_many_keys_is_read_and_applied_once(device: ComponentDevice) -> None:
    device.begin()
    device.until(lambda s: s["state"] == "online")
    eventually(lambda: own_readings(device) == 2, what="it has read all again since it watches")
    device.nucleus.deploy(
        merge={
            "gate": {"maxInFlight": 40, "maxIncomplete": 80, "maxIncompleteBytes": 100_000, "maxInFlightBytes": 90_000},
            "pace": {"publishesPerSecond": 80, "bytesPerSecond": 100_000},
            "report": {"logSeconds": 5, "topicSeconds": 60},
        }
    )
    eventually(lambda: "event=config_applied" in device.log(), what="it is applied")
    assert device.log().count("event=config_applied") == 1
    assert "anew=false" in device.log()
    assert own_readings(device) == 3


def own_readings(device: ComponentDevice) -> int:
    return device.nucleus.calls.count("GetConfiguration") - 1  # one asks for the broker


def test_another_topic_begins_anew_in_the_same_process_and_loses_nothing(device: ComponentDevice) -> None:
    device.write("a.log", numbered(500))
    device.begin()
    pid = device.until(handed_over(500))["pid"]
    assert device.nucleus.deploy(merge={"streams": {"telemetry": {"topic": "telemetry/other"}}}).succeeded
    began_anew(device, 1)
    device.write("b.log", numbered(500, first=500))
    status = device.until(handed_over(1_000))
    assert status["pid"] == pid
    assert payloads(device.nucleus) == numbered(1_000)
    assert [message.topic for message in device.nucleus.published][500:] == ["telemetry/other"] * 500


def test_a_pipe_is_read_on_while_everything_else_begins_anew(tmp_path: Path, nucleus: NucleusStandIn) -> None:
    device = ComponentDevice(tmp_path, nucleus, ("--stdin",))
    device.begin(stdin=subprocess.PIPE)
    assert device.process is not None
    assert device.process.stdin is not None
    pipe = device.process.stdin
    fed = numbered(3_000)
    for number, record in enumerate(fed):
        if number in {1_000, 2_000}:
            pipe.write(record[:5])  # it begins anew in the middle of a line
            pipe.flush()
            nucleus.deploy(merge={"streams": {"telemetry": {"topic": f"telemetry/after-{number}"}}})
            began_anew(device, number // 1_000)
            pipe.write(record[5:] + b"\n")
        else:
            pipe.write(record + b"\n")
    pipe.close()
    assert device.process.wait(60) == 0
    status = device.status()
    assert status["records"]["read"] == status["records"]["handedOver"] == 3_000
    assert payloads(nucleus) == fed


def test_a_pipe_that_is_read_on_is_judged_by_the_new_format(tmp_path: Path, nucleus: NucleusStandIn) -> None:
    device = ComponentDevice(tmp_path, nucleus, ("--stdin",))
    device.begin(stdin=subprocess.PIPE)
    assert device.process is not None
    assert device.process.stdin is not None
    pipe = device.process.stdin
    pipe.write(b"no JSON\n")
    pipe.flush()
    device.until(handed_over(1))
    nucleus.deploy(merge={"streams": {"telemetry": {"source": {"format": "jsonl"}}}})
    began_anew(device, 1)
    pipe.write(b'no JSON\n{"n":1}\n')
    pipe.close()
    assert device.process.wait(60) == 0
    records = device.status()["records"]
    assert (records["handedOver"], records["quarantined"]["malformed"]) == (2, 1)
    assert payloads(nucleus) == [b"no JSON", b'{"n":1}']


def test_what_will_not_do_is_refused_key_by_key_and_the_last_that_did_stays_in_force(device: ComponentDevice) -> None:
    device.begin()
    device.until(lambda s: s["state"] == "online")
    bad = {"gate": {"maxInFlight": -1}, "unknown": {"key": 1}}
    deployed = device.nucleus.deploy(merge=bad)
    if device.nucleus.kind is CLASSIC:  # it asks first
        assert not deployed.succeeded
        said = deployed.reason.removeprefix("rejected: ").split("; ")
        assert [text.partition(":")[0] for text in said] == ["unknown", "gate.maxInFlight"]
        assert set(said) <= set(texts_of_check(device, {**device.nucleus.configuration(), **bad}))
        assert not device.status()["degraded"]
        return
    [degraded] = device.until(lambda s: s["degraded"])["degraded"]
    assert degraded["reason"] == "configRefused"
    assert "gate.maxInFlight" in degraded["remedy"]
    refused = [line for line in device.log().splitlines() if "event=config_refused" in line]
    assert [word in "".join(refused) for word in ("key=gate.maxInFlight", "key=unknown")] == [True, True]
    device.write("a.log", numbered(10))
    device.until(handed_over(10))
    assert device.terminate() == 0

    device.begin()  # lite starts a component again after every deployment
    assert [entry["reason"] for entry in device.until(lambda s: s["state"] == "online")["degraded"]] == [
        "configRefused"
    ]
    device.write("b.log", numbered(10, first=10))
    device.until(handed_over(20))
    device.nucleus.deploy(merge={"gate": {"maxInFlight": 5}}, reset=["/unknown"])
    device.until(lambda s: not s["degraded"])
    assert "event=recovered reason=configRefused" in device.log()


def test_what_was_refused_for_a_file_is_applied_once_the_file_is_there(tmp_path: Path, lite: NucleusStandIn) -> None:
    with contextlib.closing(ComponentDevice(tmp_path, lite)) as device:
        device.begin()
        merge = {"report": {"metricsFile": "later/weir.prom"}}
        lite.deploy(merge=merge)
        device.until(lambda s: s["degraded"])
        (tmp_path / "later").mkdir()
        lite.deploy(merge=merge)  # which changes nothing, and has it read again as it is now and then in any case
        device.until(lambda s: not s["degraded"])
        eventually((tmp_path / "later" / "weir.prom").exists, what="the metrics are written")
        assert device.log().count("event=config_refused") == 1


def texts_of_check(device: ComponentDevice, document: dict[str, Any]) -> list[str]:
    """Give the lines in which `weir check` says what is wrong with a document."""
    file = device.directory / "document.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    checked = subprocess.run(
        device.command("check", "--config", str(file)), capture_output=True, text=True, check=False
    )
    return (checked.stdout + checked.stderr).splitlines()


# -- a nucleus that is not always there -------------------------------------------------------------------------------


def test_the_ipc_daemon_restarts_and_both_records_and_configuration_come_through_again(device: ComponentDevice) -> None:
    device.write("a.log", numbered(200))
    device.begin()
    device.until(handed_over(200))
    device.nucleus.restart()
    device.write("b.log", numbered(200, first=200))
    device.until(handed_over(400), what="records go again")
    device.nucleus.deploy(merge={"streams": {"telemetry": {"queue": {"mode": 1}}}})
    device.until(lambda s: s["streams"]["telemetry"]["mode"] == "front/drop-back", what="configuration comes again")
    assert sorted(set(payloads(device.nucleus))) == numbered(400)


def test_a_nucleus_that_does_not_answer_at_the_start_is_waited_for(device: ComponentDevice) -> None:
    device.nucleus.stop()
    device.start()
    eventually(lambda: "event=connect_failed" in device.log(), what="it says that it cannot ask")
    device.nucleus.start()
    eventually(lambda: "event=started" in device.log(), what="it runs")
    device.until(lambda s: s["state"] == "online")


@pytest.mark.parametrize("blow", ["kill", "restart of the daemon"])
def test_ten_thousand_records_with_a_blow_in_the_middle_and_the_law_holds(device: ComponentDevice, blow: str) -> None:
    fed = numbered(10_000)
    device.write("a.log", fed)
    device.begin()
    device.until(handed_over(2_000))
    if blow == "kill":
        device.kill()
        device.begin()
    else:
        device.nucleus.restart()
    status = device.until(handed_over(len(fed)), seconds=120)
    assert status["records"]["read"] == status["records"]["handedOver"] == len(fed)
    arrived = payloads(device.nucleus)
    assert sorted(set(arrived)) == fed
    assert len(arrived) - len(fed) <= status["beside"]["possibleTwins"] <= status["duplicateBound"]
    assert device.ask("status", "--verify").returncode == 0
    assert device.signal(signal.SIGTERM) == 0


# -- standard input ---------------------------------------------------------------------------------------------------


def test_standard_input_that_is_at_its_end_at_once_is_refused_with_the_remedy(
    tmp_path: Path, nucleus: NucleusStandIn
) -> None:
    device = ComponentDevice(tmp_path, nucleus, ("--stdin",))
    assert device.run() == 78
    assert "streams.telemetry.source.type" in device.log()
    assert "| exec" in device.log()

"""The commands beside `run`: while it runs, after it stopped, after it was killed, and with nothing there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.certificates import make_certificates
from tests.conditions import eventually
from tests.device import Device

BACKLOG = 3_000


@pytest.fixture
def device(tmp_path: Path, stopped_broker: Broker) -> Iterator[Device]:
    device = Device(tmp_path, stopped_broker)
    yield device
    device.close()


def fill(device: Device, count: int = BACKLOG) -> list[bytes]:
    """Put a file of records into the inbox."""
    records = [b"record %d" % number for number in range(count)]
    (device.inbox / "a.log").write_bytes(b"\n".join(records) + b"\n")
    return records


def check_losses(device: Device, records: int) -> None:
    (entry,) = json.loads(device.ask("losses", "--json").stdout)
    assert (entry["stream"], entry["reason"], entry["records"]) == ("telemetry", "queueFullFront", records)
    assert entry["topic"] == "telemetry/gateway/telemetry"
    assert entry["first"] <= entry["last"]
    assert str(records) in device.ask("losses").stdout


def test_status_losses_and_the_verification_say_the_same_while_it_runs_after_a_kill_and_after_a_stop(
    device: Device, stopped_broker: Broker
) -> None:
    fill(device)
    device.start(streams__telemetry__queue__mode=3, streams__telemetry__queue__maxRecords=500)
    running = device.until(lambda s: s["records"]["read"] == BACKLOG)
    assert (running["running"], running["pid"], running["state"]) == (True, device.pid, "offline")
    assert running["streams"]["telemetry"]["mode"] == "back/drop-front"
    assert running["streams"]["telemetry"]["queueRecords"] == 500
    records = running["records"]
    assert (records["pending"], records["dropped"]["queueFullFront"]) == (500, BACKLOG - 500)
    assert device.status("--verify")["verified"] is True
    check_losses(device, BACKLOG - 500)

    device.kill()
    dead = device.status("--verify")
    assert (dead["running"], dead["pid"], dead["state"], dead["verified"]) == (False, None, "stopped", True)
    assert (dead["records"] | {"inFlight": 0}, dead["epoch"]) == (records | {"inFlight": 0}, running["epoch"])
    assert dead["thingName"] == "gateway"
    check_losses(device, BACKLOG - 500)

    stopped_broker.start()
    observer = stopped_broker.observe()
    device.start(streams__telemetry__queue__mode=3, streams__telemetry__queue__maxRecords=500)
    device.until(lambda s: s["records"]["delivered"] == 500)
    assert device.terminate() == 0
    stopped = device.status("--verify")
    assert (stopped["records"]["pending"], stopped["verified"]) == (0, True)
    assert observer.payloads == [b"record %d" % number for number in range(BACKLOG - 500, BACKLOG)]
    check_losses(device, BACKLOG - 500)


def test_a_stop_in_the_middle_of_a_backlog_is_in_order_and_the_next_run_goes_on(
    device: Device, stopped_broker: Broker
) -> None:
    records = fill(device, 20_000)
    stopped_broker.start()
    observer = stopped_broker.observe()
    device.start(pace__publishesPerSecond=2_000)
    observer.wait_for(1_000)
    assert device.terminate() == 0
    stopped = device.status("--verify")
    assert stopped["verified"] is True
    assert stopped["records"]["delivered"] < len(records)
    device.start()
    device.until(lambda s: s["records"]["delivered"] == len(records))
    assert device.terminate() == 0
    assert list(dict.fromkeys(observer.payloads)) == records
    assert len(observer.payloads) - len(records) <= device.status()["beside"]["possibleTwins"]


def test_a_pause_holds_what_is_released_and_reading_goes_on(device: Device, stopped_broker: Broker) -> None:
    stopped_broker.start()
    observer = stopped_broker.observe()
    device.start()
    device.until(lambda s: s["state"] == "online")
    assert "paused" in device.ask("pause").stdout
    fill(device, 100)
    held = device.until(lambda s: s["streams"]["telemetry"]["queueRecords"] == 100)
    assert (held["heldBy"], observer.payloads) == ("paused", [])
    assert device.ask("resume").returncode == 0
    device.until(lambda s: s["records"]["delivered"] == 100)
    assert device.terminate() == 0
    answer = device.ask("pause")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "no forwarder runs" in answer.stderr


def test_with_no_state_everything_is_zero_and_nothing_is_made(tmp_path: Path) -> None:
    device = Device(tmp_path)
    answer = device.ask("status", "--json")
    document = json.loads(answer.stdout)
    assert (answer.returncode, document["epoch"], document["running"]) == (0, None, False)
    assert (document["records"]["read"], document["records"]["balanced"]) == (0, True)
    assert json.loads(device.ask("losses", "--json").stdout) == []
    assert "nothing was dropped" in device.ask("losses").stdout
    assert device.ask("status", "--verify").returncode == 0
    assert not device.state.exists()


def test_a_broken_law_is_told_with_its_exit_code(device: Device) -> None:
    fill(device, 100)
    device.start(streams__telemetry__queue__mode=3)
    device.until(lambda s: s["records"]["pending"] == 100)
    assert device.terminate() == 0
    with sqlite3.connect(device.state / "weir.db") as database:
        database.execute("UPDATE stream SET read = read + 1")
    database.close()
    answer = device.ask("status", "--json")
    assert (answer.returncode, json.loads(answer.stdout)["records"]["balanced"]) == (1, False)
    with sqlite3.connect(device.state / "weir.db") as database:
        database.execute("UPDATE stream SET delivered = delivered + 1, pending = pending - 1, read = read + 1")
        database.execute("UPDATE stream SET delivered = delivered + 1, read = read - 1")
    database.close()
    assert device.ask("status").returncode == 0  # the counters add up among themselves
    answer = device.ask("status", "--verify")
    assert answer.returncode == 1
    assert "BROKEN" in answer.stdout


def test_a_degradation_is_told_with_its_exit_code(device: Device) -> None:
    device.start(state__minFreeBytes=1 << 40)
    found = device.until(lambda s: s["degraded"])
    assert [one["reason"] for one in found["degraded"]] == ["diskLow"]
    answer = device.ask("status")
    assert answer.returncode == 3
    assert "degraded: diskLow" in answer.stdout


def test_the_state_has_one_owner_and_the_next_one_takes_over_at_once(tmp_path: Path, device: Device) -> None:
    first = device.start()
    device.until(lambda s: s["running"])
    second = Device(tmp_path / "second", device.broker)
    second.state = device.state
    waiting = second.start()
    with pytest.raises(AssertionError):
        eventually(lambda: waiting.poll() is not None, seconds=1, what="the second one gives up at once")
    assert device.status()["pid"] == first.pid
    device.kill()
    second.until(lambda s: s["pid"] == waiting.pid)
    assert second.terminate() == 0


def test_a_state_directory_deeper_than_a_socket_address_may_be_answers_all_the_same(tmp_path: Path) -> None:
    device = Device(tmp_path / ("deep" * 30))
    device.start("--endpoint", "localhost", *_no_credentials(tmp_path))
    found = device.until(lambda s: s["running"])
    assert len(str(device.state)) > 107
    assert found["pid"] == device.pid
    assert device.terminate() == 0


def test_a_forwarder_that_does_not_answer_is_told_and_not_waited_for_without_end(device: Device) -> None:
    process = device.start()
    device.until(lambda s: s["running"])
    os.kill(process.pid, signal.SIGSTOP)
    answer = device.ask("status")
    assert answer.returncode == 75
    assert "does not answer" in answer.stderr
    os.kill(process.pid, signal.SIGCONT)
    device.until(lambda s: s["running"])
    assert device.terminate() == 0


def _no_credentials(directory: Path) -> list[str]:
    """Give the flags of a certificate that leads nowhere: nothing is listening anyway."""
    (directory / "made").mkdir()
    made = make_certificates(directory / "made")
    files = {"--cert": made.client.certificate, "--key": made.client.key, "--ca-file": made.ca}
    return [word for flag, file in files.items() for word in (flag, str(file))]

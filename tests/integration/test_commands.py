"""The commands beside `run`: while it runs, after it stopped, after it was killed, and with nothing there."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import termios
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.certificates import make_certificates
from tests.conditions import eventually
from tests.device import Device, change, environment

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
    assert observer.arrived() == [b"record %d" % number for number in range(BACKLOG - 500, BACKLOG)]
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


@pytest.mark.parametrize("pipe", [False, True], ids=["directory", "pipe"])
def test_a_stop_with_a_full_backlog_and_no_broker_is_in_order_and_loses_nothing(
    device: Device, stopped_broker: Broker, *, pipe: bool
) -> None:
    records = [b"record %d" % number for number in range(BACKLOG)]
    limit: dict[str, Any] = {"streams__telemetry__queue__maxRecords": 500}
    content = b"".join(record + b"\n" for record in records)
    reader, writer = os.pipe()
    if pipe:
        device.start("--stdin", stdin=reader, **limit)
        assert os.write(writer, content) == len(content)
        device.until(lambda s: s["sourceHeldBy"] == "queueFull" and not unread_in_pipe(writer))
    else:
        (device.inbox / "a.log").write_bytes(content)
        device.start(**limit)
        device.until(lambda s: s["sourceHeldBy"] == "queueFull")
    assert device.terminate() == 0, device.log()
    stopped = device.status("--verify")
    assert stopped["records"]["read"] == (BACKLOG if pipe else 0)  # what was taken from a pipe is in no other place
    assert stopped["records"]["pending"] == stopped["records"]["read"]

    stopped_broker.start()
    observer = stopped_broker.observe()
    os.close(reader)
    os.close(writer)
    if pipe:
        assert device.run("--stdin", "--once", stdin=b"", **limit) == 0, device.log()
    else:
        assert device.run("--once", **limit) == 0, device.log()
    assert observer.arrived() == records
    done = device.status("--verify")
    assert (done["records"]["delivered"], done["records"]["droppedTotal"]) == (BACKLOG, 0)
    assert done["beside"]["possibleTwins"] == 0


def unread_in_pipe(descriptor: int) -> int:
    """Count the bytes that lie in a pipe."""
    answer = array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    return answer[0]


def test_looking_at_the_state_of_a_killed_process_changes_nothing(device: Device) -> None:
    fill(device)
    device.start(streams__telemetry__queue__mode=3)
    device.until(lambda s: s["records"]["read"] == BACKLOG)
    device.kill()
    before = sorted((path.name, path.stat().st_mode) for path in device.state.iterdir() if path.name != "weir.db-wal")
    looks = [device.status(), device.status("--verify"), device.status()]
    device.ask("losses")
    for look in looks[1:]:
        assert {**look, "oldestPendingSeconds": 0} | {"verified": 0, "broken": 0} == (
            {**looks[0], "oldestPendingSeconds": 0} | {"verified": 0, "broken": 0}
        )
    after = sorted((path.name, path.stat().st_mode) for path in device.state.iterdir() if path.name != "weir.db-wal")
    assert after == before
    bound = looks[0]["duplicateBound"]
    assert (looks[0]["beside"]["possibleTwins"], bound) == (0, 5_000 + 50)
    device.start(streams__telemetry__queue__mode=3)
    assert device.until(lambda s: s["running"])["beside"]["possibleTwins"] == bound  # the stop before was unclean


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
    change(device, "UPDATE stream SET read = read + 1")
    answer = device.ask("status", "--json")
    assert (answer.returncode, json.loads(answer.stdout)["records"]["balanced"]) == (1, False)
    change(device, "UPDATE stream SET delivered = delivered + 2, pending = pending - 1")
    assert device.ask("status").returncode == 0  # the counters add up among themselves
    answer = device.ask("status", "--verify")
    assert answer.returncode == 1
    assert "BROKEN" in answer.stdout


def test_a_broken_law_is_told_by_the_process_that_runs_too(device: Device) -> None:
    fill(device, 100)
    device.start(streams__telemetry__queue__mode=3)
    device.until(lambda s: s["records"]["pending"] == 100)
    device.kill()
    change(device, "UPDATE stream SET delivered = delivered + 1")
    device.start(streams__telemetry__queue__mode=3)
    eventually(lambda: json.loads(device.ask("status", "--json").stdout)["running"], what="it runs")
    answer = device.ask("status", "--json", "--verify")
    document = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert (document["records"]["balanced"], document["verified"]) == (False, False)
    assert [one["reason"] for one in document["degraded"]] == ["lawBroken"]
    assert document["broken"] == [["telemetry", -1, 0]]


def test_names_that_a_terminal_would_act_on_are_shown_and_do_nothing(device: Device) -> None:
    (device.inbox / "\x1b[31m\u202eevil\n\r.jsonl").write_bytes(b"{}\nno json\n")
    (device.inbox / "sub\x07dir").mkdir()
    device.start(streams__telemetry__queue__mode=3)
    device.until(lambda s: s["records"]["quarantined"]["malformed"] == 1)
    assert device.terminate() == 0
    for line in device.log().splitlines():
        assert line.isprintable(), repr(line)
    change(device, "UPDATE stream SET name = ?", "\x1b]0;evil\x07\n\u202e")
    change(device, "INSERT INTO loss VALUES (1, ?, 'queueFullFront', 1, 2, 3, 4, 0)", "topic\x9b2J\n")
    for command in ("status", "losses"):
        shown = device.ask(command).stdout
        assert "evil" in shown
        for line in shown.splitlines():
            assert line.isprintable(), repr(line)
        assert json.loads(device.ask(command, "--json").stdout)


def test_a_degradation_is_told_with_its_exit_code(device: Device) -> None:
    device.start(state__minFreeBytes=1 << 40)
    found = device.until(lambda s: s["degraded"])
    assert [one["reason"] for one in found["degraded"]] == ["diskLow"]
    answer = device.ask("status")
    assert answer.returncode == 3
    assert "degraded: diskLow" in answer.stdout


def test_what_cannot_be_asked_while_the_store_fails_is_a_degradation(device: Device) -> None:
    device.start()
    device.until(lambda s: s["running"])
    limits = resource.prlimit(device.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(device.pid, resource.RLIMIT_FSIZE, (4_096, limits[1]))  # the log has room in that, no commit has
    fill(device, 10)
    device.until(lambda s: [one["reason"] for one in s["degraded"]] == ["storeFailing"])
    for command in (["status", "--verify"], ["status", "--verify", "--json"], ["losses"], ["losses", "--json"]):
        answer = device.ask(*command)
        assert (answer.returncode, answer.stdout) == (3, ""), answer.stderr
        _, told = answer.stderr.splitlines()  # the first one names the state
        assert told.startswith("storeFailing: the store is being opened anew, ask again soon")
    assert device.ask("status").returncode == 3
    resource.prlimit(device.pid, resource.RLIMIT_FSIZE, limits)
    device.until(lambda s: not s["degraded"])
    assert [device.ask(command).returncode for command in ("status", "losses")] == [0, 0]


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


def test_a_second_process_gives_up_in_the_end_and_says_why(tmp_path: Path, device: Device) -> None:
    device.start()
    device.until(lambda s: s["running"])
    second = Device(tmp_path / "second", device.broker)
    second.state = device.state
    program = (
        "import sys, weir.cli.run as command; command.LOCK_WAIT_SECONDS = 0.2\n"
        "from weir.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, "run", *second.arguments()],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd=second.directory,
        timeout=60,
    )
    assert (answer.returncode, answer.stdout) == (75, "")
    assert str(device.state) in answer.stderr
    assert device.status()["pid"] == device.pid


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

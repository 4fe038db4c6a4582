"""`weir quarantine` as a person gives it: while Weir runs, when it is stopped, and when it is killed over it."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.device import Device, environment

CONTROL = b'{"a": "\x1b[31m\x07'
BINARY = b"\x01\x00\xfe\xff no text"
HUGE = b'{"a": "' + b"x" * 2_000


@pytest.fixture
def device(tmp_path: Path, stopped_broker: Broker) -> Iterator[Device]:
    device = Device(tmp_path, stopped_broker)
    yield device
    device.close()


def fill(device: Device, *lines: bytes) -> None:
    (device.inbox / "a.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def start(device: Device, quarantined: int, **keys: Any) -> None:
    device.start(streams__telemetry__source__maxRecordBytes=1_000, **keys)
    device.until(lambda s: s["records"]["quarantinedTotal"] == quarantined)


def listed(device: Device) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(device.ask("quarantine", "list", "--json").stdout)
    return document


def check_looks(device: Device) -> None:
    """Look at three entries, and at one that there is not."""
    text, binary, huge = listed(device)["entries"]
    assert [(e["id"], e["reason"], e["size"], e["replayable"]) for e in (text, binary, huge)] == [
        (1, "malformed", len(CONTROL), True),
        (2, "malformed", len(BINARY), True),
        (3, "tooLarge", len(HUGE), False),
    ]
    assert (text["stream"], text["topic"], text["file"], text["place"]) == (
        *("telemetry", "telemetry/gateway/telemetry", "a.jsonl"),
        len(b'{"good":1}\n'),
    )
    assert huge["obstacle"] == f"only its first {huge['kept']} of {len(HUGE)} bytes were kept"
    for words in (["list"], ["show", "1"], ["show", "2"], ["show", "3"]):
        answer = device.ask("quarantine", *words)
        assert answer.returncode == 0, answer.stderr
        assert all(line.isprintable() for line in answer.stdout.splitlines()), answer.stdout
    assert "1b 5b 33 31 6d" in device.ask("quarantine", "show", "1").stdout
    assert "01 00 fe ff 20 6e 6f" in device.ask("quarantine", "show", "2").stdout
    shown = json.loads(device.ask("quarantine", "show", "2", "--json").stdout)
    assert base64.b64decode(shown["bytes"]) == BINARY
    assert "3 in quarantine" in device.ask("quarantine", "list").stdout
    missing = device.ask("quarantine", "show", "9")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no entry 9" in missing.stderr


def test_what_is_set_aside_can_be_looked_at_replayed_and_purged_while_it_runs(
    device: Device, stopped_broker: Broker
) -> None:
    stopped_broker.start()
    observer = stopped_broker.observe()
    fill(device, b'{"good":1}', CONTROL, BINARY, HUGE)
    start(device, 3)
    check_looks(device)
    answer = device.ask("quarantine", "replay", "2", "3", "9")
    assert (answer.returncode, answer.stdout.splitlines()[0]) == (3, "replayed 1, 2 were not")
    assert "9: there is no entry 9 in quarantine" in answer.stdout
    device.until(lambda s: s["records"]["delivered"] == 2)
    answer = device.ask("quarantine", "replay")
    assert (answer.returncode, answer.stdout.splitlines()[0]) == (0, "replayed 1, 1 were not")
    done = device.until(lambda s: s["records"]["delivered"] == 3)
    assert (done["records"]["read"], done["records"]["quarantinedTotal"], done["beside"]["replayed"]) == (6, 3, 2)
    assert Counter(observer.payloads) == Counter([b'{"good":1}', CONTROL, BINARY])
    answer = device.ask("quarantine", "purge")
    assert (answer.returncode, answer.stdout) == (0, "purged 1\n")
    assert "nothing is in quarantine" in device.ask("quarantine", "list").stdout
    assert device.status("--verify")["records"]["quarantinedTotal"] == 3
    assert device.terminate() == 0


def test_it_can_be_looked_at_and_replayed_after_a_kill_and_the_next_run_sends_it(
    device: Device, stopped_broker: Broker
) -> None:
    fill(device, b'{"good":1}', CONTROL, BINARY, HUGE)
    start(device, 3)
    device.kill()
    check_looks(device)
    assert device.ask("quarantine", "replay").stdout.splitlines()[0] == "replayed 2, 1 were not"
    assert device.ask("quarantine", "purge", "3").stdout == "purged 1\n"
    assert device.ask("quarantine", "purge", "3").returncode == 3
    status = device.status("--verify")
    assert (status["records"]["pending"], status["beside"]["replayed"], status["verified"]) == (2, 2, True)
    stopped_broker.start()
    observer = stopped_broker.observe()
    assert device.run("--once", streams__telemetry__source__maxRecordBytes=1_000) == 0, device.log()
    assert Counter(observer.payloads) == Counter([b'{"good":1}', CONTROL, BINARY])
    assert "nothing is in quarantine" in device.ask("quarantine", "list").stdout


def test_with_no_state_nothing_is_there_and_nothing_is_made(tmp_path: Path) -> None:
    device = Device(tmp_path)
    assert listed(device) == {"entries": [], "held": {"entries": 0, "bytes": 0, "notKept": 0}}
    assert device.ask("quarantine", "replay").stdout == "replayed 0\n"
    assert device.ask("quarantine", "purge").stdout == "purged 0\n"
    assert device.ask("quarantine", "show", "1").returncode == 2
    assert device.ask("quarantine", "show", "one").returncode == 2
    assert not device.state.exists()


@pytest.mark.parametrize("victim", ["forwarder", "command"])
def test_a_kill_in_the_middle_of_a_replay_neither_loses_nor_doubles_a_record(device: Device, victim: str) -> None:
    bad = [b'{"id": %d, "pad": "%s' % (number, b"x" * 100) for number in range(3_000)]
    fill(device, *bad)
    start(device, len(bad), streams__telemetry__queue__maxRecords=10_000)
    command = subprocess.Popen(
        device.command("quarantine", "replay", "--state", str(device.state)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=device.directory,
    )
    device.until(lambda s: s["beside"]["replayed"] > 0)
    if victim == "forwarder":
        device.kill()
        command.wait(60)  # it goes on with the store that nobody owns
    else:
        command.send_signal(signal.SIGKILL)
        command.wait(60)
        device.kill()
    status = device.status("--verify")
    there = listed(device)["entries"]
    assert status["verified"] is True
    assert 0 < status["beside"]["replayed"] == status["records"]["pending"] == len(bad) - len(there)
    assert status["records"]["read"] == len(bad) + status["beside"]["replayed"]


def test_a_quarantine_of_thousands_is_listed_replayed_and_purged(device: Device, stopped_broker: Broker) -> None:
    stopped_broker.start()
    bad = [b"no json %d" % number for number in range(5_000)]
    fill(device, *bad)
    start(device, len(bad))
    found = listed(device)
    assert [entry["id"] for entry in found["entries"]] == list(range(1, len(bad) + 1))
    assert len(device.ask("quarantine", "list").stdout.splitlines()) == len(bad) + 2
    every_other = [str(number) for number in range(1, len(bad), 2)]
    assert device.ask("quarantine", "purge", *every_other).stdout == "purged 2,500\n"
    assert device.ask("quarantine", "replay").stdout == "replayed 2,500\n"
    device.until(lambda s: s["records"]["delivered"] == 2_500)
    assert listed(device)["entries"] == []


def test_a_full_quarantine_says_how_many_it_only_counted(device: Device) -> None:
    fill(device, *[b"no json"] * 20)
    start(device, 20, state__quarantineMaxBytes=2_000)
    held = listed(device)["held"]
    assert held["entries"] + held["notKept"] == 20
    assert 0 < held["entries"] < 10
    assert f"{held['notKept']} more were counted but not kept" in device.ask("quarantine", "list").stdout

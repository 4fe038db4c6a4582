"""The six queue modes, as they show at the broker: what is kept, in which order, and how the rest is counted.

Every test fills the queue while the broker cannot be reached, and lets it drain afterwards.
"""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any, Literal

import pytest

from tests.broker import Broker, Observer
from tests.conditions import DEADLINE_SECONDS
from tests.device import TOPIC, Device
from tests.model.queue import DROP_MODES, HOLD_MODES, REASONS, comes_from_a_stack, kept

RECORDS = [f"reading {number:04}".encode() for number in range(1_000)]
LIMIT = 100

Feed = Literal["directory", "pipe"]


@pytest.fixture
def observer(broker: Broker) -> Observer:
    """Give an observer of a broker that cannot be reached yet."""
    observer = broker.observe()
    broker.kill()
    return observer


def begin(device: Device, feed: Feed, mode: int, records: list[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start to forward records in a mode, by the one way or the other; without any, what an earlier run left."""
    text = b"".join(record + b"\n" for record in records or [])
    flags = ("--queue-mode", str(mode), "--queue-limit", str(LIMIT))
    if feed == "directory":
        if text:
            (device.inbox / "a.log").write_bytes(text)
        return device.start(*flags, state__commitSeconds=0.2)
    process = device.start("--stdin", *flags, stdin=subprocess.PIPE, state__commitSeconds=0.2)
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    return process


def until_filled(device: Device) -> dict[str, Any]:
    status = device.until(lambda s: s["records"]["read"] == 1_000, what="everything is read and committed")
    assert (status["records"]["pending"], status["records"]["droppedTotal"]) == (LIMIT, 900)
    assert status["state"] != "online"
    return dict(status)


def drain(device: Device, broker: Broker, observer: Observer, count: int, feed: Feed) -> dict[str, Any]:
    """Let the broker come; wait until so many records are delivered, and give the last status."""
    if not broker.running:
        broker.start()
    observer.wait_for(count)
    process = device.process
    assert process is not None
    if feed == "pipe":  # the end of the input is the end of the run
        assert process.wait(DEADLINE_SECONDS) == 0, device.log()
        device.process = None
    else:
        device.until(lambda s: s["records"]["delivered"] == count)
        assert device.terminate() == 0
    status = device.status("--verify")
    assert status["verified"]
    return status


@pytest.mark.parametrize("feed", ["directory", "pipe"])
@pytest.mark.parametrize("mode", DROP_MODES)
def test_a_drop_mode_keeps_what_it_says_and_counts_the_rest(
    mode: int, feed: Feed, device: Device, broker: Broker, observer: Observer
) -> None:
    begin(device, feed, mode, RECORDS)
    assert until_filled(device)["records"]["dropped"][REASONS[mode]] == 900
    expected = kept(mode, RECORDS, LIMIT)
    status = drain(device, broker, observer, LIMIT, feed)

    assert observer.arrived() == expected
    records = status["records"]
    assert (records["read"], records["delivered"], records["pending"]) == (1_000, LIMIT, 0)
    assert {reason: number for reason, number in records["dropped"].items() if number} == {REASONS[mode]: 900}
    [loss] = json.loads(device.ask("losses", "--json").stdout)
    assert (loss["stream"], loss["topic"], loss["reason"], loss["records"]) == ("telemetry", TOPIC, REASONS[mode], 900)
    assert loss["bytes"] == sum(map(len, RECORDS)) - sum(map(len, expected))
    assert loss["first"] <= loss["last"]
    assert "event=dropped" in device.log()


@pytest.mark.parametrize("feed", ["directory", "pipe"])
@pytest.mark.parametrize("mode", HOLD_MODES)
def test_a_mode_that_holds_delivers_everything_and_drops_nothing(
    mode: int, feed: Feed, device: Device, broker: Broker, observer: Observer
) -> None:
    begin(device, feed, mode, RECORDS)
    full = device.until(lambda s: s["sourceHeldBy"] == "queueFull")
    assert full["streams"]["telemetry"]["queueRecords"] == LIMIT
    assert full["source"]["bytesUnread"] > 0
    records = drain(device, broker, observer, 1_000, feed)["records"]

    if mode == 4:
        assert observer.arrived() == RECORDS
    else:
        assert observer.payloads[0] == RECORDS[LIMIT - 1]
        assert comes_from_a_stack(observer.payloads, RECORDS, LIMIT)
    assert (records["read"], records["delivered"]) == (1_000, 1_000)
    assert records["droppedTotal"] == records["quarantinedTotal"] == records["pending"] == 0
    assert json.loads(device.ask("losses", "--json").stdout) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("feed", ["directory", "pipe"])
@pytest.mark.parametrize("mode", DROP_MODES)
def test_what_a_drop_mode_kept_is_the_same_after_a_restart(
    mode: int, feed: Feed, number: signal.Signals, *, device: Device, broker: Broker, observer: Observer
) -> None:
    begin(device, feed, mode, RECORDS)
    before = until_filled(device)
    code = device.signal(number)
    assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    device.process = None
    at_rest = device.status("--verify")
    assert at_rest["records"] == before["records"]
    assert (at_rest["running"], at_rest["epoch"]) == (False, before["epoch"])

    begin(device, feed, mode)
    status = drain(device, broker, observer, LIMIT, feed)
    assert observer.arrived() == kept(mode, RECORDS, LIMIT)
    assert (status["records"]["delivered"], status["records"]["droppedTotal"]) == (LIMIT, 900)
    assert status["epoch"] == before["epoch"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("mode", HOLD_MODES)
def test_a_directory_in_a_mode_that_holds_loses_nothing_over_a_restart(
    mode: int, number: signal.Signals, device: Device, broker: Broker, observer: Observer
) -> None:
    begin(device, "directory", mode, RECORDS)
    device.until(lambda s: s["sourceHeldBy"] == "queueFull")
    device.signal(number)
    device.process = None
    begin(device, "directory", mode)
    records = drain(device, broker, observer, 1_000, "directory")["records"]
    assert (records["delivered"], records["droppedTotal"]) == (1_000, 0)
    if mode == 4:
        assert observer.arrived() == RECORDS
    else:
        assert comes_from_a_stack(observer.payloads, RECORDS, LIMIT)

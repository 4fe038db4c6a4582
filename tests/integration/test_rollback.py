"""An older Weir on the state of a newer one: it stays up, says so, and leaves the state as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.device import Device


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    """Give a device that has run, with a state that a newer version has taken over since."""
    device = Device(tmp_path, broker)
    (device.inbox / "a.jsonl").write_bytes(b'{"n":1}\n')
    assert device.run("--once") == 0
    with sqlite3.connect(device.state / "weir.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    yield device
    device.close()


def start(device: Device) -> None:
    before = device.log().count("event=started")
    device.start()
    eventually(lambda: device.log().count("event=started") > before, what="it runs")


def test_it_stays_up_degraded_says_what_to_do_and_touches_nothing(device: Device) -> None:
    content = (device.state / "weir.db").read_bytes()
    start(device)
    degraded = device.until(lambda s: s["degraded"], what="it says that it is degraded")["degraded"]
    assert [entry["reason"] for entry in degraded] == ["storeFailing"]
    assert "store version 99" in degraded[0]["remedy"]
    assert "upgrade Weir" in degraded[0]["remedy"]
    device.terminate()
    assert (device.state / "weir.db").read_bytes() == content
    assert not list(device.state.glob("*corrupt*"))


def test_once_the_newer_version_is_back_all_is_as_it_was(device: Device) -> None:
    start(device)
    device.until(lambda s: s["degraded"], what="it says that it is degraded")
    with sqlite3.connect(device.state / "weir.db") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    status = device.until(lambda s: not s["degraded"] and s["epoch"], seconds=60, what="it goes on")
    assert status["records"]["delivered"] == 1
    assert device.terminate() == 0


def test_a_single_run_ends_with_one_line(device: Device) -> None:
    assert device.run("--once") == 1
    [line] = [line for line in device.log().splitlines() if "store version 99" in line]
    assert "upgrade Weir" in line
    assert "Traceback" not in device.log()

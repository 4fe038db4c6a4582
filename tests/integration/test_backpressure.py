"""A broker that stands still while fifty thousand records wait: bounded in flight, bounded in memory, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker, Observer
from tests.checker import Evidence, Look, judge
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.device import Device
from weir.control.protocol import ask

RECORDS = 50_000
RECORD_BYTES = 200
FILES = 5
MEBI = 1 << 20
LOOKS = 200
LIMIT = 50  # the default of maxInFlight


class Process:
    """What the kernel and the process itself say of a forwarder that runs."""

    def __init__(self, device: Device) -> None:
        assert device.process is not None
        self._device = device
        self._proc = Path(f"/proc/{device.process.pid}")

    def status(self) -> dict[str, Any]:
        answer = ask(self._device.state, {"command": "status"})
        assert answer is not None, self._device.log()
        status: dict[str, Any] = answer["status"]
        return status

    def memory(self, name: str) -> int:
        """Read VmRSS or VmHWM, in bytes."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    def forget_peak(self) -> None:
        """Let VmHWM begin anew at what is resident now."""
        (self._proc / "clear_refs").write_text("5")


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    device = Device(tmp_path, broker)
    yield device
    broker.thaw()
    device.close()


def put(device: Device) -> list[bytes]:
    """Put all records into the inbox at once."""
    records = [f'{{"n":{number},"pad":"'.encode().ljust(RECORD_BYTES - 2, b"x") + b'"}' for number in range(RECORDS)]
    share = RECORDS // FILES
    for number in range(FILES):
        made = device.directory / f"{number}.jsonl"
        made.write_bytes(b"".join(record + b"\n" for record in records[number * share : (number + 1) * share]))
        made.rename(device.inbox / made.name)
    return records


def test_a_stopped_broker_bounds_what_is_in_flight_and_in_memory(
    device: Device, broker: Broker, observer: Observer
) -> None:
    device.start()
    device.until(lambda status: status["state"] == "online", what="it is connected")
    process = Process(device)
    for _ in range(LOOKS):
        process.status()  # what answering costs is part of the idle figure
    idle = process.memory("VmRSS")
    process.forget_peak()

    broker.freeze()
    records = put(device)

    def is_held(status: dict[str, Any]) -> bool:
        assert status["records"]["inFlight"] <= LIMIT
        return bool(status["records"]["inFlight"] == LIMIT and status["sourceHeldBy"] == "queueFull")

    eventually(lambda: is_held(process.status()), what="the queue is full and the gate holds")
    for _ in range(LOOKS):
        assert process.status()["records"]["inFlight"] <= LIMIT
        assert process.memory("VmRSS") - idle < 10 * MEBI
    status = process.status()
    assert status["heldBy"] == "inFlight"
    assert status["source"]["bytesUnread"] > (RECORDS - 10_100) * RECORD_BYTES

    broker.thaw()
    while len(observer.messages) < RECORDS:
        assert process.status()["records"]["inFlight"] <= LIMIT
        arrived = len(observer.messages)
        observer.wait_for(lambda: len(observer.messages) >= min(RECORDS, arrived + 500), DEADLINE_SECONDS)  # noqa: B023
    device.until(lambda status: status["records"]["delivered"] == RECORDS, what="every answer is here")
    assert process.memory("VmHWM") - idle < 10 * MEBI  # the peak, at any moment since
    assert device.terminate() == 0
    status = device.status("--verify")
    interruptions = device.log().count("event=interrupted")  # none, unless this machine took half a minute for a breath
    looks = [Look(status, len(observer.messages), 0)]
    assert judge(Evidence(records, observer.payloads, looks, interrupted=interruptions * LIMIT)) == [], device.log()
    if not interruptions:
        home = {record: number * FILES // RECORDS for number, record in enumerate(records)}
        for file in range(FILES):
            assert [record for record in observer.payloads if home[record] == file] == [
                record for record in records if home[record] == file
            ]

"""A broker that stands still: the client is not flooded, memory does not grow, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

from tests.broker import Broker
from tests.device import Device

RECORDS = 50_000
MEBIBYTE = 1 << 20


def resident_bytes(pid: int) -> int:
    """Give what the process has in memory: VmRSS of proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process is gone")


def test_behind_a_frozen_broker_the_window_and_the_memory_keep_their_limits_and_all_is_delivered(
    tmp_path: Path, broker: Broker
) -> None:
    observer = broker.observe()
    device = Device(tmp_path, broker)
    process = device.start(streams__telemetry__source__format="jsonl")
    device.until(lambda s: s["state"] == "online")
    idle = resident_bytes(process.pid)
    broker.freeze()
    records = [json.dumps({"number": number, "padding": "x" * 160}).ljust(199).encode() for number in range(RECORDS)]
    (device.inbox / "large.tmp").write_bytes(b"\n".join(records) + b"\n")
    (device.inbox / "large.tmp").rename(device.inbox / "large.jsonl")
    held = device.until(lambda s: s["heldBy"] == "inFlight" and s["sourceHeldBy"] == "queueFull")
    for _ in range(20):
        assert held["records"]["inFlight"] <= 50
        assert held["streams"]["telemetry"]["queueRecords"] <= 10_000
        assert resident_bytes(process.pid) - idle < 10 * MEBIBYTE
        held = device.status()
    broker.thaw()
    done = device.until(lambda s: s["records"]["delivered"] == RECORDS, seconds=120)
    assert resident_bytes(process.pid) - idle < 10 * MEBIBYTE
    received = observer.wait_for(RECORDS)
    assert len(received) - RECORDS <= done["beside"]["possibleTwins"]
    assert set(observer.payloads) == set(records)
    if not done["beside"]["possibleTwins"]:
        assert observer.payloads == records
    assert device.terminate() == 0

"""The whole process with very many small files in its inbox: its memory, its descriptors, and that it gets through.

The long form, with 100,000 files, runs where `WEIR_LONG` is set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.device import Device

LONG = bool(os.environ.get("WEIR_LONG"))
FILES = 100_000 if LONG else 1_000
SECONDS = 900 if LONG else 60
RESIDENT_KIB = 64 * 1024
DESCRIPTORS = 100  # 64 files, and a few of its own


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    found = Device(tmp_path, broker)
    yield found
    found.close()


def most_resident(device: Device) -> int:
    """Give the most memory the process has had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{device.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def is_within_bounds(device: Device) -> None:
    descriptors = len(list(Path(f"/proc/{device.pid}/fd").iterdir()))
    print(f"\n{most_resident(device) / 1024:.1f} MiB, {descriptors} descriptors")  # noqa: T201 - pytest shows it if asked
    assert most_resident(device) <= RESIDENT_KIB
    assert descriptors <= DESCRIPTORS


def make_files(device: Device) -> None:
    for number in range(FILES):
        (device.inbox / f"{number:06}.jsonl").write_bytes(b'{"n":%d}\n' % number)


@pytest.mark.parametrize("on_done", ["keep", "archive", "delete"])
def test_memory_and_descriptors_stay_small_with_very_many_files(device: Device, on_done: str) -> None:
    make_files(device)
    settings: dict[str, Any] = {
        "streams__telemetry__source__onDone": on_done,
        "streams__telemetry__source__doneSeconds": 1,
    }

    def is_through() -> bool:
        left = sum(name.name[0] != "." for name in device.inbox.iterdir())
        return left == (FILES if on_done == "keep" else 0)

    for _ in range(2):
        device.start(**settings)
        device.until(lambda document: document["state"] == "online")
        device.until(lambda document: document["records"]["delivered"] == FILES, SECONDS)
        eventually(is_through, SECONDS, what="what is done is finished")
        is_within_bounds(device)
        assert device.terminate() == 0
    assert device.status("--verify")["records"]["read"] == FILES


def waiting(document: dict[str, Any]) -> int:
    return sum(stream["queueRecords"] for stream in document["streams"].values())


@pytest.mark.parametrize("mode", [4, 3])
def test_they_do_as_well_where_the_files_wait_for_a_broker(device: Device, broker: Broker, mode: int) -> None:
    make_files(device)
    broker.stop()
    device.start(streams__telemetry__queue__mode=mode, streams__telemetry__queue__maxRecords=FILES)
    device.until(lambda document: waiting(document) >= min(FILES, 2_000), SECONDS)
    broker.start()
    device.until(lambda document: document["records"]["delivered"] == FILES, SECONDS)
    is_within_bounds(device)
    assert device.terminate() == 0

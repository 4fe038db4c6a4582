"""What the limits come to is said at the start, beside what the disk has."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conditions import DEADLINE_SECONDS
from tests.device import Device
from tests.faults import disks
from weir.store.directory import RESERVE_BYTES

MEBIBYTE = 1 << 20
LIMITS = {
    "streams__telemetry__queue__mode": 3,
    "streams__telemetry__queue__maxBytes": 3 * MEBIBYTE,
    "state__quarantineMaxBytes": 2 * MEBIBYTE,
    "state__minFreeBytes": MEBIBYTE,
}
TOTAL = 5 * MEBIBYTE + RESERVE_BYTES


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[int], disks.Disk]]:
    if why := disks.probe(tmp_path):
        pytest.skip(f"SKIP: {why}")
    made: list[disks.Disk] = []

    def make(size: int) -> disks.Disk:
        made.append(disks.Memory(tmp_path, f"quotas{len(made)}", size))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path)
    yield device
    device.close()


def said(device: Device, event: str) -> list[dict[str, str]]:
    lines = [line for line in device.log().splitlines() if f"event={event} " in line]
    return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]


def run(device: Device, **keys: object) -> None:
    nowhere = ["--endpoint", "127.0.0.1", "--port", "1", "--cert", "c.pem", "--key", "k.pem"]
    process = device.start("--once", "--drain-timeout", "0.1", *nowhere, stdin=subprocess.DEVNULL, **{**LIMITS, **keys})
    process.wait(DEADLINE_SECONDS)


@pytest.fixture(autouse=True)
def credentials(device: Device) -> None:
    for name, label in (("c.pem", "CERTIFICATE"), ("k.pem", "PRIVATE KEY")):
        (device.directory / name).write_text(f"-----BEGIN {label}-----\nAA==\n-----END {label}-----\n")
        (device.directory / name).chmod(0o600)


def test_the_sum_of_the_limits_is_said_beside_what_is_free(
    device: Device, make_disk: Callable[[int], disks.Disk]
) -> None:
    device.state = make_disk(16 * MEBIBYTE).path / "state"
    run(device)
    [quotas] = said(device, "quotas")
    assert (int(quotas["total"]), int(quotas["reserve"])) == (TOTAL, RESERVE_BYTES)
    assert 14 * MEBIBYTE < int(quotas["free"]) <= 16 * MEBIBYTE
    assert not said(device, "quotas_exceed_disk")
    checked = device.ask(
        "check", *device.arguments(**LIMITS)[2:], "--endpoint", "a", "--cert", "c.pem", "--key", "k.pem"
    )
    assert f"{TOTAL} bytes, {MEBIBYTE} to be left free" in checked.stdout, checked.stdout + checked.stderr


def test_limits_that_do_not_fit_are_warned_of_until_they_do(
    device: Device, make_disk: Callable[[int], disks.Disk]
) -> None:
    device.state = make_disk(4 * MEBIBYTE).path / "state"
    run(device)
    [warning] = said(device, "quotas_exceed_disk")
    assert 3 * MEBIBYTE <= int(warning["short"]) < 4 * MEBIBYTE
    assert Path(warning["path"]) == device.state
    checked = device.ask(
        "check", *device.arguments(**LIMITS)[2:], "--endpoint", "a", "--cert", "c.pem", "--key", "k.pem"
    )
    assert "too few: free space, or lower the limits" in checked.stdout
    assert checked.returncode == 0
    run(device, streams__telemetry__queue__maxBytes=100_000, state__quarantineMaxBytes=100_000)
    assert len(said(device, "quotas")) == 2
    assert len(said(device, "quotas_exceed_disk")) == 1


def test_what_a_limit_has_taken_already_is_not_asked_for_again(
    device: Device, make_disk: Callable[[int], disks.Disk]
) -> None:
    disk = make_disk(12 * MEBIBYTE)
    device.state, device.inbox = disk.path / "state", disk.path / "inbox"
    archive = device.inbox / ".weir-archive"
    archive.mkdir(parents=True)
    (archive / "old.jsonl").write_bytes(bytes(4 * MEBIBYTE))
    limits = {"source__onDone": "archive", "source__archiveMaxBytes": 4 * MEBIBYTE}
    keys = {f"streams__telemetry__{name}": value for name, value in limits.items()}
    run(device, **keys)
    [quotas] = said(device, "quotas")
    assert int(quotas["total"]) == TOTAL + 4 * MEBIBYTE
    assert int(quotas["total"]) + MEBIBYTE > int(quotas["free"])
    assert not said(device, "quotas_exceed_disk")


def test_a_disk_of_its_own_for_an_archive_has_a_line_of_its_own(
    device: Device, make_disk: Callable[[int], disks.Disk]
) -> None:
    device.state, device.inbox = make_disk(16 * MEBIBYTE).path / "state", make_disk(MEBIBYTE).path / "inbox"
    device.inbox.mkdir()
    run(device, streams__telemetry__source__onDone="archive")
    assert [int(quotas["archive"]) for quotas in said(device, "quotas")] == [0, 64 * MEBIBYTE]
    [warning] = said(device, "quotas_exceed_disk")
    assert Path(warning["path"]) == device.inbox


def test_a_queue_without_a_limit_in_bytes_is_named_and_one_that_stays_in_its_files_counts_nothing(
    device: Device,
) -> None:
    run(device, streams__telemetry__queue__maxBytes="none")
    run(device, streams__telemetry__queue__mode=4)
    unlimited, waits = said(device, "quotas")
    assert (unlimited["unlimited"], unlimited["queue"]) == ("telemetry", "0")
    assert ("unlimited" in waits, waits["queue"]) == (False, "0")

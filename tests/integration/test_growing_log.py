"""Logs that grow while they are read, that are finished when their writer is, and that rotate under load."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.device import Device

WAYS = ("keep", "archive", "delete")
PERIOD_SECONDS = 1.0
BURST_SECONDS = 0.2
PAUSE_SECONDS = 3.0  # longer than a file may be unchanged before it counts as finished
DURATION_SECONDS = 58.0


@pytest.fixture
def devices(tmp_path: Path, broker: Broker) -> Iterator[dict[str, Device]]:
    devices = {way: Device(tmp_path / way, broker, name=way) for way in WAYS}
    yield devices
    for device in devices.values():
        device.close()


def rhythm() -> Iterator[float]:
    """Give the pauses of a writer for about a minute: mostly a second, at times a burst, at times a long silence."""
    left = DURATION_SECONDS
    for turn in range(1_000):
        pause = PAUSE_SECONDS if turn % 17 == 9 else BURST_SECONDS if turn % 5 == 3 else PERIOD_SECONDS
        left -= pause
        if left < 0:
            return
        yield pause


def test_a_log_that_grows_for_a_minute_arrives_complete_and_is_finished_when_its_writer_is(
    devices: dict[str, Device], broker: Broker
) -> None:
    """All the while one descriptor is open: the file is left alone, though it is silent for more than doneSeconds."""
    observer = broker.observe()
    logs = {way: device.inbox / "grow.log" for way, device in devices.items()}
    for way, device in devices.items():
        device.start(
            streams__telemetry__source__onDone=way,
            streams__telemetry__source__doneSeconds=2,
            streams__telemetry__source__settleSeconds=1,
        )
    writers = {way: os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for way, log in logs.items()}
    written = 0
    for pause in rhythm():
        for way, writer in writers.items():
            os.write(writer, b"%s %d\n" % (way.encode(), written))
        written += 1
        time.sleep(pause)
    expected = {way: [b"%s %d" % (way.encode(), number) for number in range(written)] for way in WAYS}
    observer.wait_for(written * len(WAYS))
    assert all(log.exists() for log in logs.values())
    for writer in writers.values():
        os.close(writer)

    archived = devices["archive"].inbox / ".weir-archive" / "grow.log"
    eventually(lambda: not logs["archive"].exists() and archived.exists(), what="the log is in the archive")
    eventually(lambda: not logs["delete"].exists(), what="the log is deleted")
    whole = b"".join(line + b"\n" for line in expected["archive"])
    assert archived.read_bytes() == whole
    assert logs["keep"].read_bytes().count(b"\n") == written
    for way, device in devices.items():
        mine = [message.payload for message in observer.messages if message.topic == f"telemetry/{way}/telemetry"]
        assert mine == expected[way]
        records = device.until(lambda s: s["records"]["delivered"] == written)["records"]
        assert records["read"] == written
        assert device.terminate() == 0
        beside = device.status("--verify")["beside"]
        assert {name: number for name, number in beside.items() if number} == {}


class RotatingLog:
    """A writer that moves its log away after so many lines and begins a new one: log, log.1, log.2 and so on."""

    def __init__(self, directory: Path, lines_a_file: int) -> None:
        self.directory = directory
        self.written: list[bytes] = []
        self._lines_a_file = lines_a_file
        self._rotations = 0
        self._in_file = 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self.directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, count: int) -> None:
        for _ in range(count):
            if self._in_file == self._lines_a_file:
                self.rotate()
            line = b"file %d line %d" % (self._rotations, self._in_file)
            os.write(self._fd, line + b"\n")
            self.written.append(line)
            self._in_file += 1

    def rotate(self) -> None:
        for number in range(self._rotations, 0, -1):
            (self.directory / f"log.{number}").rename(self.directory / f"log.{number + 1}")
        (self.directory / "log").rename(self.directory / "log.1")
        os.close(self._fd)
        self._rotations += 1
        self._in_file = 0
        self._open()

    def close(self) -> None:
        os.close(self._fd)


def by_file(payloads: list[bytes]) -> dict[bytes, list[bytes]]:
    files: dict[bytes, list[bytes]] = {}
    for payload in payloads:
        files.setdefault(payload.split()[1], []).append(payload)
    return files


def test_a_log_that_rotates_under_load_is_read_once_and_whole(device: Device, broker: Broker) -> None:
    observer = broker.observe()
    device.start(streams__telemetry__source__pattern="log*", state__commitSeconds=0.1)
    log = RotatingLog(device.inbox, 250)
    chance = random.Random(1)
    while len(log.written) < 10_000:
        log.write(chance.randint(1, 400))
        observer.wait_for(len(log.written) // 2)  # it stays ahead, but not by far
    log.close()
    observer.wait_for(len(log.written))
    records = device.until(lambda s: s["records"]["delivered"] == len(log.written))["records"]
    assert records["read"] == len(log.written)
    assert by_file(observer.payloads) == by_file(log.written)


def test_what_was_written_just_before_a_rotation_is_read_though_the_name_is_not_asked_for(
    device: Device, broker: Broker
) -> None:
    observer = broker.observe()
    device.start(streams__telemetry__source__pattern="log")
    log = RotatingLog(device.inbox, 1_000_000)
    for _ in range(5):
        log.write(50)
        observer.wait_for(len(log.written) - 49)  # the file is known
        log.write(50)
        log.rotate()
    log.close()
    observer.wait_for(len(log.written))
    device.until(lambda s: s["records"]["delivered"] == len(log.written))
    assert by_file(observer.payloads) == by_file(log.written)

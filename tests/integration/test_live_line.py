"""The live line: one line on a terminal while a backlog drains, and nothing of it anywhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS
from tests.device import Device, environment

RECORDS = 3_000


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    device = Device(tmp_path, broker)
    (device.inbox / "a.log").write_bytes(b"".join(b"record %d\n" % number for number in range(RECORDS)))
    yield device
    device.close()


def read_to_the_end(terminal: int) -> str:
    """Read what was written to a terminal until its other side is closed."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # EIO is how Linux says that nobody has the other side open
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_a_terminal_shows_what_is_done_what_is_left_and_how_fast_it_goes(device: Device) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        device.command("run", *device.arguments("--once", pace__publishesPerSecond=1_500)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment() | {"TERM": "xterm-256color", "COLUMNS": "120"},
        cwd=device.directory,
    )
    os.close(theirs)
    shown = read_to_the_end(ours)
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    os.close(ours)
    assert process.returncode == 0
    assert re.search(r"[\d,]+ done  [\d,]+ left", shown)
    assert re.search(r"[1-9][\d,]*/s", shown)
    assert "ETA" in shown
    assert "done" not in out.decode()


def test_without_a_terminal_there_is_no_live_line(device: Device) -> None:
    assert device.run("--once") == 0
    assert "left" not in device.log()
    assert "\x1b" not in device.log()

"""Whoever starts Weir may have closed its standard streams."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.device import Device, environment


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nothing_to_read_or_nowhere_to_say_it_and_no_file_takes_its_number(
    tmp_path: Path, closed: str
) -> None:
    device = Device(tmp_path)
    (device.inbox / "a.log").write_bytes(b"one\ntwo\n")
    words = device.command("run", "--dry-run", "--once", "--watch", str(device.inbox))
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == (0 if ">&-" in closed.replace("2>&-", "") else 2)
    assert b"Traceback" not in done.stderr


def test_a_closed_standard_input_is_an_input_of_nothing(tmp_path: Path) -> None:
    device = Device(tmp_path)
    words = device.command("run", "--dry-run", "--stdin")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *words],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"")

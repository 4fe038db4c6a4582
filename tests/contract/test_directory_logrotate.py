"""A log under load that the real logrotate takes away, by renaming it and by copying it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conditions import eventually
from tests.contract.inbox import Inbox

ROTATIONS = 4
LOGROTATE = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")

CONFIGURATION = """\
{log} {{
    rotate 1000
    missingok
    {how}
}}
"""


class Live(Inbox):
    """A source that is read as time passes."""

    def __init__(self, path: Path, pattern: str) -> None:
        self.read_lines: list[bytes] = []
        # On a busy machine logrotate may stand still for a second between its copy and the truncation.
        super().__init__(path, pattern=pattern, settle_seconds=3.0, done_seconds=60.0)

    def wall(self) -> float:
        return time.time()

    def step(self) -> None:
        self.now = time.monotonic()
        due = self.source.advance(self.now)
        while due is not None and due <= self.now:
            due = self.source.advance(self.now)
        self.read_lines += self.read()
        self.settle()
        self.commit()

    def scan_twice(self) -> None:
        files = self.source._files  # noqa: SLF001 - nothing else says when a scan is over
        goal = files.scan + 3
        while files.scan < goal:
            self.step()


class Writer:
    """Appends line after line, each with a number of its own, as a logger does."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.written = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        while not self._stop.is_set():
            # A logger that opens the file for each line needs nobody to tell it of a rotation.
            fd = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            for _ in range(20):
                os.write(fd, b'{"n":%d,"text":"%s"}\n' % (self.written, b"x" * (self.written % 50)))
                self.written += 1
            os.close(fd)
            time.sleep(0.0005)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def lines_of(directory: Path) -> set[bytes]:
    """Give the whole lines that the rotations have left."""
    found = b"".join(path.read_bytes() + b"\n" for path in directory.glob("app.log*"))
    return {line for line in found.split(b"\n") if is_whole(line)}


def is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed (apt install logrotate)")
@pytest.mark.parametrize("pattern", ["app.log*", "app.log"], ids=["copies-asked-for", "copies-not-asked-for"])
@pytest.mark.parametrize("how", ["create", "copytruncate"])
def test_of_a_log_that_is_rotated_under_load_everything_that_was_left_is_read_once(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, pattern: str
) -> None:
    monkeypatch.setattr("weir.sources.directory.SCAN_SECONDS", 0.05)
    configuration = tmp_path / "rotate.conf"
    log = path / "app.log"
    configuration.write_text(CONFIGURATION.format(log=log, how=how))
    configuration.chmod(0o644)
    box, writer = Live(path, pattern), Writer(log)
    try:
        for rotation in range(ROTATIONS):
            goal = writer.written + 1_000
            while writer.written < goal:
                if rotation % 3:  # else the log is rotated with much in it that nobody has read yet
                    box.step()
            command = [str(LOGROTATE), "--force", "--state", str(tmp_path / "state"), str(configuration)]
            rotating = subprocess.Popen(command)
            while rotating.poll() is None:
                box.step()
            assert rotating.returncode == 0
            box.scan_twice()  # a file that is there for less than that is never seen, whoever rotates
    finally:
        writer.stop()
    left = lines_of(path)

    def all_is_read() -> bool:
        box.step()
        return left <= set(box.read_lines)

    def nothing_is_left() -> bool:
        box.step()
        return box.source.unread() == (0, 0)

    eventually(all_is_read, what="what is left is read")
    box.scan_twice()
    eventually(nothing_is_left, what="every copy is read or known")
    assert [line for line, count in Counter(box.read_lines).items() if count > 1] == []
    assert all(is_whole(line) for line in box.read_lines)
    assert len(list(path.glob("app.log*"))) > ROTATIONS // 2
    assert len(left) > writer.written // 2
    # What is set aside is only a line that the copying itself cut in two.
    assert len(box.rejects) <= ROTATIONS * (how == "copytruncate")


# A copy, step by step: without logrotate, and with everything that can come between.


class Copied(Inbox):
    """A source whose clock of the wall is the one that files have."""

    def wall(self) -> float:
        return time.time()


LINES = [b'{"n":%d,"text":"%s"}\n' % (number, b"y" * 30) for number in range(60)]


def rotated(box: Inbox, name: str = "app.log") -> None:
    """Copy and truncate, as a rotation does."""
    log = box.path / name
    shutil.copy(log, box.path / f"{name}.1")
    os.truncate(log, 0)


def as_lines(records: list[bytes]) -> list[bytes]:
    return [record + b"\n" for record in records]


@pytest.mark.parametrize("pattern", ["*", "app.log"])
@pytest.mark.parametrize("taken", [1, 20, 40])
def test_what_was_not_read_before_a_truncation_is_read_from_the_copy(path: Path, taken: int, pattern: str) -> None:
    box = Copied(path, pattern=pattern)
    box.write("app.log", b"".join(LINES[:taken]))
    assert as_lines(box.pass_on(1.0)) == LINES[:taken]
    box.append("app.log", b"".join(LINES[taken:40]))
    rotated(box)
    box.append("app.log", b"".join(LINES[40:]))
    assert sorted(as_lines(box.pass_on(6.0))) == sorted(LINES[taken:])
    assert box.counts().truncated_bytes == 0


@pytest.mark.parametrize("pattern", ["*", "app.log"])
def test_a_rotation_that_nobody_watched_is_made_good_at_the_next_start(path: Path, pattern: str) -> None:
    box = Copied(path, pattern=pattern)
    box.write("app.log", b"".join(LINES[:20]))
    assert as_lines(box.pass_on(1.0)) == LINES[:20]
    box.source.close()
    box.append("app.log", b"".join(LINES[20:40]))
    rotated(box)
    box.append("app.log", b"".join(LINES[40:]))
    box.restart()
    assert sorted(as_lines(box.pass_on(6.0))) == sorted(LINES[20:])


@pytest.mark.parametrize("settled", [0, 7, 20])
def test_a_copy_is_known_after_a_crash_however_much_of_the_log_was_settled(path: Path, settled: int) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.look()
    reading = box.source.read(box.now, settled or 1)
    assert reading is not None
    assert reading.span is not None
    if settled:
        box.spans.append(reading.span)
    box.settle()
    box.commit()
    rotated(box)
    box.restart()
    assert len(set(box.pass_on(6.0))) == 20 - settled


def test_a_file_that_equals_a_log_that_was_not_truncated_is_a_file_of_its_own(path: Path) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(1.0)
    shutil.copy(path / "app.log", path / "app.log.1")
    assert as_lines(box.pass_on(6.0)) == LINES[:20]


def test_a_file_that_equals_a_truncated_log_and_was_made_later_is_a_file_of_its_own(path: Path) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(1.0)
    os.truncate(path / "app.log", 0)
    box.pass_on(3.0)
    noticed = time.time_ns()
    probe = path.parent / "probe"
    eventually(lambda: not probe.write_bytes(b"") and probe.stat().st_mtime_ns > noticed, what="files are newer")
    box.write("app.log.1", b"".join(LINES[:20]))
    assert as_lines(box.pass_on(6.0)) == LINES[:20]


def test_a_copy_that_is_still_being_made_is_left_alone_until_its_log_is_truncated(path: Path) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:40]))
    box.pass_on(1.0)
    for begin in range(0, 40, 10):
        box.append("app.log.1", b"".join(LINES[begin : begin + 10]))
        assert box.pass_on(1.0) == []
    os.truncate(path / "app.log", 0)
    assert box.pass_on(6.0) == []


@pytest.mark.parametrize("pattern", ["*", "app.log"])
def test_what_was_read_of_a_log_after_the_copy_was_made_does_not_make_the_copy_another_file(
    path: Path, pattern: str
) -> None:
    box = Copied(path, pattern=pattern)
    arrived = []
    for begin in range(0, 40, 10):
        box.append("app.log", b"".join(LINES[begin : begin + 10]))
        arrived += box.pass_on(1.0)
    (path / "app.log.1").write_bytes((path / "app.log").read_bytes()[:-5])
    box.append("app.log", b"".join(LINES[40:50]))
    arrived += box.pass_on(1.0)
    os.truncate(path / "app.log", 0)
    assert as_lines(arrived + box.pass_on(6.0)) == LINES[:50]
    assert box.rejects == []


def test_of_a_truncated_log_without_a_copy_what_nobody_read_is_counted(path: Path) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(1.0)
    box.append("app.log", b"".join(LINES[20:40]))
    box.look()
    os.truncate(path / "app.log", 0)
    box.pass_on(3.0)
    assert box.counts().truncated_bytes == sum(map(len, LINES[20:40]))


@pytest.mark.parametrize("restarted", [True, False])
def test_a_copy_that_nothing_proves_is_read_and_its_records_are_possible_twins(path: Path, *, restarted: bool) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(1.0)
    (path / "app.log.1").write_bytes(b"".join(LINES[:8]))  # the disk was full
    os.truncate(path / "app.log", 0)
    if restarted:
        box.restart()
    assert as_lines(box.pass_on(60.0)) == LINES[:8]
    assert box.counts().possible_twins == 8


def test_a_file_that_begins_otherwise_than_a_truncated_log_holds_no_twins(path: Path) -> None:
    box = Copied(path)
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(1.0)
    box.write("app.log.1", b"".join(LINES[1:20]))
    os.truncate(path / "app.log", 0)
    assert as_lines(box.pass_on(60.0)) == LINES[1:20]
    assert box.counts().possible_twins == 0


def test_a_log_at_rest_that_is_written_to_and_renamed_between_two_scans_is_followed(path: Path) -> None:
    box = Inbox(path, pattern="*.log")
    box.write("app.log", b"".join(LINES[:20]))
    box.pass_on(70.0)
    assert not list(box.source._files.live)  # noqa: SLF001 - it is at rest, and nothing of it is open
    box.append("app.log", LINES[20])
    (path / "app.log").rename(path / "app.old")
    box.write("app.log", LINES[21])
    assert as_lines(box.pass_on(3.0)) == LINES[20:22]

"""A directory in which nothing happens is scanned seldom, and at once when something does."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox
from weir.forwarder.inbox import Inbox as Loop
from weir.sources.alert import Alert
from weir.sources.directory import SCAN_SECONDS, SLOW_SCAN_SECONDS


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def quiet(path: Path, loop: Loop) -> Iterator[Inbox]:
    """Give a source with one file, of which all is delivered."""
    box = Inbox(path, watcher=loop)
    box.write("a.jsonl", b"1\n")
    assert box.pass_on(3) == [b"1"]
    yield box
    box.source.close()


def seconds_to_the_next_scan(box: Inbox) -> float:
    due = box.source.advance(box.now)
    assert due is not None
    return due - box.now


def test_a_directory_in_which_nothing_happens_is_scanned_seldom(quiet: Inbox) -> None:
    quiet.look(SLOW_SCAN_SECONDS)
    assert SCAN_SECONDS < seconds_to_the_next_scan(quiet) <= SLOW_SCAN_SECONDS


def append(box: Inbox) -> None:
    box.append("a.jsonl", b"2\n")


def create(box: Inbox) -> None:
    box.write("b.jsonl", b"2\n")


def move_in(box: Inbox) -> None:
    other = box.path.with_name("other.jsonl")
    other.write_bytes(b"2\n")
    other.rename(box.path / "b.jsonl")


@pytest.mark.parametrize("happens", [append, create, move_in])
def test_what_happens_in_it_is_read_without_waiting_for_the_next_scan(
    quiet: Inbox, loop: Loop, happens: Callable[[Inbox], None]
) -> None:
    happens(quiet)
    loop.wait(5.0, 1)
    quiet.look(SCAN_SECONDS)
    assert quiet.read() == [b"2"]


def test_what_happened_during_a_scan_is_not_missed(quiet: Inbox, loop: Loop) -> None:
    quiet.look(SLOW_SCAN_SECONDS)
    for number in range(2, 5):
        append(quiet)
        loop.wait(5.0, 1)
        quiet.look(SCAN_SECONDS)
        append(quiet)  # its event lies before the scan that reads it, or sets off the next one
        assert quiet.pass_on(2) == [b"2", b"2"], number


def test_a_directory_that_takes_the_place_of_another_is_seen(quiet: Inbox, loop: Loop) -> None:
    quiet.path.rename(quiet.path.with_name("before"))
    quiet.path.mkdir()
    quiet.write("b.jsonl", b"2\n")
    loop.wait(5.0, 1)
    assert quiet.pass_on(2) == [b"2"]
    quiet.look(SLOW_SCAN_SECONDS)
    quiet.append("b.jsonl", b"3\n")
    loop.wait(5.0, 1)
    quiet.look(SCAN_SECONDS)
    assert quiet.read() == [b"3"]


def test_as_long_as_a_file_waits_for_time_to_pass_it_is_scanned_as_often_as_ever(quiet: Inbox) -> None:
    quiet.write("a.jsonl", b"1\nunterminated")
    quiet.look(SLOW_SCAN_SECONDS - 1)
    quiet.look(1.0)
    assert seconds_to_the_next_scan(quiet) <= SCAN_SECONDS


@pytest.mark.parametrize("on_done", ["archive", "delete"])
def test_files_that_are_to_be_finished_are_finished_in_time(path: Path, loop: Loop, on_done: str) -> None:
    box = Inbox(path, watcher=loop, on_done=on_done, done_seconds=5.0)
    box.write("a.jsonl", b"1\n")
    assert box.pass_on(8) == [b"1"]
    assert not (path / "a.jsonl").exists()
    box.source.close()


# -- where there can be no alert --------------------------------------------------------------------------------------


def test_without_a_watch_to_be_had_the_scans_go_on_as_ever(path: Path, loop: Loop) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    alert = Alert(loop, lambda: None)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        alert.begin(directory)
        assert not alert.set()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    alert.begin(directory)
    assert alert.set()
    alert.close()
    os.close(directory)


def test_a_file_system_that_does_not_tell_of_every_change_gets_no_alert(loop: Loop) -> None:
    directory = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    alert = Alert(loop, lambda: None)
    alert.begin(directory)
    assert not alert.set()
    os.close(directory)


def test_a_flood_of_events_sets_it_off_once(path: Path, loop: Loop) -> None:
    rung: list[bool] = []
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    alert = Alert(loop, lambda: rung.append(True))
    alert.begin(directory)
    assert alert.set()
    for number in range(40_000):  # more than the kernel keeps
        (path / "file").touch() if number % 2 else (path / "file").unlink(missing_ok=True)
    for _ in range(3):
        loop.wait(0.0, 1)
    assert rung == [True]
    alert.begin(directory)
    assert alert.set()
    loop.wait(0.0, 1)
    assert rung == [True]
    alert.close()
    os.close(directory)

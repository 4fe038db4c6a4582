"""When all that a directory first showed has been read, and when that can no longer be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox, unprivileged
from weir.core.positions import FilePosition
from weir.sources import directory, opening
from weir.sources.identity import open_regular
from weir.sources.scan import Seen


def elsewhere(box: Inbox) -> Path:
    return box.path.with_name("elsewhere")


def unmount(box: Inbox) -> None:
    """Leave an empty directory in place of the inbox."""
    box.path.rename(elsewhere(box))
    box.path.mkdir()


def mount(box: Inbox) -> None:
    box.path.rmdir()
    elsewhere(box).rename(box.path)


def test_a_scan_that_fails_in_the_middle_does_not_show_what_there_is(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object) -> Iterator[Seen | None]:
        yield None
        raise OSError

    for name in "abc":
        box.write(name, b"1\n")
    with monkeypatch.context() as patch:
        patch.setattr(directory, "walk", fails)
        box.look(0.1)
    assert not box.source.exhausted()
    box.look()
    assert not box.source.exhausted(), "the next one shows it, and nothing of it was read"
    assert box.read() == [b"1", b"1", b"1"]
    assert box.source.exhausted()


def test_a_file_begun_anew_while_it_is_read_is_read_before_all_is(box: Inbox) -> None:
    box.write("a", b"old %d\n" * 1_000)
    box.look()
    assert box.source.read(box.now, 10) is not None
    os.truncate(box.path / "a", 0)
    box.append("a", b"new\n")
    box.look()
    assert box.read() == []
    assert not box.source.exhausted()
    assert box.pass_on() == [b"new"]
    assert box.source.exhausted()


def test_files_that_are_all_missing_are_said_to_be_and_read_when_they_are_back(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_OPEN", 2)
    for number in range(10):
        box.write(f"{number}", b"%d\n" % number)
    box.look()
    assert box.source.held_by() is None
    unmount(box)
    box.pass_on(30.0)
    assert box.source.held_by() == "missing"
    assert not box.source.exhausted()
    mount(box)
    box.pass_on()
    assert box.source.held_by() is None
    assert box.source.exhausted()
    assert box.counts().vanished_files == 0


def test_files_that_are_all_missing_are_not_looked_for_again_and_again(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        box.write(f"{number}", b"%d\n" % number)
    box.look()
    unmount(box)
    opened: list[bytes] = []

    def open_one(folder: int, name: bytes) -> int:
        opened.append(name)
        return open_regular(folder, name)

    monkeypatch.setattr(opening, "open_regular", open_one)
    box.pass_on(60.0)
    assert len(opened) <= 300
    mount(box)
    assert len(box.pass_on(2.0)) > 200, "all but those that were open"


def test_a_growing_file_that_is_missing_and_not_open_waits_for_no_turn(box: Inbox) -> None:
    box.write("a", b"1\n")
    box.pass_on()
    box.append("a", b"2\n")
    box.look()
    box.source._files.open.release_all()  # noqa: SLF001 - as where many files are open
    unmount(box)
    box.look()
    assert box.read() == []
    for _ in range(5):
        box.look()
        assert not box.source._files.line  # noqa: SLF001 - there are thousands of them, perhaps
    mount(box)
    assert box.pass_on() == [b"2"]


def test_known_files_are_verified_in_an_inbox_that_is_mounted_late(box: Inbox) -> None:
    box.write("a", b"old\n")
    box.pass_on()
    box.source.close()
    box.write("a", b"new\n", "r+b")
    unmount(box)
    box.restart()
    box.pass_on(3.0)
    mount(box)
    assert box.pass_on(3.0) == [b"new"]


def test_known_files_are_verified_at_once_while_nothing_else_is_to_be_read(box: Inbox) -> None:
    count = 3 * directory.VERIFY_SLICE
    for number in range(count):
        box.write(f"{number}", b"1\n")
    box.pass_on(70.0)
    box.restart()
    due = [box.source.advance(7.0) for _ in range(4)]
    assert due == [7.0, 7.0, 7.0, 7.0 + directory.SCAN_SECONDS]
    assert box.source.exhausted()
    box.restart()
    box.write("new", b"2\n")
    due = [box.source.advance(7.0) for _ in range(2)]
    assert due == [7.0 + directory.VERIFY_PAUSE] * 2, "a little at a time, while there is something to read"


def test_a_known_file_that_cannot_be_opened_any_more_does_not_keep_a_run_waiting() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        box = Inbox(path)
        secret = box.write("secret", b"x\n")
        with unprivileged(path, secret):
            box.pass_on(70.0)
            box.restart()
            secret.chmod(0)
            box.pass_on(5.0)
            assert box.source.exhausted()
            assert box.counts().skipped_files == 1
        box.source.close()


def test_a_live_file_that_cannot_be_opened_any_more_is_counted_once() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        box = Inbox(path)
        secret = box.write("secret", b"x\n")
        with unprivileged(path, secret):
            box.pass_on()
            box.source._files.open.release_all()  # noqa: SLF001 - as where many files are open
            box.append("secret", b"y\n")
            secret.chmod(0)
            box.pass_on(30.0)
            assert box.counts().skipped_files == 1
            secret.chmod(0o600)
            assert box.pass_on() == [b"y"]
        box.source.close()


# Two names


def test_a_file_at_rest_keeps_its_name_for_as_long_as_that_leads_to_it(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.write("a", b"1\n")
    (box.path / "b").hardlink_to(box.path / "a")
    box.pass_on(70.0)
    written: list[FilePosition] = []
    real = box.source.before_commit

    def before_commit() -> list[FilePosition]:
        written.extend(positions := real())
        return positions

    monkeypatch.setattr(box.source, "before_commit", before_commit)
    box.pass_on(200.0)
    assert written == []
    (name,) = box.positions()
    (box.path / os.fsdecode(name)).unlink()
    box.pass_on(3.0)
    assert list(box.positions()) == [{b"a": b"b", b"b": b"a"}[name]]
    box.append(os.fsdecode(*box.positions()), b"2\n")
    assert box.pass_on() == [b"2"]


def test_a_file_with_two_names_is_finished_under_both(path: Path) -> None:
    box = Inbox(path, on_done="delete", done_seconds=5.0)
    box.write("a", b"1\n")
    (path / "b").hardlink_to(path / "a")
    assert box.pass_on(40.0) == [b"1"]
    assert list(path.iterdir()) == []


def test_a_file_at_rest_that_changed_is_read_whichever_name_is_seen_first(box: Inbox) -> None:
    box.write("a", b"head\n1\n")
    (box.path / "b").hardlink_to(box.path / "a")
    box.pass_on(70.0)
    box.append("b", b"2\n")
    assert box.pass_on() == [b"2"]
    box.pass_on(70.0)
    os.utime(box.write("a", b"head\n3\n4\n", "r+b"), (7, 7))
    assert box.pass_on() == [b"head", b"3", b"4"]

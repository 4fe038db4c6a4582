"""A directory of which a part fails: what cannot be looked at is passed by and counted, all else is read."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox


class Entry:
    """An entry of a directory that cannot be looked at, as on a damaged disk: its name and inode are all there is."""

    def __init__(self, entry: os.DirEntry[str], error: int) -> None:
        self.name = entry.name
        self.inode = entry.inode
        self._error = error

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        assert not follow_symlinks
        raise OSError(self._error, os.strerror(self._error), self.name)


def damage(monkeypatch: pytest.MonkeyPatch, *names: str, error: int = errno.EIO) -> None:
    """Let the kernel fail wherever one of these names is looked at in a scan."""
    real = os.scandir

    @contextmanager
    def scandir(path: int) -> Iterator[Iterator[object]]:
        with real(path) as entries:
            yield (Entry(entry, error) if entry.name in names else entry for entry in entries)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize(("error", "reason"), [(errno.EIO, "io_error"), (errno.EACCES, "unreadable")])
def test_an_entry_that_cannot_be_looked_at_is_counted_once_and_the_others_are_read(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, error: int, reason: str
) -> None:
    for name in ("a", "bad", "c"):
        box.write(name, f"{name}\n".encode())
    damage(monkeypatch, "bad", error=error)
    assert sorted(box.pass_on(5.0)) == [b"a", b"c"]
    assert box.source.held_by() is None
    assert box.skipped() == {"bad": reason}
    assert box.counts().skipped_files == 1
    monkeypatch.undo()
    assert box.pass_on(2.0) == [b"bad"]
    assert box.counts().skipped_files == 1


def test_a_file_that_cannot_be_looked_at_any_more_is_not_taken_for_a_deleted_one(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open", "at rest", "stays"):
        box.write(name, b"1\n")
    box.pass_on(70.0)
    box.append("open", b"2\n")
    box.look()
    box.write("new", b"3\n" * 300)
    box.look()
    damage(monkeypatch, "open", "at rest", "new")
    box.look(10.0)
    assert box.source.unread()[1] == 2
    assert sorted(set(box.pass_on(90.0))) == [b"2", b"3"]
    assert all(row["gone_since"] is None for row in box.rows.values())
    assert box.counts().vanished_files == 0


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_that_the_disk_does_not_give_is_tried_again_but_not_all_the_time(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    box.write("fine", b"1\n")
    if not is_new:
        box.write("bad", b"1\n")
        box.pass_on(2.0)
    box.append("bad", b"2\n")
    bad = (box.path / "bad").stat().st_ino
    real = os.pread
    tries = 0

    def pread(fd: int, count: int, offset: int) -> bytes:
        nonlocal tries
        if os.fstat(fd).st_ino == bad:
            tries += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert b"2" not in box.pass_on(20.0)
    assert 1 <= tries <= 2
    assert box.skipped() == {"bad": "io_error"}
    box.append("fine", b"3\n")
    assert box.pass_on(2.0) == [b"3"]
    monkeypatch.undo()
    assert box.pass_on(60.0) == [b"2"]
    assert box.counts() == (0, 0, 0, 1, 0)


def test_a_directory_that_cannot_be_opened_just_now_is_unreadable_and_not_missing(box: Inbox) -> None:
    box.write("a", b"1\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        box.look(2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert box.source.held_by() == "unreadable"
    assert box.pass_on(2.0) == [b"1"]
    assert box.source.held_by() is None


def test_an_empty_file_that_is_gone_has_lost_nothing(path: Path) -> None:
    box = Inbox(path, on_done="delete")
    box.write("stays", b"x\n" * 20_000)
    for number in range(200):  # more than are opened ahead of their turn
        os.utime(box.write(f"empty-{number}", b""), (2_000_000_000, 2_000_000_000))
    box.look()
    for number in range(200):
        (path / f"empty-{number}").unlink()
    box.look()
    assert box.counts().vanished_files == 0


def test_a_directory_none_of_whose_entries_can_be_looked_at_is_unreadable(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        box.write(name, b"1\n")
    box.pass_on()
    damage(monkeypatch, "a", "b")
    box.look(5.0)
    assert box.source.held_by() == "unreadable"
    assert box.counts().skipped_files == 0, "it is the directory"
    monkeypatch.undo()
    box.append("a", b"2\n")
    assert box.pass_on(2.0) == [b"2"]
    assert box.source.held_by() is None

"""What becomes of finished files: kept, archived or deleted, and never while a byte of them is not accounted for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox, open_descriptors
from weir.sources import closing
from weir.sources.identity import is_at, open_for_writing


@pytest.fixture(params=["archive", "delete"])
def box(path: Path, request: pytest.FixtureRequest) -> Iterator[Inbox]:
    box = Inbox(path, on_done=request.param, done_seconds=10.0)
    yield box
    box.source.close()


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir() if not each.name.startswith("."))


def archived(path: Path) -> dict[str, bytes]:
    archive = path / ".weir-archive"
    return {each.name: each.read_bytes() for each in archive.iterdir()} if archive.exists() else {}


def test_a_file_is_finished_once_all_of_it_is_settled_and_it_is_unchanged_for_long_enough(box: Inbox) -> None:
    box.write("a", b"1\n2\n")
    box.pass_on(9.0)
    assert names(box.path) == ["a"]
    box.append("a", b"3\n")
    box.pass_on(9.0)
    assert names(box.path) == ["a"]
    box.pass_on(3.0)
    assert names(box.path) == []
    if box.settings.on_done == "archive":
        assert archived(box.path) == {"a": b"1\n2\n3\n"}
        assert stat.S_IMODE((box.path / ".weir-archive").stat().st_mode) == 0o700
    else:
        assert archived(box.path) == {}


def test_its_row_is_removed_by_a_later_commit_and_its_descriptor_is_closed(box: Inbox) -> None:
    box.write("a", b"1\n")
    box.pass_on(12.0)
    assert names(box.path) == []
    assert len(box.rows) == 1
    box.pass_on(12.0)
    assert box.rows == {}
    assert open_descriptors(box.path) == []


def test_nothing_is_finished_while_anything_of_it_is_open(box: Inbox) -> None:
    box.write("unsettled", b"1\n2\n")
    box.look()
    box.read()
    for _ in range(30):
        box.look()
        box.commit()
    assert names(box.path) == ["unsettled"]
    box.settle()
    box.look(5.0)
    assert names(box.path) == ["unsettled"], "settled, but not committed"
    box.pending = True
    box.commit()
    box.look(30.0)
    box.commit()
    assert names(box.path) == ["unsettled"], "the store still holds some of it"
    box.pending = False
    box.look(box.settings.done_seconds)
    assert names(box.path) == []


def test_a_file_of_which_much_waits_in_the_store_is_asked_about_now_and_then(box: Inbox) -> None:
    for number in range(100):
        box.write(f"{number}", b"1\n")
    box.pending = True
    box.pass_on(120.0)
    assert len(names(box.path)) == 100
    assert box.asked <= 100 * 120 / box.settings.done_seconds
    assert open_descriptors(box.path) == []
    box.pending = False
    box.pass_on(25.0)
    assert names(box.path) == []
    assert box.rows == {}


def test_a_finished_file_is_not_forgotten_while_what_arrived_late_waits(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "open_for_writing", lambda _fd: None)
    with box.write("a", b"1\n").open("ab") as writer:
        box.pass_on(12.0)
        writer.write(b"late\n")
    box.pending = True
    assert box.pass_on(30.0) == [b"late"]
    assert len(box.rows) == 1
    box.pending = False
    box.pass_on()
    assert box.rows == {}


@pytest.mark.parametrize("failing", [1, 2])
def test_what_could_not_be_made_durable_is_tried_again(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    box.write("a", b"1\n")
    synced: list[int] = []

    def sync(fd: int) -> None:
        synced.append(fd)
        if len(synced) <= failing:
            raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "fsync", sync)
    box.pass_on(14.0)
    assert len(synced) == failing + (2 if box.settings.on_done == "archive" else 1)
    assert [event for event, _ in box.events] == ["source_finish_failed"]


def test_a_file_that_somebody_has_open_for_writing_stays(box: Inbox) -> None:
    with box.write("a", b"1\n").open("ab") as writer:
        box.pass_on(60.0)
        assert names(box.path) == ["a"]
        writer.write(b"2\n")
        writer.flush()
        assert box.pass_on() == [b"2"]
    with (box.path / "a").open("rb"):
        box.pass_on(20.0)
        assert names(box.path) == [], "a reader is not in the way"


def test_where_the_kernel_cannot_tell_of_writers_the_time_decides(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "open_for_writing", lambda _fd: None)
    with box.write("a", b"1\n").open("ab") as writer:
        box.pass_on(12.0)
        assert names(box.path) == []
        writer.write(b"late\n")
        writer.flush()
        assert box.pass_on(2.0) == [b"late"]
        assert box.counts().late_bytes == 5
        writer.write(b"later")
        writer.flush()
        assert box.pass_on(4.0) == [b"later"]
    assert box.counts().late_bytes == 10
    box.pass_on(15.0)
    assert box.rows == {}
    assert open_descriptors(box.path) == []


def test_late_records_are_of_a_file_that_has_vanished(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "open_for_writing", lambda _fd: None)
    with box.write("a", b"1\n").open("ab") as writer:
        box.pass_on(12.0)
        writer.write(b"late\n")
        writer.flush()
        box.look()
        box.read()
    (span,) = box.spans
    assert span.file is not None
    assert span.file.vanished, "its record must be stored, since it cannot be read again"


def test_the_lease_tells_of_writers_and_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    fd = os.open(path, os.O_RDONLY)
    with path.open("ab"):
        assert open_for_writing(fd)
    assert open_for_writing(fd) is False
    with path.open("ab"):
        pass
    os.close(fd)
    assert open_for_writing(fd) is None


def test_a_writer_that_comes_while_the_lease_is_held_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    fd = os.open(path, os.O_RDONLY)
    heard: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _frame: heard.append(number))
    real = fcntl.fcntl

    def interrupted(fd: int, command: int, argument: int = 0) -> int:
        if argument == fcntl.F_UNLCK:
            with pytest.raises(BlockingIOError):
                os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        return int(real(fd, command, argument))

    monkeypatch.setattr(fcntl, "fcntl", interrupted)
    try:
        assert open_for_writing(fd) is False
    finally:
        signal.signal(signal.SIGURG, before)
        os.close(fd)
    assert heard == [signal.SIGURG]


def test_a_file_replaced_just_before_it_would_be_finished_stays(
    box: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_first(directory: int, name: bytes, fd: int) -> bool:
        if (tmp_path / "new").exists():
            (tmp_path / "new").rename(box.path / "a")
        return is_at(directory, name, fd)

    monkeypatch.setattr(closing, "is_at", replaced_first)
    box.write("a", b"1\n")
    box.pass_on(9.0)
    (tmp_path / "new").write_bytes(b"2\n")
    assert box.pass_on(3.0) == [b"2"]
    assert names(box.path) == ["a"]
    assert (box.path / "a").read_bytes() == b"2\n"


def test_nothing_is_followed_out_of_the_directory(box: Inbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"1\n")
    box.write("a", b"1\n")
    box.pass_on(9.0)
    (box.path / "a").unlink()
    (box.path / "a").symlink_to(victim)
    box.write("b", b"2\n")
    box.pass_on(30.0)
    assert victim.read_bytes() == b"1\n"


def test_many_finished_files_are_finished_from_rest(box: Inbox) -> None:
    for number in range(200):
        box.write(f"{number}", b"1\n")
    assert len(box.pass_on(2.0)) == 200
    assert len(open_descriptors(box.path)) <= 64
    box.pass_on(14.0)
    assert names(box.path) == []
    box.pass_on(14.0)
    assert box.rows == {}


def test_files_finished_reading_before_a_restart_are_finished_after_it(box: Inbox) -> None:
    box.write("a", b"1\n")
    box.write("b", b"2\n")
    box.pass_on(5.0)
    box.restart()
    box.pass_on(9.0)
    assert names(box.path) == ["a", "b"], "unchanged by this process's own looks"
    box.pass_on(4.0)
    assert names(box.path) == []


def test_an_empty_file_is_finished_too(box: Inbox) -> None:
    box.write("a", b"")
    box.pass_on(15.0)
    assert names(box.path) == []


def test_a_file_that_cannot_be_moved_stays_and_is_said_once(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_named: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        patch.setattr(os, "unlink", fail)
        box.write("a", b"1\n")
        box.write("b", b"2\n")
        box.pass_on(60.0)
    assert names(box.path) == ["a", "b"]
    assert [event for event, _ in box.events] == ["source_finish_failed"]
    assert box.events[0][1]["reason"] == "EROFS"
    box.append("a", b"3\n")
    assert box.pass_on() == [b"3"]
    box.now += closing.RETRY_SECONDS
    box.pass_on(15.0)
    assert names(box.path) == []


def test_names_that_return_are_archived_side_by_side(path: Path) -> None:
    box = Inbox(path, on_done="archive", done_seconds=1.0)
    for number in range(5):
        os.utime(box.write("a", b"%d\n" % number), (7, 7))
        box.pass_on(6.0)
    assert sorted(archived(path).values()) == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]
    assert set(archived(path)) == {"a", *(f"a.{7_000_000_000 + number}" for number in range(4))}
    box.write("b" * 255, b"1\n")
    box.pass_on(6.0)
    box.write("b" * 255, b"2\n")
    box.pass_on(6.0)
    assert len(archived(path)) == 7


def test_the_oldest_archived_files_leave_when_there_is_too_much(path: Path) -> None:
    box = Inbox(path, on_done="archive", done_seconds=1.0, archive_max_bytes=1_000)
    for number in range(30):
        box.write(f"{number:02}", b"x" * 99 + b"\n")
        box.pass_on(4.0)
        assert sum(map(len, archived(path).values())) <= 1_000
    assert "29" in archived(path)
    assert "00" not in archived(path)
    assert len(archived(path)) >= 9


def test_an_archive_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (path / ".weir-archive").symlink_to(tmp_path / "elsewhere")
    box = Inbox(path, on_done="archive", done_seconds=1.0)
    box.write("a", b"1\n")
    box.pass_on(10.0)
    assert names(path) == ["a"]
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("on_done", ["keep", "archive", "delete"])
def test_a_log_appended_through_one_descriptor_misses_nothing(path: Path, on_done: str) -> None:
    box = Inbox(path, on_done=on_done, done_seconds=3.0)
    records = []
    with (path / "a").open("ab", buffering=0) as writer:
        for number in range(60):
            writer.write(b"%d\n" % number)
            records += box.pass_on(1.0 if number % 10 else 8.0)
    records += box.pass_on(8.0)
    assert records == [b"%d" % number for number in range(60)]
    assert names(path) == (["a"] if on_done == "keep" else [])


@pytest.mark.parametrize("on_done", ["delete", "archive"])
def test_very_many_files_are_finished_between_scans_that_come_seldom(
    path: Path, monkeypatch: pytest.MonkeyPatch, on_done: str
) -> None:
    monkeypatch.setattr("weir.sources.directory.SCAN_SECONDS", 100.0)
    monkeypatch.setattr("weir.sources.inventory.MOST_AWAKE", 100)
    box = Inbox(path, on_done=on_done, done_seconds=10.0)
    for number in range(400):
        box.write(f"{number}", b"a\n")
    assert len(box.pass_on(30.0)) == 400
    assert len(list(path.glob("[0-9]*"))) == 400
    box.append("399", b"b\n")  # it is not what the scan will find due
    assert box.pass_on(100.0) == [b"b"]
    assert [each.name for each in path.glob("[0-9]*")] == ["399"]
    assert len(open_descriptors(path)) <= 64

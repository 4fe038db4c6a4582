"""A watched directory whose files are renamed, truncated, replaced and deleted, and a process that begins again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.inbox import Inbox
from weir.sources import descriptors, identity, recognise


def few_descriptors(monkeypatch: pytest.MonkeyPatch, box: Inbox, limit: int) -> None:
    monkeypatch.setattr(box.source._files.open, "_limit", limit)  # noqa: SLF001 - 64 files would be many to make


# Rotation


def test_a_file_is_followed_through_a_rotation_by_rename(box: Inbox) -> None:
    box.write("app.log", b"1\n2\n")
    assert box.pass_on() == [b"1", b"2"]
    for number in range(3, 30):
        with (box.path / "app.log").open("ab") as writer:
            writer.write(b"%d\n" % number)
            (box.path / "app.log").rename(box.path / f"app.log.{number}")
            box.write("app.log", b"%d new\n" % number)
            writer.write(b"%d late\n" % number)
        assert sorted(box.pass_on()) == sorted([b"%d" % number, b"%d late" % number, b"%d new" % number])
    assert box.pass_on(3.0) == []
    assert len(box.rows) == 28
    assert not any(box.counts())


@pytest.mark.parametrize("restarted", [True, False])
def test_a_file_renamed_out_of_the_pattern_is_read_to_its_end(path: Path, *, restarted: bool) -> None:
    box = Inbox(path, pattern="*.log", on_done="delete", done_seconds=5.0)
    box.write("app.log", b"1\n2\n3\n")
    box.look()
    box.source.read(box.now, 1)
    box.spans.clear()
    box.commit()
    (path / "app.log").rename(path / "app.old")
    box.write("app.log", b"4\n")
    if restarted:
        box.restart()
        assert box.pass_on() == [b"1", b"2", b"3", b"4"]
    else:
        assert box.pass_on() == [b"2", b"3", b"4"]
    box.append("app.old", b"3 late\n")
    assert box.pass_on() == [b"3 late"]
    box.pass_on(20.0)
    assert [left.name for left in path.iterdir()] == ["app.old"], (
        "what the pattern does not ask for is not ours to delete"
    )


def test_a_known_inode_out_of_the_pattern_that_is_another_file_is_not_read(path: Path) -> None:
    box = Inbox(path, pattern="*.log")
    box.write("other.log", b"x\n")
    read_and_replace(box, b"1\n", b"private\n", ".old")
    box.restart()
    assert box.pass_on(3.0) == []


def test_a_file_moved_away_while_unread_is_read_through_its_descriptor(box: Inbox, tmp_path: Path) -> None:
    box.write("stays", b"x\n")
    box.write("a", b"1\n2\n")
    box.look()
    (box.path / "a").rename(tmp_path / "a")
    with (tmp_path / "a").open("ab") as writer:
        writer.write(b"3\n")
    box.look()
    assert sorted(box.read()) == [b"1", b"2", b"3", b"x"]
    moved = next(span.file for span in box.spans if span.payload(0) == b"1")
    assert moved is not None
    assert moved.vanished, "its records cannot be read again, so they must be stored"
    with (tmp_path / "a").open("ab") as writer:
        writer.write(b"4")
    assert box.pass_on(4.0) == [b"4"]
    box.pass_on(5.0)
    with (tmp_path / "a").open("ab") as writer:
        writer.write(b"too late\n")
    assert box.pass_on(5.0) == []
    assert box.counts().vanished_files == 0


def test_a_file_deleted_while_unread_is_read_through_its_descriptor(box: Inbox) -> None:
    box.write("a", b"1\n2\n")
    box.look()
    (box.path / "a").unlink()
    assert box.pass_on(3.0) == [b"1", b"2"], "even if nothing is left to see"
    assert box.counts().vanished_files == 0


def test_a_file_that_vanished_without_a_descriptor_is_counted(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    few_descriptors(monkeypatch, box, 1)
    for name in "abcd":
        os.utime(box.write(name, b"1\n2\n"), (ord(name), ord(name)))
    box.look()
    assert box.source.read(box.now, 1) is not None
    for name in "bcd":
        (box.path / name).unlink()
    assert box.pass_on(5.0) == [b"2"]
    assert box.counts().vanished_files == 3


def test_a_vanished_file_keeps_its_descriptor_rather_than_one_that_can_be_opened_again(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_descriptors(monkeypatch, box, 2)
    os.utime(box.write("a", b"1\n2\n"), (1, 1))
    box.write("b", b"x\n")
    box.look()
    box.source.read(box.now, 1)
    (box.path / "a").unlink()
    for name in "cdef":
        box.write(name, b"y\n")
    assert sorted(box.pass_on(3.0)) == [b"2", b"x", b"y", b"y", b"y", b"y"]
    assert box.counts().vanished_files == 0


def test_a_file_that_comes_back_is_known(box: Inbox, tmp_path: Path) -> None:
    box.write("stays", b"x\n")
    box.write("a", b"1\n")
    box.pass_on(3.0)
    (box.path / "a").rename(tmp_path / "a")
    box.pass_on(10.0)
    assert list(box.positions()) == [b"stays"]
    box.restart()
    (tmp_path / "a").rename(box.path / "b")
    box.append("b", b"2\n")
    assert box.pass_on() == [b"2"]
    assert box.positions() == {b"stays": 2, b"b": 4}


def test_two_names_of_one_file_are_one_file(box: Inbox) -> None:
    box.write("a", b"1\n")
    (box.path / "b").hardlink_to(box.path / "a")
    assert box.pass_on(5.0) == [b"1"]
    (box.path / "a").unlink()
    box.append("b", b"2\n")
    assert box.pass_on(5.0) == [b"2"]


# Truncation


def test_a_truncated_file_is_read_again_as_a_new_generation(box: Inbox) -> None:
    box.write("a", b"head\n" + b"1\n" * 100)
    assert len(box.pass_on()) == 101
    os.truncate(box.path / "a", 0)
    box.append("a", b"head\n2\n")
    assert box.pass_on() == [b"head", b"2"]
    os.truncate(box.path / "a", 0)
    assert box.pass_on() == []
    box.append("a", b"3\n")
    assert box.pass_on() == [b"3"]
    assert sorted(row["generation"] for row in box.rows.values()) == [0, 1, 2]
    assert box.counts().truncated_bytes == 0
    box.restart()
    box.append("a", b"4\n")
    assert box.pass_on() == [b"4"]


def test_bytes_truncated_before_they_were_read_are_counted(box: Inbox) -> None:
    box.write("a", b"1\n" * 100)
    box.look()
    box.source.read(box.now, 10)
    os.truncate(box.path / "a", 4)
    box.append("a", b"new\n")
    assert box.pass_on(3.0) == [b"1", b"1", b"new"]  # once no scan has shown a copy
    assert box.counts().truncated_bytes == 180


def test_a_tail_cut_off_before_it_was_read_is_counted_and_the_rest_is_not_read_twice(box: Inbox) -> None:
    box.write("a", b"1\n2\nhalf a li")
    assert box.pass_on() == [b"1", b"2"]
    os.truncate(box.path / "a", 4)
    box.append("a", b"3\n")
    assert box.pass_on() == [b"3"]
    assert box.counts().truncated_bytes == 7
    assert len(box.rows) == 1


def test_a_file_rewritten_past_the_position_between_two_looks_is_noticed(box: Inbox) -> None:
    box.write("a", b"head\n1\n2\n")
    box.pass_on()
    box.write("a", b"head\n3\n4\n5\n6\n", "r+b")
    assert box.pass_on() == [b"head", b"3", b"4", b"5", b"6"]


def test_a_file_rewritten_to_the_same_size_is_noticed(box: Inbox) -> None:
    box.write("a", b"head\n1\n")
    box.pass_on()
    os.utime(box.write("a", b"head\n2\n", "r+b"), (1, 1))
    assert box.pass_on() == [b"head", b"2"]
    box.pass_on(70.0)
    os.utime(box.write("a", b"head\n3\n", "r+b"), (2, 2))
    assert box.pass_on() == [b"head", b"3"], "also when it was at rest"
    box.restart()
    os.utime(box.write("a", b"head\n4\n", "r+b"), (3, 3))
    assert box.pass_on() == [b"head", b"4"], "also while nobody looked"


def test_a_file_that_is_only_touched_is_not_read_again(box: Inbox) -> None:
    box.write("a", b"head\n1\n")
    box.pass_on(70.0)
    for seconds in range(5):
        os.utime(box.path / "a", (seconds, seconds))
        assert box.pass_on() == []
        box.restart()
    assert len(box.rows) == 1


def test_what_is_settled_of_a_generation_that_is_over_does_not_count_for_the_next(box: Inbox) -> None:
    box.write("a", b"1\n2\n3\n")
    box.look()
    box.read()
    os.truncate(box.path / "a", 0)
    box.append("a", b"4\n5\n")
    box.look()
    assert box.read() == [b"4", b"5"]
    old, new = (span.file for span in box.spans)
    assert old is not None
    assert new is not None
    assert old.vanished
    assert not new.vanished
    box.settle()
    box.commit()
    assert (old.position, new.position) == (6, 4)
    assert box.positions() == {b"a": 4}


# Identity


def read_and_replace(box: Inbox, first: bytes, second: bytes, suffix: str = ".log") -> str:
    """Read a file, then delete it and make another one that is given its inode; give the name of the first.

    Others make files too, so it may take more than one attempt; a file system that never does it is not for this test.
    """
    for attempt in range(200):
        old = box.write(f"{attempt}.log", first)
        box.pass_on(70.0)
        inode = old.stat().st_ino
        new = old.with_suffix(suffix)
        old.unlink()
        new.write_bytes(second)
        if new.stat().st_ino == inode:
            return old.name
        new.unlink()
    pytest.skip("this file system does not use an inode again")


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize(
    ("births", "content"),
    [
        (True, b"head\nnew\n"),
        (True, b"head\n1\n2\n3\n"),  # only its birth time tells it from the old one
        (True, b"other\n"),
        (False, b"head\nnew\n"),
        (False, b"other\n"),
        (False, b"head\n1\n"),
    ],
)
def test_another_file_with_the_inode_of_a_known_one_is_another_file(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, *, restarted: bool, births: bool, content: bytes
) -> None:
    if not births:
        monkeypatch.setattr(recognise, "birth_time", lambda _fd: None)
    box.write("stays", b"x\n")
    name = read_and_replace(box, b"head\n1\n2\n", content)
    if restarted:
        box.restart()
    assert box.pass_on() == content.splitlines()
    rows = [row for row in box.rows.values() if row["name"] == name.encode()]
    assert len(rows) == 2
    ids = {(row["inode"], row["birth"], row["generation"]) for row in rows}
    assert len(ids) == 2, "one id never names two records"


def test_a_long_first_line_is_known_by_its_first_1024_bytes(path: Path) -> None:
    box = Inbox(path, max_record_bytes=100_000)
    box.write("a", b"x" * 1_000)
    box.pass_on()
    box.append("a", b"x" * 1_000 + b"\n")
    box.pass_on()
    (row,) = box.rows.values()
    assert (row["head"], row["head_length"]) == (identity.digest(b"x" * 1_024), 1_024)


def test_a_head_is_learned_once_there_is_a_complete_line(box: Inbox) -> None:
    box.write("a", b"on")
    box.pass_on(4.0)
    (row,) = box.rows.values()
    assert (row["head"], row["head_length"], row["position"]) == (b"", 0, 2)
    box.append("a", b"e\ntwo\n")
    box.pass_on()
    (row,) = box.rows.values()
    assert (row["head"], row["head_length"]) == (identity.digest(b"one\n"), 4)
    assert row["tail"] == identity.digest(b"one\ntwo\n")


def test_the_stored_tail_is_of_the_bytes_before_the_stored_position(box: Inbox) -> None:
    content = b"".join(b"%d\n" % number for number in range(10_000))
    box.write("a", content)
    box.look()
    while box.source.read(box.now, 0) is None and (reading := box.source.read(box.now, 100)) is not None:
        if reading.span is not None:
            box.spans.append(reading.span)
            box.settle()
            box.commit()
            (row,) = box.rows.values()
            position = row["position"]
            assert position > 0
            assert row["tail"] == identity.digest(content[max(0, position - 256) : position])
    assert box.positions() == {b"a": len(content)}


# Beginning again


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_a_crash_at_any_point_everything_unsettled_is_read_again_and_nothing_else(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "inbox"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    box = Inbox(path)
    names = ["a", "b", "c"]
    written: set[bytes] = set()
    committed: set[bytes] = set()
    settled: set[bytes] = set()
    for step in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["write", "rotate", "read", "settle", "commit", "crash"])):
            case "write":
                lines = [b"%d-%d" % (step, number) for number in range(data.draw(st.integers(1, 4)))]
                written.update(lines)
                box.append(data.draw(st.sampled_from(names)), b"\n".join([*lines, b""]))
            case "rotate":
                name = data.draw(st.sampled_from(names))
                if (path / name).exists():
                    (path / name).rename(path / f"{name}.{step}")
            case "read":
                box.look()
                assert settled.isdisjoint(box.read(data.draw(st.integers(1, 5))))
            case "settle":
                for span in box.spans:
                    for index in data.draw(st.sets(st.integers(0, len(span) - 1))):
                        assert span.file is not None
                        span.file.account(*span.extent(index, index + 1))
                        settled.add(span.payload(index))
            case "commit":
                box.commit()
                committed = set(settled)
            case _:
                box.restart(same_boot=data.draw(st.booleans()))
                settled = set(committed)
    box.commit()
    box.restart()
    box.look()
    assert sorted(box.read()) == sorted(written - settled)
    assert not any(box.counts())
    box.source.close()


def test_only_the_newest_generation_of_a_file_is_gone_on_with(box: Inbox) -> None:
    for generation in range(4):
        box.write("a", b"head\n%d\n" % generation, "r+b" if generation else "wb")
        os.utime(box.path / "a", (generation, generation))
        assert box.pass_on() == [b"head", b"%d" % generation]
    box.write("a", b"head\n0\n", "r+b")
    box.restart()
    assert box.pass_on() == [b"head", b"0"]
    assert sorted(row["generation"] for row in box.rows.values()) == [0, 1, 2, 3, 4]


def test_after_a_commit_that_failed_the_same_positions_are_offered_again(box: Inbox) -> None:
    box.write("a", b"1\n")
    box.look()
    box.read()
    box.settle()
    assert [position.position for position in box.source.before_commit()] == [2]
    assert [position.position for position in box.source.before_commit()] == [2]
    box.commit()
    assert box.source.before_commit() == []


def test_what_was_read_can_be_committed_after_the_source_was_closed(box: Inbox) -> None:
    box.write("a", b"1\n2\n")
    box.look()
    box.source.read(box.now, 1)
    reading = box.source.read(box.now, 1)
    assert reading is not None
    assert reading.span is not None
    box.source.close()
    assert box.source.read(box.now, 1) is None
    assert box.source.advance(box.now + 10) is None
    assert reading.span.file is not None
    reading.span.file.account(0, 2)
    box.commit()
    (row,) = box.rows.values()
    assert (row["position"], row["tail"]) == (2, identity.digest(b"1\n"))


def test_many_open_files_leave_the_least_used_one(box: Inbox) -> None:
    assert descriptors.MAX_OPEN == 64
    for number in range(100):
        box.write(f"{number:03}", b"1\n")
    assert len(box.pass_on()) == 100
    box.append("000", b"2\n")
    assert box.pass_on() == [b"2"]

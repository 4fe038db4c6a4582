"""A watched directory: what is found, read, skipped and settled. Real files, a clock that is moved by hand."""

from __future__ import annotations

import os
import socket
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox, open_descriptors, unprivileged
from weir.sources import closing, directory, inventory


def lines(prefix: str, count: int) -> bytes:
    return b"".join(b"%s-%d\n" % (prefix.encode(), number) for number in range(count))


def age(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


# Reading


def test_files_are_read_in_the_order_of_their_age_then_of_their_names(box: Inbox) -> None:
    for name, seconds in (("c", 1), ("b", 3), ("a", 3), ("d", 2)):
        age(box.write(name, name.encode() + b"\n"), seconds)
    box.look()
    assert box.read() == [b"c", b"d", b"a", b"b"]
    age(box.write("old-but-late", b"e\n"), 0)
    box.append("a", b"a2\n")
    box.look()
    assert box.read() == [b"a2", b"e"], "what an earlier scan saw goes first"


def test_growing_files_take_turns(box: Inbox) -> None:
    age(box.write("a", lines("a", 300)), 1)
    box.write("b", lines("b", 3))
    box.look()
    first = box.source.read(box.now, 256)
    assert first is not None
    assert first.span is not None
    box.append("a", b"late\n")
    box.look()
    rest = box.read()
    assert rest[44:47] == [b"b-0", b"b-1", b"b-2"]
    box.look()
    assert rest[47:] + box.read() == [b"late"]


def test_a_span_holds_256_records_or_one_block(box: Inbox) -> None:
    box.write("short", b"x\n" * 1_000)
    box.write("long", (b"y" * 999 + b"\n") * 100)
    box.look()
    box.read(1_000)
    assert {len(span) for span in box.spans if span.body.startswith(b"x")} == {256, 1_000 - 3 * 256}
    assert max(len(span.body) for span in box.spans) <= 65_536
    assert sum(len(span) for span in box.spans) == 1_100


def test_no_more_records_are_read_than_asked_for(box: Inbox) -> None:
    box.write("a", lines("a", 10))
    box.look()
    for expected in (3, 3, 3, 1):
        reading = box.source.read(box.now, 3)
        assert reading is not None
        assert reading.span is not None
        assert len(reading.span) == expected
    assert box.source.read(box.now, 0) is None


def test_carriage_returns_a_byte_order_mark_and_blank_lines_are_not_part_of_records(box: Inbox) -> None:
    box.write("a.jsonl", b'\xef\xbb\xbf\r\n{"a":1}\r\n\r\n \t\n{"b":2}\r\n\n\n')
    assert box.pass_on() == [b'{"a":1}', b'{"b":2}']
    assert box.positions() == {b"a.jsonl": 30}
    assert not box.rejects


def test_a_malformed_line_is_set_aside_and_the_file_goes_on(box: Inbox) -> None:
    box.write("a.jsonl", b'1\n{"secret\n2\n"\xff"\nx\0\0\0\n3\n')
    assert box.pass_on() == [b"1", b"2", b"3"]
    assert [(reject.reason, reject.begin, reject.kept) for reject in box.rejects] == [
        ("malformed", 2, b'{"secret'),
        ("malformed", 13, b'"\xff"'),
        ("malformed", 17, b"x\0\0\0"),
    ]
    assert "secret" not in "".join(reject.detail for reject in box.rejects)
    assert box.positions() == {b"a.jsonl": 24}


def test_zero_bytes_left_by_a_power_cut_are_not_part_of_any_record(box: Inbox) -> None:
    box.write("a.jsonl", b"1\n" + bytes(200_000) + b"2\n\n" + bytes(7) + b"\n3\n" + bytes(4_000))
    box.write("a.csv", b"a\n" + bytes(200_000) + b"4\n" + bytes(7) + b"\n5\n" + bytes(4_000))
    assert sorted(box.pass_on(5.0)) == [b"1", b"2", b"3", b'{"a":4}', b'{"a":5}']
    assert box.rejects == []
    assert box.source.exhausted()
    box.append("a.jsonl", b"4\n")
    assert box.pass_on() == [b"4"]


def test_zero_bytes_that_a_writer_fills_later_are_waited_for(box: Inbox) -> None:
    box.write("a.jsonl", b"1\n" + bytes(300_000))
    assert box.pass_on() == [b"1"]
    for number in range(3):
        with (box.path / "a.jsonl").open("r+b") as file:
            file.seek(2 + 2 * number)
            file.write(b"%d\n" % number)
        assert box.pass_on() == [b"%d" % number]


def test_a_line_of_a_gibibyte_is_passed_by_in_bounded_memory(box: Inbox) -> None:
    with box.write("a", b"first\nx").open("r+b") as file:
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    box.look()
    tracemalloc.start()
    try:
        assert box.read() == [b"first", b"last"]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    (reject,) = box.rejects
    assert (reject.reason, reject.begin, reject.size) == ("tooLarge", 6, (1 << 30) - 6)
    assert reject.kept == b"x" + bytes(255)
    box.settle()
    box.commit()
    assert box.positions() == {b"a": (1 << 30) + 6}


def test_a_record_of_the_largest_size_is_read_and_a_larger_one_is_not(path: Path) -> None:
    box = Inbox(path, max_record_bytes=200_000)
    box.write("a", b"x" * 200_000 + b"\r\n" + b"y" * 200_001 + b"\r\nz\n")
    assert box.pass_on() == [b"x" * 200_000, b"z"]
    assert [(reject.reason, reject.size) for reject in box.rejects] == [("tooLarge", 200_001)]
    assert box.positions() == {b"a": 400_007}


# Settling


def test_an_unterminated_last_line_counts_once_the_file_is_unchanged(box: Inbox) -> None:
    box.write("a", b"one\ntw")
    assert box.pass_on() == [b"one"]
    box.append("a", b"o")
    assert box.pass_on(2.0) == []
    assert box.pass_on(2.0) == [b"two"]
    box.append("a", b"\nthree\n")
    assert box.pass_on() == [b"three"]
    box.append("a", b"four")
    assert box.pass_on(4.0) == [b"four"]
    box.append("a", b"five\n")
    assert box.pass_on() == [b"five"]
    box.restart()
    assert box.pass_on(4.0) == []


def test_a_line_too_long_that_never_ends_counts_once_the_file_is_unchanged(box: Inbox) -> None:
    box.write("a", b"x" * 5_000)
    assert box.pass_on() == []
    assert not box.source.exhausted()
    box.append("a", b"x" * 70_000)
    box.pass_on(4.0)
    assert [(reject.reason, reject.size) for reject in box.rejects] == [("tooLarge", 75_000)]
    assert box.source.exhausted()


def test_everything_is_read_once_even_if_a_file_goes_on_growing(box: Inbox) -> None:
    box.write("a", b"one\ntwo")
    box.write("b", b"x\n")
    assert not box.source.exhausted()
    box.look()
    assert not box.source.exhausted()
    for number in range(3):
        box.pass_on()
        box.append("b", b"more %d\n" % number)
    assert box.source.exhausted()


def test_unread_bytes_are_counted(box: Inbox) -> None:
    box.write("a", b"one\n" * 1_000)
    box.write("b", b"two\n")
    box.look()
    assert box.source.unread() == (4_004, 2)
    box.source.read(box.now, 10)
    assert box.source.unread() == (3_964, 2)
    box.read()
    assert box.source.unread() == (0, 0)


# What is not read


def test_only_what_the_pattern_asks_for_is_read_and_never_what_is_still_being_made(path: Path) -> None:
    box = Inbox(path, pattern="*.l[oO]g")
    for name in ("a.log", "b.lOg", "c.LOG", "d.log.tmp", ".e.log", "f.log~", "g.log.part", "h.txt"):
        box.write(name, name.encode() + b"\n")
    (path / "dir.log").mkdir()
    assert sorted(box.pass_on()) == [b"a.log", b"b.lOg"]
    assert not box.events


def test_names_are_bytes(box: Inbox) -> None:
    name = os.fsdecode(b"\xff\n\x1b[31m")
    box.write(name, b"x\n")
    assert box.pass_on() == [b"x"]
    assert box.positions() == {b"\xff\n\x1b[31m": 2}


def test_what_is_not_a_regular_file_is_skipped_and_counted_once(box: Inbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    os.mkfifo(box.path / "fifo")
    (box.path / "link").symlink_to(secret)
    (box.path / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.path / "socket"))
    (box.path / "dir").mkdir()
    box.write("a", b"x\n")
    assert box.pass_on(5.0) == [b"x"]
    assert box.skipped() == {"fifo": "fifo", "link": "symlink", "dangling": "symlink", "socket": "socket"}
    assert len(box.events) == 4
    assert box.counts().skipped_files == 4


def test_a_file_swapped_for_a_link_after_the_scan_leaks_nothing(box: Inbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    for number in range(100):
        box.write(f"{number}", b"x\n")
    box.look()
    for number in range(100):
        (box.path / f"{number}").unlink()
        if number % 2:
            (box.path / f"{number}").symlink_to(secret)
        else:
            os.mkfifo(box.path / f"{number}")
    assert b"secret" not in box.read() + box.pass_on()


def test_a_json_file_that_turns_out_to_be_lines_is_read(box: Inbox) -> None:
    box.write("a.json", b'{"a":1}\n')
    assert box.pass_on() == []
    box.append("a.json", b'{"a":2}\n')
    assert box.pass_on() == [b'{"a":1}', b'{"a":2}']
    box.restart()
    box.append("a.json", b"nonsense\n")
    assert box.pass_on() == []
    assert [reject.kept for reject in box.rejects] == [b"nonsense"], "the choice is kept with the file"


def test_the_configured_format_is_taken_at_its_word(path: Path) -> None:
    box = Inbox(path, format="lines")
    box.write("a.csv", b"a,b\n")
    box.write("a.json", b"{\n}\n")
    assert sorted(box.pass_on()) == [b"a,b", b"{", b"}"]


def test_an_unreadable_file_is_counted_once_and_read_when_it_may_be() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        box = Inbox(path)
        secret = box.write("secret", b"x\n")
        secret.chmod(0)
        with unprivileged(path, secret):
            assert box.pass_on(5.0) == []
            assert box.skipped() == {"secret": "unreadable"}
            assert box.counts().skipped_files == 1
            assert box.source.exhausted()
            secret.chmod(0o600)
            assert box.pass_on() == [b"x"]
        box.source.close()


def test_many_skipped_files_are_counted_one_by_one_and_said_together(box: Inbox) -> None:
    box.write("a", b"")
    for number in range(50):
        (box.path / str(number)).symlink_to("nowhere")
    box.pass_on(3.0)
    assert box.counts().skipped_files == 50
    assert len(box.events) == 21
    assert box.events[-1] == ("source_skipped", {"files": 30, "reason": "more of them"})


# The directory itself


def test_a_missing_directory_is_waited_for(path: Path) -> None:
    path.rmdir()
    box = Inbox(path)
    assert box.pass_on(5.0) == []
    assert box.source.held_by() == "missing"
    assert not box.source.exhausted()
    path.mkdir()
    box.write("a", b"x\n")
    assert box.pass_on() == [b"x"]
    assert box.source.held_by() is None
    assert box.events == [("source_missing", {"path": str(path), "reason": "missing"})]


def test_a_file_in_place_of_the_directory_is_a_missing_directory(path: Path) -> None:
    path.rmdir()
    path.write_bytes(b"x\n")
    box = Inbox(path)
    assert box.pass_on() == []
    assert box.source.held_by() == "missing"


def test_an_unreadable_directory_is_said_and_waited_for() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        box = Inbox(path)
        box.write("a", b"x\n").chmod(0o644)
        with unprivileged(path):
            path.chmod(0)
            assert box.pass_on(3.0) == []
            assert box.source.held_by() == "unreadable"
            path.chmod(0o755)
            assert box.pass_on() == [b"x"]
        assert [event for event, _ in box.events] == ["source_missing"]
        box.source.close()


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_an_inbox_that_is_unmounted_and_mounted_again_is_the_same_inbox(
    box: Inbox,
    empty: bool,  # noqa: FBT001 - a parameter of the test
    restarted: bool,  # noqa: FBT001 - as above
) -> None:
    box.write("a", b"one\n")
    box.write("b", b"two\n")
    box.pass_on(70.0)
    before = dict(box.rows)
    box.path.rename(box.path.with_name("elsewhere"))
    if empty:
        box.path.mkdir()
    if restarted:
        box.restart()
    assert box.pass_on(10.0) == []
    assert box.rows == before
    assert box.source.held_by() == (None if empty else "missing")
    if empty:
        box.path.rmdir()
    box.path.with_name("elsewhere").rename(box.path)
    box.append("a", b"three\n")
    assert box.pass_on() == [b"three"]
    assert box.counts().vanished_files == 0


# Bounds


def test_thousands_of_files_need_few_descriptors_and_end_at_rest(box: Inbox) -> None:
    for number in range(1_500):
        box.write(f"{number}", b"x\n")
    box.look(3.0)
    most = 0
    count = 0
    while (reading := box.source.read(box.now, 5)) is not None:
        count += 0 if reading.span is None else len(reading.span)
        box.spans.extend([reading.span] if reading.span else [])
        most = max(most, len(open_descriptors(box.path))) if count % 100 == 0 else most
    assert count == 1_500
    assert 0 < most <= 64
    box.settle()
    box.commit()
    box.now += 60.0
    box.pass_on(2.0)
    assert open_descriptors(box.path) == []
    box.restart()
    assert box.pass_on(2.0) == []
    assert open_descriptors(box.path) == []
    assert box.source.exhausted()


def test_a_scan_of_a_large_directory_is_done_in_slices(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "SLICE", 10)
    for number in range(95):
        box.write(f"{number}", b"x\n")
    assert [box.source.advance(7.0) for _ in range(10)] == [7.0] * 9 + [7.5]


def test_scans_take_a_fiftieth_of_the_time_at_most(path: Path) -> None:
    box = Inbox(path)
    ticks = iter(range(100))
    box.source._stopwatch = lambda: float(next(ticks))  # noqa: SLF001 - every call takes a second
    assert box.source.advance(0.0) == 50.0


def test_positions_of_files_that_are_gone_are_forgotten_after_thirty_days(box: Inbox) -> None:
    box.write("a", b"one\n")
    box.write("stays", b"two\n")
    box.pass_on(3.0)
    (box.path / "a").unlink()
    box.pass_on(10.0)
    assert len(box.rows) == 2
    assert list(box.positions()) == [b"stays"]
    box.now += 29.5 * 86_400
    box.pass_on(3.0)
    assert len(box.rows) == 2
    box.now += 86_400
    box.pass_on(3.0)
    assert len(box.rows) == 1


def test_time_noted_before_the_clock_was_set_does_not_count(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.write("a", b"one\n")
    box.write("stays", b"two\n")
    box.pass_on(3.0)
    monkeypatch.setattr(closing, "CLOCK_IS_SET", box.wall() + 8)
    (box.path / "a").unlink()
    box.pass_on(10.0)
    monkeypatch.setattr(closing, "KEPT_GONE_SECONDS", 15.0)
    box.pass_on(10.0)
    assert len(box.rows) == 2
    box.pass_on(10.0)
    assert len(box.rows) == 1


def test_no_more_positions_of_one_inode_are_kept_than_a_few(box: Inbox) -> None:
    box.write("stays", b"x\n")
    for generation in range(20):
        os.utime(box.write("a", b"head\n%d\n" % generation, "r+b" if generation else "wb"), (generation, generation))
        assert len(box.pass_on(3.0)) == (3 if not generation else 2)
    assert len(box.rows) <= 2 + closing.MAX_GONE_EACH
    assert max(row["generation"] for row in box.rows.values()) == 19


def test_positions_that_the_store_still_names_are_kept_above_the_bound(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MAX_GONE", 10)
    box.write("stays", b"x\n")
    for number in range(30):
        box.write(f"{number}", b"x\n")
    box.pass_on(70.0)
    for number in range(30):
        (box.path / f"{number}").unlink()
    box.pending = True
    box.pass_on(10.0)
    assert len(box.rows) == 31
    box.pending = False
    box.pass_on()
    assert len(box.rows) == 11


def test_files_come_to_rest_without_a_question_to_the_store(box: Inbox) -> None:
    box.pending = True
    for number in range(200):
        box.write(f"{number}", b"x\n")
    box.pass_on(70.0)
    assert box.source._files.live == {}  # noqa: SLF001 - each commit looks at them all
    assert box.asked == 0
    (box.path / "0").unlink()
    box.pass_on(5.0)
    assert box.asked <= 2 * 5, "what is gone is asked about when it is looked at after a scan"


def test_files_that_vanish_before_their_format_is_known_leave_nothing(box: Inbox) -> None:
    box.write("stays", b"x\n")
    for number in range(5):
        path = box.write(f"{number}.json", b'{"a":1}')
        box.look()
        box.read()
        box.source._files.open.release_all()  # noqa: SLF001 - as where many files are open
        path.unlink()
        box.pass_on(3.0)
    box.pass_on(10.0)
    assert box.source._files.live == {}  # noqa: SLF001 - nothing else shows it
    assert box.counts().vanished_files == 5


def test_no_more_positions_of_gone_files_are_kept_than_a_bound(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MAX_GONE", 10)
    monkeypatch.setattr(inventory, "MAX_STEPS", 15)
    box.write("stays", b"x\n")
    for number in range(30):
        box.write(f"{number}", b"x\n")
    box.pass_on(70.0)
    for number in range(30):
        (box.path / f"{number}").unlink()
    box.pass_on(10.0)
    assert len(box.rows) == 11


@pytest.mark.parametrize("left", [b"", b"1\n"])
def test_a_file_that_is_cut_before_its_first_turn_is_read_as_far_as_it_goes(tmp_path: Path, left: bytes) -> None:
    box = Inbox(tmp_path)
    box.write("a.log", b"1\n2\n3\n")
    box.look()
    os.truncate(box.path / "a.log", len(left))
    assert box.read() == left.split()
    for _ in range(4):
        box.look()
        assert box.read() == []
    assert box.source.exhausted()


def test_a_file_rewritten_at_the_same_size_while_nobody_looked_is_part_of_what_is_there(tmp_path: Path) -> None:
    box = Inbox(tmp_path)
    box.write("a.log", b"1\n2\n")
    assert box.pass_on(3.0) == [b"1", b"2"]
    box.commit()
    box.restart()
    (box.path / "a.log").write_bytes(b"3\n4\n")
    records = []
    for _ in range(20):
        box.look(0.1)
        records += box.read()
        if box.source.exhausted():
            break
    assert records == [b"3", b"4"]


def test_a_directory_whose_names_may_be_read_and_whose_files_may_not_is_said_to_be_unreadable() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        box = Inbox(path)
        box.write("a.log", b"1\n").chmod(0o644)
        with unprivileged(path):
            path.chmod(0o444)
            box.look()
            assert (box.read(), box.source.held_by()) == ([], "unreadable")
            assert not box.source.exhausted()
            path.chmod(0o755)
            assert box.pass_on(3.0) == [b"1"]
            assert box.source.held_by() is None
        box.source.close()

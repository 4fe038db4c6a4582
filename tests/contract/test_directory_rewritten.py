"""Files whose writer begins them anew: while they are read, between two looks, and while nobody looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox
from weir.core.ports import Reading
from weir.sources import identity, recognise, taking, watched
from weir.sources.lines import NOTHING_YET


def lines(first: int, last: int) -> list[bytes]:
    return [b"%016d" % number for number in range(first, last)]


def joined(records: list[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


def take(box: Inbox, limit: int = 256) -> Reading:
    reading = box.source.read(box.now, limit)
    assert reading is not None
    assert reading.span is not None
    box.spans.append(reading.span)
    return reading


def rewrite(box: Inbox, name: str, content: bytes) -> None:
    """Copy and truncate, as log rotation does, and write on."""
    os.truncate(box.path / name, 0)
    box.append(name, content)


# While a turn is open, as it is for as long as the queue is full


@pytest.mark.parametrize("seen", [True, False])
def test_a_file_truncated_while_its_turn_is_open_is_read_from_its_new_start(box: Inbox, *, seen: bool) -> None:
    box.write("a", joined(lines(0, 1_000)))
    box.look()
    take(box)
    take(box)
    if seen:
        os.truncate(box.path / "a", 0)
        box.look()
        box.append("a", joined(lines(5_000, 5_100)))
        box.look()
        box.commit()
    else:
        rewrite(box, "a", joined(lines(5_000, 5_100)))
    box.append("a", joined(lines(5_100, 7_000)))
    assert box.pass_on(3.0) == lines(5_000, 7_000)
    assert box.counts().truncated_bytes == 17 * (1_000 - 512)


def test_what_was_committed_of_a_turn_does_not_count_for_what_was_written_over_it(box: Inbox) -> None:
    head = b"head\n"
    box.write("a", head + joined(lines(0, 1_000)))
    box.look()
    take(box)
    box.settle()
    box.commit()
    take(box)
    os.truncate(box.path / "a", 0)
    box.look()
    box.append("a", head + joined(lines(5_000, 7_000)))
    box.settle()
    box.commit()
    box.restart()
    assert box.pass_on(3.0) == [b"head", *lines(5_000, 7_000)]


def test_a_position_short_of_what_was_read_never_gets_the_tail_of_other_bytes(box: Inbox) -> None:
    head = b"head\n"
    box.write("a", head + joined(lines(0, 1_000)))
    box.look()
    first = take(box)
    take(box)
    rewrite(box, "a", head + joined(lines(5_000, 7_000)))
    box.spans = [span for span in box.spans if span is first.span]
    box.settle()
    box.commit()
    box.restart()
    assert box.pass_on(3.0) == [b"head", *lines(5_000, 7_000)]


def test_a_long_line_that_passes_by_is_given_up_when_the_file_is_begun_anew(box: Inbox) -> None:
    box.write("a", b"x" * (3 * taking.STRIDE))
    box.look()
    assert box.source.read(box.now, 1) is NOTHING_YET
    rewrite(box, "a", joined(lines(0, 200_000)))
    assert box.pass_on(3.0) == lines(0, 200_000)
    assert box.rejects == []


def test_a_file_rewritten_in_the_moment_it_is_read_is_read_again(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.write("a", joined(lines(0, 300)))
    box.look()
    real = identity.tail_of_taken

    def rewritten_first(fd: int, position: int, taken: bytes) -> bytes:
        monkeypatch.undo()
        rewrite(box, "a", joined(lines(5_000, 6_000)))
        return real(fd, position, taken)

    monkeypatch.setattr(watched, "tail_of_taken", rewritten_first)
    assert box.pass_on(3.0) == [*lines(0, 256), *lines(5_000, 6_000)]


# Between two turns


def test_a_file_with_another_first_line_is_another_file_though_its_tail_is_the_same(box: Inbox) -> None:
    box.write("a", b"1\n" + joined(lines(0, 100)))
    box.pass_on()
    os.utime(box.write("a", b"2\n" + joined(lines(0, 100)), "r+b"), (7, 7))
    assert box.pass_on() == [b"2", *lines(0, 100)]


def test_a_file_that_was_closed_before_its_position_was_committed_goes_on_where_it_was(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box.source._files.open, "_limit", 1)  # noqa: SLF001 - 64 files would be many to make
    names = ["a.jsonl", "b.jsonl"]
    for name in names:
        box.write(name, b"1\n2\n")
    box.pass_on()
    for name in names:
        box.append(name, b"{bad\n")
    box.look()
    box.read()
    box.settle()  # what is set aside is settled at once
    for name in names:
        box.append(name, b"3\n")
    box.look()
    assert box.read() == [b"3", b"3"]
    assert not any(box.counts())


# While nobody looked


def test_a_writer_that_truncates_at_its_start_is_not_a_power_cut(box: Inbox) -> None:
    box.write("a", joined(lines(0, 1_000)))
    box.pass_on()
    box.source.close()
    rewrite(box, "a", joined(lines(9_000, 9_100)))
    box.restart(same_boot=False)
    assert box.pass_on() == lines(9_000, 9_100)
    assert box.counts().truncated_bytes == 0


def test_a_file_with_other_bytes_before_the_position_was_not_cut_off(box: Inbox) -> None:
    box.write("a", b"head\n1\n2\n3\n4\n")
    box.look()
    box.read()
    (span,) = box.spans
    assert span.file is not None
    span.file.account(0, 7)
    span.file.account(9, 11)
    box.commit()
    box.source.close()
    box.write("a", b"head\n5\n6\n", "wb")
    box.restart(same_boot=False)
    assert box.pass_on() == [b"head", b"5", b"6"]


def without_births(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "birth_time", lambda _fd: None)


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("settled_late", [True, False])
def test_without_birth_times_a_first_line_alone_does_not_make_a_file_the_same(
    box: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, settled_late: bool, restarted: bool
) -> None:
    without_births(monkeypatch)
    box.write("stays", b"x\n")
    box.write("a", b"head\n1\n2\n")
    if settled_late:
        box.look()
        box.read()
    else:
        box.pass_on(70.0)
    elsewhere = (box.path / "a").rename(tmp_path / "elsewhere")
    box.look(70.0)
    for span in box.spans:
        assert span.file is not None
        span.file.account(*span.extent(0, 1))  # by now nobody can hash what lies before the end of the first record
    box.commit()
    rewrite(box, "../elsewhere", b"head\n" + joined(lines(0, 100)))
    elsewhere.rename(box.path / "b")  # with the inode of the old one, as a new file often has
    if restarted:
        box.restart()
    assert box.pass_on(3.0)[-101:] == [b"head", *lines(0, 100)]


def test_the_tail_of_a_file_that_was_replaced_is_kept(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    without_births(monkeypatch)
    box.write("a", b"head\n1\n")
    box.pass_on(70.0)
    (before,) = box.rows.values()
    box.write("stays", b"x\n")
    (box.path / "a").rename(box.path.with_name("elsewhere"))
    box.pass_on(5.0)
    (after,) = (row for row in box.rows.values() if row["name"] == b"a")
    assert after["gone_since"] is not None
    assert after["tail"] == before["tail"]

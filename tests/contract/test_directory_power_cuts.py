"""Files that lost their end in a power cut, and files that their writer began anew when the machine came up again."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox
from weir.core.positions import MOST_RUNGS, RUNG_BYTES
from weir.sources import identity, recognise

HEAD = b'{"format":1}'
STEP = 8  # records of one commit


def records(first: int, last: int, word: bytes = b"record") -> list[bytes]:
    return [b"%s %090d" % (word, number) for number in range(first, last)]


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


LINE = len(joined(records(0, 1)))


def grow(box: Inbox, count: int) -> None:
    """Let a file grow and be read and committed, a few records at a time."""
    box.append("a.log", HEAD + b"\n")
    assert box.pass_on() == [HEAD]
    for first in range(0, count, STEP):
        box.append("a.log", joined(records(first, first + STEP)))
        assert box.pass_on() == records(first, first + STEP)


def cut(box: Inbox, left: int) -> None:
    os.truncate(box.path / "a.log", len(HEAD) + 1 + left)


def come_up_again(box: Inbox) -> list[bytes]:
    box.restart(same_boot=False)
    return box.pass_on(2.0)


def numbers(found: list[bytes]) -> list[int]:
    return [int(record.split()[1]) for record in found]


@pytest.mark.parametrize("births", [True, False])
@pytest.mark.parametrize("left", [10_079, 10_000, 9_900, 9_000])
def test_of_a_file_that_lost_its_end_only_a_little_is_read_again(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, *, left: int, births: bool
) -> None:
    if not births:
        monkeypatch.setattr(recognise, "birth_time", lambda _fd: None)
    grow(box, 10_080)
    size = (box.path / "a.log").stat().st_size
    cut(box, left * LINE)
    again = numbers(come_up_again(box))
    assert again == list(range(left - len(again), left))
    assert len(again) <= 5 * (10_080 - left) + 3 * STEP
    assert box.counts().possible_twins == len(again)
    assert box.counts().truncated_bytes == size - len(HEAD) - 1 - left * LINE
    box.append("a.log", joined(records(20_000, 20_010)))
    assert box.pass_on() == records(20_000, 20_010)
    assert come_up_again(box) == []
    assert sorted(row["generation"] for row in box.rows.values()) == [0, 1]


@pytest.mark.parametrize("beyond", [False, True])
def test_what_was_written_after_a_power_cut_and_before_anybody_looked_is_read(box: Inbox, *, beyond: bool) -> None:
    grow(box, 800)
    cut(box, 700 * LINE + 50)
    written = records(5_000, 5_400 if beyond else 5_020)
    box.append("a.log", b"\n" + joined(written))
    found = come_up_again(box)
    assert found[-len(written) :] == written
    again = found[: -len(written)]
    assert len(again) <= 5 * 100 + 3 * STEP
    assert again[:-1] == records(701 - len(again), 700)
    assert again[-1] == records(700, 701)[0][:50], "what the cut has left of it"
    assert box.counts().possible_twins >= len(again)


def test_zeros_in_place_of_what_was_not_synced_are_no_reason_to_read_the_whole_file_again(box: Inbox) -> None:
    grow(box, 800)
    size = (box.path / "a.log").stat().st_size
    cut(box, 700 * LINE)
    os.truncate(box.path / "a.log", size)
    again = numbers(come_up_again(box))
    assert again == list(range(700 - len(again), 700))
    assert len(again) <= 5 * 100
    assert [reject.kept[:1] for reject in box.rejects] in ([], [b"\0"])


@pytest.mark.parametrize("count", [3, 50, 799, 900])
def test_a_writer_that_begins_its_file_anew_with_the_same_first_line_loses_nothing(box: Inbox, count: int) -> None:
    grow(box, 800)
    new = [HEAD, *records(0, count, b"newest")]
    box.source.close()
    box.write("a.log", joined(new))
    assert come_up_again(box) == new
    assert box.counts().truncated_bytes == 0
    assert come_up_again(box) == []


@pytest.mark.parametrize("old", [True, False])
def test_a_file_of_nothing_but_equal_lines_proves_nothing(box: Inbox, *, old: bool) -> None:
    line = b"status=fine"
    for _ in range(100):
        box.append("a.log", joined([line] * STEP))
        assert box.pass_on() == [line] * STEP
    box.source.close()
    if not old:
        box.write("a.log", b"")
        box.append("a.log", joined([line] * 700))
    os.truncate(box.path / "a.log", 700 * len(joined([line])))
    assert come_up_again(box) == [line] * 700
    assert box.counts().possible_twins == 700


@pytest.mark.parametrize("old", [True, False])
def test_a_file_cut_so_short_that_nothing_tells_is_read_again(box: Inbox, *, old: bool) -> None:
    grow(box, 800)
    left = records(0, 4) if old else records(0, 4, b"newest")
    box.source.close()
    box.write("a.log", joined([HEAD, *left]), "r+b")
    cut(box, 4 * LINE)
    assert come_up_again(box) == [HEAD, *left]
    assert box.counts().possible_twins == 5, "they may be, and nobody knows"


@pytest.mark.parametrize("births", [True, False])
def test_a_file_found_shorter_without_a_power_cut_is_read_again(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, *, births: bool
) -> None:
    if not births:
        monkeypatch.setattr(recognise, "birth_time", lambda _fd: None)
    grow(box, 800)
    cut(box, 700 * LINE)
    box.restart()
    assert box.pass_on() == [HEAD, *records(0, 700)]


def test_what_was_not_settled_before_a_power_cut_is_read_again(box: Inbox) -> None:
    grow(box, 80)
    box.append("a.log", joined(records(80, 85)))
    box.look()
    box.read()
    (span,) = box.spans
    assert span.file is not None
    for index in (1, 3):
        span.file.account(*span.extent(index, index + 1))
    box.commit()
    cut(box, 83 * LINE + 10)
    assert come_up_again(box)[:3] == records(80, 83)
    assert box.counts().possible_twins == 2
    assert box.counts().truncated_bytes == LINE - 10


@pytest.mark.parametrize("left", [700, 4])
def test_a_file_renamed_out_of_the_pattern_that_lost_its_end_is_gone_on_with(path: Path, left: int) -> None:
    box = Inbox(path, pattern="*.log")
    grow(box, 800)
    cut(box, left * LINE)
    (box.path / "a.log").rename(box.path / "a.log.1")
    again = come_up_again(box)
    assert again[-min(left, 8) :] == records(left - min(left, 8), left)
    assert len(again) == box.counts().possible_twins


def test_the_rungs_of_a_position_are_few_and_apart(box: Inbox) -> None:
    grow(box, 4_000)
    (row,) = box.rows.values()
    ats = [0, *(rung.at for rung in row["rungs"])]
    assert len(ats) == MOST_RUNGS + 1
    assert all(high - low >= RUNG_BYTES for low, high in pairwise(ats))
    content = (box.path / "a.log").read_bytes()
    for at, tail in row["rungs"]:
        assert identity.digest(content[at - 256 : at])[: len(tail)] == tail

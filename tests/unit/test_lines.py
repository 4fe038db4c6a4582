"""Cutting and reading against an independent splitter: the same records at the same places, whatever the blocks are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from weir.core.ports import Reject
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.sources import taking
from weir.sources.lines import Rules, cut
from weir.sources.taking import Turn
from weir.sources.watched import Watched

MARK = b"\xef\xbb\xbf"
MAX_RECORD = 9

pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"bc", b"12", b'"x"', b"{}", b"[1,", b"\0", b"\xff", b"0123456789", MARK]
)
blocks = st.integers(3, 14)  # a byte order mark fits into the smallest
contents = st.lists(pieces, max_size=40).map(b"".join) | st.binary(max_size=60)


class Line(NamedTuple):
    begin: int
    end: int
    record: bytes


def split(content: bytes) -> list[Line]:
    """Split as the words say: newlines end lines, one carriage return goes with them, blank lines are nothing."""
    lines = []
    begin = 3 if content.startswith(MARK) else 0
    for raw in content[begin:].split(b"\n"):
        end = begin + len(raw) + 1
        record = raw.removesuffix(b"\r")
        if set(record) - set(b" \t\r"):
            lines.append(Line(begin, min(end, len(content)), record))
        begin = end
    return lines


class Outcome(NamedTuple):
    """What reading a whole file gave: records and rejects with the range each covers."""

    records: list[Line]
    rejects: list[Reject]

    def extents(self) -> list[tuple[int, int]]:
        good = [(line.begin, line.end) for line in self.records]
        return sorted(good + [(reject.begin, reject.end) for reject in self.rejects])


def records_of(span: Span) -> list[Line]:
    return [Line(*span.extent(index, index + 1), span.payload(index)) for index in range(len(span))]


@contextmanager
def open_file(content: bytes) -> Iterator[int]:
    fd = os.memfd_create("weir")
    try:
        os.write(fd, content)
        yield fd
    finally:
        os.close(fd)


def read_all(fd: int, position: FilePosition, *, fmt: str, limit: int, block: int) -> Outcome:
    """Read a file that nobody writes to any more, with blocks so small that everything crosses their borders."""
    file = Watched(position, fd, scan=1)
    rules = Rules(fmt, MAX_RECORD)
    outcome = Outcome([], [])
    with patch.object(taking, "BLOCK", block), patch.object(taking, "STRIDE", 3):
        file.begin_turn(0.0)
        while (reading := taking.take(file, Turn(limit, rules, settled=True, at=1.0, now=0.0))) is not None:
            found = records_of(reading.span) if reading.span else []
            assert len(found) + len(reading.rejects) <= limit
            outcome.records.extend(found)
            outcome.rejects.extend(reading.rejects)
    return outcome


def new_position() -> FilePosition:
    return FilePosition(stream=1, name=b"a", inode=1, birth=None)


def account(position: FilePosition, extents: list[tuple[int, int]]) -> None:
    for begin, end in extents:
        position.account(begin, end)


@settings(max_examples=400)
@given(contents, st.integers(1, 5), blocks)
def test_any_bytes_in_any_blocks_give_the_lines_an_independent_splitter_gives(
    content: bytes, limit: int, block: int
) -> None:
    position = new_position()
    with open_file(content) as fd:
        outcome = read_all(fd, position, fmt="lines", limit=limit, block=block)
    expected = split(content)
    assert [line.record for line in outcome.records] == [
        line.record for line in expected if len(line.record) <= MAX_RECORD
    ]
    assert [(reject.begin, reject.size, reject.digest) for reject in outcome.rejects] == [
        (line.begin, len(line.record), hashlib.sha256(line.record).digest())
        for line in expected
        if len(line.record) > MAX_RECORD
    ]
    assert [begin for begin, _ in outcome.extents()] == [line.begin for line in expected]


@settings(max_examples=300)
@given(contents, st.sampled_from(["lines", "jsonl"]), st.integers(1, 5), blocks)
def test_the_extents_tile_the_file_without_gap_or_overlap(content: bytes, fmt: str, limit: int, block: int) -> None:
    position = new_position()
    with open_file(content) as fd:
        outcome = read_all(fd, position, fmt=fmt, limit=limit, block=block)
    extents = outcome.extents()
    assert all(end <= begin for (_, end), (begin, _) in pairwise(extents)), "overlap"
    account(position, extents)
    assert (position.position, position.beyond) == (len(content), []), "gap"


@settings(max_examples=300)
@given(contents, blocks, st.data())
def test_after_a_restart_exactly_what_was_not_accounted_is_read_again_at_the_same_places(
    content: bytes, block: int, data: st.DataObject
) -> None:
    with open_file(content) as fd:
        first = read_all(fd, new_position(), fmt="lines", limit=5, block=block)
        chosen = data.draw(st.sets(st.sampled_from(first.records)) if first.records else st.just(set()))
        position = new_position()
        account(position, [(line.begin, line.end) for line in chosen])
        second = read_all(fd, position, fmt="lines", limit=3, block=data.draw(blocks))
    again = [(line.begin, line.record) for line in second.records]
    assert again == [(line.begin, line.record) for line in first.records if line not in chosen]
    assert [reject[3:4] + reject[5:] for reject in second.rejects] == [
        reject[3:4] + reject[5:] for reject in first.rejects
    ]


@given(contents)
def test_a_record_passes_as_json_or_is_set_aside_with_its_bytes(content: bytes) -> None:
    with open_file(content) as fd:
        outcome = read_all(fd, new_position(), fmt="jsonl", limit=256, block=65_536)
    valid = {b"12", b'"x"', b"{}", b"0"}
    for reject in outcome.rejects:
        assert reject.reason in {"malformed", "tooLarge"}
        assert reject.kept == content[reject.begin : reject.begin + reject.size][:256]
        assert reject.kept not in valid
    assert {line.record for line in outcome.records} >= {line.record for line in split(content) if line.record in valid}


def test_a_block_of_plain_lines_is_the_body_itself() -> None:
    result = cut(b"ab\nc\ndef\ng", 100, 256, Rules("lines", 50))
    assert result.run is not None
    assert result.run.body == b"ab\nc\ndef\n"
    assert list(result.run.ends) == [3, 5, 9]
    assert result.run.extents is None
    assert (result.begin, result.end) == (100, 109)


def test_carriage_returns_belong_to_the_line_end() -> None:
    result = cut(b"ab\r\nc\r\n", 100, 256, Rules("lines", 50))
    assert result.run is not None
    assert result.run.body == b"ab\nc\n"
    assert result.run.extents is not None
    assert list(result.run.extents) == [104, 107]


def test_a_byte_order_mark_is_one_only_at_the_start() -> None:
    rules = Rules("jsonl", 50)
    first = cut(MARK + b"1\n", 0, 256, rules)
    assert first.run is not None
    assert (first.run.body, first.begin) == (b"1\n", 3)
    later = cut(MARK + b"1\n", 7, 256, rules)
    assert later.run is None
    assert [bad.reason for bad in later.bad] == ["malformed"]


def test_a_run_ends_at_a_bad_record_and_the_bad_ones_end_at_the_next_good_one() -> None:
    rules = Rules("jsonl", 50)
    block = b"1\n2\n{\n}\n3\n"
    first = cut(block, 0, 256, rules)
    assert first.run is not None
    assert (first.run.body, [bad.kept for bad in first.bad], first.end) == (b"1\n2\n", [b"{", b"}"], 8)
    assert cut(block[8:], 8, 256, rules).end == len(block)


def test_no_more_is_taken_than_asked_for() -> None:
    rules = Rules("jsonl", 50)
    assert cut(b"1\n2\n3\n", 0, 2, rules).end == 4
    assert cut(b"1\n{\n{\n{\n", 0, 2, rules).end == 4
    assert cut(b"1\n" * 1000, 0, 5000, rules).end == 512
    assert cut(b"1\n", 0, 0, rules).end == 0


def test_blank_lines_never_stop_the_reading() -> None:
    blanks = b"\n \t\r\n" * 10_000
    with open_file(blanks + b"a\n" + blanks + b"b") as fd:
        position = new_position()
        file = Watched(position, fd, scan=1)
        file.begin_turn(0.0)
        calls = 0
        spans = []
        turn = Turn(256, Rules("lines", 50), settled=True, at=1.0, now=0.0)
        while (reading := taking.take(file, turn)) is not None:
            calls += 1
            spans.extend([reading.span] if reading.span else [])
    assert [span.payload(0) for span in spans] == [b"a", b"b"]
    assert calls < 10

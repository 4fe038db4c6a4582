"""Each format against an independent reader, whatever the bytes and the blocks are: the same records, nothing lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import zlib
from itertools import pairwise
from typing import Literal
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_lines import Outcome, open_file, records_of
from weir.core.positions import PACKED, FilePosition
from weir.sources import packed, taking
from weir.sources.lines import Rules
from weir.sources.packed import Unpacker
from weir.sources.taking import Turn
from weir.sources.watched import Watched

MAX_RECORD = 60
blocks = st.integers(3, 40)
limits = st.integers(1, 5)
FORMATS = ["lines", "jsonl", "csv", "json", "file"]


def read_all(
    content: bytes, fmt: str, *, limit: int = 256, block: int = 65_536, position: FilePosition | None = None
) -> tuple[Outcome, FilePosition]:
    """Read a file that nobody writes to any more, with blocks so small that everything crosses their borders."""
    position = position or FilePosition(stream=1, name=b"a", inode=1, birth=None, fmt="")
    rules = Rules(fmt, MAX_RECORD, max_document_bytes=150, gaps=True)
    outcome = Outcome([], [])
    with (
        open_file(content) as fd,
        patch.object(taking, "BLOCK", block),
        patch.object(taking, "STRIDE", 3),
        patch.object(packed, "_CHUNK", block),
        patch.object(packed, "STEP", 10),
    ):
        file = Watched(position, fd, scan=1)
        file.begin_turn(0.0)
        file.set_format(fmt, packed=content.startswith(b"\x1f\x8b"))
        for _ in range(100_000):
            reading = taking.take(file, Turn(limit, rules, settled=True, at=1.0, now=0.0))
            if reading is None:
                break
            found = records_of(reading.span) if reading.span else []
            assert len(found) + len(reading.rejects) <= limit
            outcome.records.extend(found)
            outcome.rejects.extend(reading.rejects)
        else:
            pytest.fail("reading never ends")
        assert file.unread == 0
    return outcome, position


def payloads(content: bytes, fmt: str) -> list[bytes]:
    outcome, _ = read_all(content, fmt)
    assert not outcome.rejects
    return [line.record for line in outcome.records]


def account(position: FilePosition, extents: list[tuple[int, int]]) -> None:
    for begin, end in extents:
        position.account(begin, end)


plain = [b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"bc", b"\0", b"\xff", b"\xc3\xa9", b"0123456789" * 8]
telling = [
    b",",
    b'"',
    b'""',
    b"12",
    b"-1.5e3",
    b"01",
    b'"x"',
    b"{}",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b"\\",
    b'\\"',
    b"[1,",
]
pieces = st.sampled_from([*plain, *telling])
contents = st.lists(pieces, max_size=40).map(b"".join) | st.binary(max_size=80)
compressed = contents.map(lambda content: gzip.compress(content, mtime=0))
any_contents = contents | compressed | compressed.map(lambda content: content[:-9])


@settings(max_examples=600)
@given(any_contents, st.sampled_from(FORMATS), limits, blocks)
def test_any_bytes_are_read_to_their_end_and_each_is_accounted_for_once(
    content: bytes, fmt: str, limit: int, block: int
) -> None:
    outcome, position = read_all(content, fmt, limit=limit, block=block)
    extents = outcome.extents()
    assert all(end <= begin for (_, end), (begin, _) in pairwise(extents)), "overlap"
    account(position, extents)
    assert position.beyond == [], "gap"
    if not content.startswith(b"\x1f\x8b"):
        assert position.position == len(content)
    for line in outcome.records:
        if fmt in {"csv", "json", "jsonl"}:
            json.loads(line.record)


@settings(max_examples=400)
@given(any_contents, st.sampled_from(FORMATS), limits, blocks, st.data())
def test_after_a_restart_exactly_what_was_not_accounted_is_read_again_at_the_same_places(
    content: bytes, fmt: str, limit: int, block: int, data: st.DataObject
) -> None:
    first, _ = read_all(content, fmt, limit=limit, block=block)
    chosen = data.draw(st.sets(st.sampled_from(first.extents()))) if first.extents() else set()
    position = FilePosition(stream=1, name=b"a", inode=1, birth=None, fmt=fmt)
    if content.startswith(b"\x1f\x8b"):
        position.account(0, PACKED)
    account(position, sorted(chosen))
    second, _ = read_all(content, fmt, limit=data.draw(limits), block=data.draw(blocks), position=position)
    assert [(line.begin, line.record) for line in second.records] == [
        (line.begin, line.record) for line in first.records if (line.begin, line.end) not in chosen
    ]
    assert [(reject.begin, reject.digest) for reject in second.rejects] == [
        (reject.begin, reject.digest) for reject in first.rejects if (reject.begin, reject.end) not in chosen
    ]


# -- CSV ---------------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
fields = st.text(st.sampled_from("abé\"', \n\t\\01-.e{}:;\x01\u2028"), max_size=6)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(fields, min_size=width, max_size=width), max_size=6))


def csv_objects(content: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    """Read with the standard library; a row is a map of texts."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter))
    header, *rest = [row for row in rows if row and not (len(row) == 1 and row[0] and not row[0].strip(" \t"))]
    return [dict(zip(header, row, strict=True)) for row in rest]


def same(record: bytes, expected: dict[str, str]) -> bool:
    """Tell whether a record has the fields of a row: numbers as they were written, nulls for nothing."""
    found = json.loads(record, parse_int=Text, parse_float=Text)
    kinds = {
        name: None if not text else (Text(text) if NUMBER.fullmatch(text) else text) for name, text in expected.items()
    }
    return list(found) == list(kinds) and all(
        type(found[name]) is type(kinds[name]) and found[name] == kinds[name] for name in kinds
    )


class Text(str):
    """The characters of a number."""

    __slots__ = ()


@settings(max_examples=300)
@given(tables, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n"]), blocks, limits)
def test_a_table_the_standard_library_wrote_is_read_as_the_standard_library_reads_it(
    table: list[list[str]], quoting: Literal[0, 1], newline: str, block: int, limit: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator=newline)
    width = len(table[0]) if table else 1
    table = [row for row in table if width > 1 or not row[0] or row[0].strip(" \t")]  # others are blank lines
    writer.writerow([f"name {number}" for number in range(width)])
    writer.writerows(table)
    content = out.getvalue().encode()
    outcome, _ = read_all(content, "csv", limit=limit, block=max(block, 48))
    expected = csv_objects(content)
    small = [row for row in expected if len(max(made_of(row), key=len)) <= MAX_RECORD]
    assert {reject.reason for reject in outcome.rejects} <= {"tooLarge"}
    assert len(outcome.records) + len(outcome.rejects) == len(expected)
    assert len(outcome.records) >= len([row for row in small if len(json.dumps(row)) < MAX_RECORD // 2])
    left = iter(expected)
    assert all(any(same(line.record, row) for row in left) for line in outcome.records), "each, and in order"


def made_of(row: dict[str, str]) -> list[str]:
    return [*row, *row.values()]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"a,b\n1,2\n", [b'{"a":1,"b":2}']),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", [b'{"a":1,"b":2}']),
        (b"a,b\n1,2", [b'{"a":1,"b":2}']),
        (b"a\n1.0\n-0\n1E5\n1e999\n", [b"1.0", b"-0", b"1E5", b"1e999"]),
        (b"a\n01\n+1\n.5\n1.\nNaN\n", [b'"01"', b'"+1"', b'".5"', b'"1."', b'"NaN"']),
        (b'a\n12345678901234567890.10\n"7"\n', [b"12345678901234567890.10", b"7"]),
        (b'a,b\n,""\n', [b'{"a":null,"b":null}']),
        (b'a,b\n"x\n""y"" , z", \n', [b'{"a":"x\\n\\"y\\" , z","b":" "}']),
        (b'a\n5" pipe\n\\\n\x01\n', [b'"5\\" pipe"', b'"\\\\"', b'"\\u0001"']),
        (b"a\n\n \t\nx\n\n", [b'"x"']),
        (b"\n\na\nx\n", [b'"x"']),
        (b"a\nx\ry\n", [b'"x\\ry"']),
        (b'"na""me",b\n1,true\n', [b'{"na\\"me":1,"b":"true"}']),
        (b"\xc3\xa9\n\xe2\x82\xac\n", ['{"é":"€"}'.encode()]),
        (b"a,b\n", []),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_a_row_becomes_an_object(content: bytes, records: list[bytes]) -> None:
    assert payloads(content, "csv") == [each if each.startswith(b"{") else b'{"a":%s}' % each for each in records]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"a,b\n1\n", "1 fields, the header names 2"),
        (b"a\n1,2\n", "2 fields, the header names 1"),
        (b"a,a\n1,2\n", "the header has name 2 twice"),
        (b"a,,b\n1,2,3\n", "the header leaves name 2 empty"),
        (b"\xff,b\n1,2\n", "the header is not UTF-8"),
        (b'a"\n"x"y\n', "text behind a closing quote"),
        (b'a\n"x\n', "a quote that is not closed"),
        (b"a\n\xff\n", "not UTF-8 (byte 0)"),
    ],
)
def test_a_malformed_row_says_why_and_keeps_its_bytes(content: bytes, detail: str) -> None:
    outcome, _ = read_all(content, "csv")
    assert not outcome.records
    (reject,) = outcome.rejects
    row = content.partition(b"\n")[2].removesuffix(b"\n")
    assert (reject.reason, reject.detail) == ("malformed", detail)
    assert reject.kept.rstrip() == row


def test_a_row_of_which_the_object_is_too_long_is_set_aside_and_the_next_one_is_read() -> None:
    outcome, _ = read_all(b"a\n" + b"x" * 55 + b"\n" + b'"' + b"y\n" * 200 + b'"\nz\n', "csv", block=7)
    assert [line.record for line in outcome.records] == [b'{"a":"z"}']
    assert [(reject.reason, reject.size) for reject in outcome.rejects] == [("tooLarge", 55), ("tooLarge", 402)]


# -- JSON documents ----------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab"\\/[]{},:é\n\x01', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"]', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400)
@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans(), blocks, limits)
def test_the_elements_of_an_array_are_what_the_standard_library_reads(
    elements: list[object],
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001 - a parameter of the test
    block: int,
    limit: int,
) -> None:
    content = json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode()
    if len(content) > 150:
        return
    outcome, _ = read_all(content, "json", limit=limit, block=block)
    found = {line.begin: json.loads(line.record) for line in outcome.records}
    assert {reject.reason for reject in outcome.rejects} <= {"tooLarge"}
    begins = sorted([*found, *(reject.begin for reject in outcome.rejects)])
    assert len(begins) == len(elements)
    assert all(found.get(begin, element) == element for begin, element in zip(begins, elements, strict=True))
    assert all(content[line.begin : line.begin + len(line.record)] == line.record for line in outcome.records)


@given(values, blocks)
def test_any_other_document_is_one_record_byte_for_byte(value: object, block: int) -> None:
    content = json.dumps(value, indent=2).encode()
    if content.startswith(b"[") or len(content) > MAX_RECORD:
        return
    outcome, _ = read_all(b"\n " + content + b"\r\n", "json", block=block)
    assert [line.record for line in outcome.records] == [content]


@pytest.mark.parametrize(
    ("content", "records", "rest"),
    [
        (b"[]", [], None),
        (b" [ ] \n", [], None),
        (b"\xef\xbb\xbf[1 , 2\n]\n", [b"1", b"2"], None),
        (b"[[1,[2]],{}]", [b"[1,[2]]", b"{}"], None),
        (b'["]","\\\\",",\\""]', [b'"]"', b'"\\\\"', b'",\\""'], None),
        (b'{"a":1}\n{"b":\n2}\n', [b'{"a":1}', b'{"b":\n2}'], None),
        (b"1" + bytes(20), [b"1"], None),
        (b"[1,2", [b"1"], b"2"),
        (b"[1,2,]", [b"1", b"2"], b"]"),
        (b"[1 2]", [], b"1 2]"),
        (b"[1,{]", [b"1"], b"{]"),
        (b"[1,nan,2]", [b"1"], b"nan,2]"),
        (b"[1] 2", [b"1"], b"2"),
        (b"[1]]", [b"1"], b"]"),
        (b'{"a":1', [], b'{"a":1'),
        (b'{"a":1} x', [], b'{"a":1} x'),
        (b'"a', [], b'"a'),
        (b"]", [], b"]"),
        (b"[1,'x',2]", [b"1"], b"'x',2]"),
    ],
)
def test_where_a_document_is_broken_the_rest_is_set_aside_as_one(
    content: bytes, records: list[bytes], rest: bytes | None
) -> None:
    for block in (3, 65_536):
        outcome, _ = read_all(content, "json", block=block)
        assert [line.record for line in outcome.records] == records
        assert [(reject.reason, reject.kept) for reject in outcome.rejects] == ([("malformed", rest)] if rest else [])


def test_an_element_that_is_not_text_or_too_long_leaves_the_others_alone() -> None:
    outcome, _ = read_all(b'[1,"\xff","' + b"x" * 80 + b'",2]', "json")
    assert [line.record for line in outcome.records] == [b"1", b"2"]
    assert [reject.reason for reject in outcome.rejects] == ["malformed", "tooLarge"]


@pytest.mark.parametrize("fmt", ["json", "file"])
@pytest.mark.parametrize("compressed", [True, False])
def test_a_document_that_is_too_long_is_one_record_too_large(fmt: str, *, compressed: bool) -> None:
    content = b"[" + b"1,\n" * 100 + b"1]"
    outcome, _ = read_all(gzip.compress(content, mtime=0) if compressed else content, fmt, block=10)
    assert not outcome.records
    (reject,) = outcome.rejects
    assert (reject.reason, reject.size, reject.kept) == ("tooLarge", len(content), content[:256])


# -- whole files -------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=MAX_RECORD), blocks)
def test_a_whole_file_is_one_record_whatever_it_holds(content: bytes, block: int) -> None:
    for stored in (content, gzip.compress(content, mtime=0)):
        if stored is content and content.startswith(b"\x1f\x8b"):
            continue
        outcome, _ = read_all(stored, "file", block=block)
        assert [line.record for line in outcome.records] == [content]


# -- gzip --------------------------------------------------------------------------------------------------------------


def unpacked(content: bytes, step: int = 7) -> tuple[bytes, str | None]:
    unpacker = Unpacker()
    found = b""
    with open_file(content) as fd:
        while True:
            while not unpacker.reach(fd, len(found), step):
                pass
            data = unpacker.read(len(found), step)
            if not data:
                return found, unpacker.fault
            found += data


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(0, 9), st.integers(1, 90))
def test_members_are_unpacked_one_after_the_other(members: list[bytes], level: int, step: int) -> None:
    content = b"".join(gzip.compress(member, level, mtime=0) for member in members)
    with patch.object(packed, "_CHUNK", 5):
        assert unpacked(content, step) == (b"".join(members), None)
    assert gzip.decompress(content) == b"".join(members)


@given(st.binary(max_size=200), st.data())
def test_of_a_file_that_ends_too_early_all_there_is_is_given(text: bytes, data: st.DataObject) -> None:
    content = gzip.compress(text, mtime=0)
    cut = data.draw(st.integers(2, len(content) - 1))
    found, fault = unpacked(content[:cut])
    assert text.startswith(found)
    assert found == zlib.decompressobj(31).decompress(content[:cut])
    assert fault == packed.INCOMPLETE


@pytest.mark.parametrize(
    ("trailing", "fault"),
    [
        (bytes(600), None),
        (b"junk", packed.TRAILING),
        (b"\x1fjunk", packed.TRAILING),
        (bytes(9) + b"x", packed.TRAILING),
    ],
)
def test_what_follows_the_last_member_is_padding_or_is_said(trailing: bytes, fault: str | None) -> None:
    content = gzip.compress(b"1\n2\n", mtime=0) + trailing
    assert unpacked(content) == (b"1\n2\n", fault)
    assert payloads(content, "lines") == [b"1", b"2"]


def test_what_is_corrupt_is_given_up_from_there_on() -> None:
    content = bytearray(gzip.compress(os.urandom(3_000).hex().encode(), mtime=0))
    content[len(content) // 2] ^= 0xFF
    content[len(content) // 2 + 1] ^= 0xFF
    found, fault = unpacked(bytes(content), 1_000)
    assert fault == packed.CORRUPT
    assert len(found) < 6_000


def test_a_line_cut_off_by_the_end_of_the_compressed_data_is_set_aside() -> None:
    packer = zlib.compressobj(wbits=31)
    content = packer.compress(b"one\ntwo\nthr") + packer.flush(zlib.Z_SYNC_FLUSH)
    outcome, _ = read_all(content, "lines")
    assert [line.record for line in outcome.records] == [b"one", b"two"]
    assert [(reject.reason, reject.detail, reject.kept) for reject in outcome.rejects] == [
        ("malformed", "the compressed data ends too early", b"thr")
    ]


def test_a_bomb_is_unpacked_a_little_at_a_time() -> None:
    packer = zlib.compressobj(wbits=31)
    content = b"".join(packer.compress(b"\n" * (1 << 20)) for _ in range(64)) + packer.flush()
    unpacker = Unpacker()
    with open_file(content) as fd:
        while not unpacker.reach(fd, 60 << 20, 100):
            assert len(unpacker.read(0, 1 << 30)) <= 2 << 20
        assert unpacker.read(60 << 20, 100) == b"\n" * 100

"""Every format in a watched directory: when it is read, what survives a restart, what becomes of a changed file."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox
from weir.core.positions import PACKED
from weir.sources import documents, packed

NUMBERS = [b"%d" % number for number in range(700)]
OBJECTS = [b'{"n":%s}' % number for number in NUMBERS]
LINES = b"".join(number + b"\n" for number in NUMBERS)


def packed_bytes(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


CONTENTS = {
    "a.jsonl": (LINES, NUMBERS),
    "a.log": (LINES, NUMBERS),
    "a.csv": (b"n\n" + LINES, OBJECTS),
    "a.json": (b"[" + b",\n ".join(NUMBERS) + b"]\n", NUMBERS),
    "a.log.gz": (packed_bytes(LINES), NUMBERS),
    "a.jsonl-20260101.gz": (packed_bytes(LINES[:2_000]) + packed_bytes(LINES[2_000:]), NUMBERS),
    "a.csv.1.gz": (packed_bytes(b"\xef\xbb\xbfn\r\n" + LINES), OBJECTS),
    "a.json.gz": (packed_bytes(b"[" + b",\n ".join(NUMBERS) + b"]\n"), NUMBERS),
}
BY_NAME = pytest.mark.parametrize("name", CONTENTS)


@BY_NAME
def test_auto_reads_a_file_as_its_name_says(box: Inbox, name: str) -> None:
    content, records = CONTENTS[name]
    box.write(name, content)
    assert box.pass_on(5.0) == records
    assert box.rejects == []
    assert box.source.exhausted()
    assert box.source.unread() == (0, 0)
    assert box.counts().skipped_files == 0


@BY_NAME
def test_a_file_that_was_read_is_at_rest_and_stays_so_after_a_restart(box: Inbox, name: str) -> None:
    box.write(name, CONTENTS[name][0])
    box.pass_on(70.0)
    assert box.source._files.live == {}  # noqa: SLF001 - nothing is opened for what is at rest
    box.restart()
    assert box.pass_on(5.0) == []
    assert box.source._files.live == {}  # noqa: SLF001 - nor is it unpacked again
    assert box.source.exhausted()


@BY_NAME
def test_after_a_kill_at_any_point_each_record_arrives_and_none_is_changed(box: Inbox, name: str) -> None:
    content, records = CONTENTS[name]
    box.write(name, content)
    arrived: list[bytes] = []
    for kill in range(12):
        box.look(4.0)
        for _ in range(1 + kill % 4):  # some are settled, some only read
            reading = box.source.read(box.now, 50 + kill)
            if reading is not None and reading.span is not None:
                box.spans.append(reading.span)
        settled = [span for at, span in enumerate(box.spans) if (at + kill) % 3]
        arrived.extend(span.payload(index) for span in settled for index in range(len(span)))
        box.spans[:] = settled
        box.settle()
        box.commit()
        box.restart()
    arrived += box.pass_on(5.0)
    assert sorted(arrived, key=records.index) == records, "each once: whatever was settled was committed"
    assert box.rejects == []


@BY_NAME
@pytest.mark.parametrize("on_done", ["archive", "delete"])
def test_a_file_of_any_format_is_finished(path: Path, name: str, on_done: str) -> None:
    box = Inbox(path, on_done=on_done)
    content, records = CONTENTS[name]
    box.write(name, content)
    assert box.pass_on(70.0) == records
    assert not (path / name).exists()
    assert (path / ".weir-archive" / name).exists() == (on_done == "archive")
    box.pass_on(70.0)  # only a later commit forgets it
    assert box.rows == {}
    assert box.counts().late_bytes == 0


@BY_NAME
def test_a_file_rewritten_in_place_is_another_generation(box: Inbox, name: str) -> None:
    content, records = CONTENTS[name]
    box.write(name, content)
    box.pass_on(5.0)
    other = gzip.decompress(content) if name.endswith(".gz") else content
    other = other.replace(b"69", b"71")
    box.write(name, packed_bytes(other) if name.endswith(".gz") else other, "r+b")
    os.truncate(box.path / name, len(packed_bytes(other)) if name.endswith(".gz") else len(other))
    assert box.pass_on(5.0) == [record.replace(b"69", b"71") for record in records]
    assert box.rejects == []


@BY_NAME
def test_a_file_that_is_gone_before_it_was_read_through_is_counted(box: Inbox, name: str) -> None:
    box.write("stays", b"x\n")
    box.write(name, CONTENTS[name][0])
    box.look(4.0)
    for _ in range(2):
        assert box.source.read(box.now, 10) is not None
    box.source._files.open.release_all()  # noqa: SLF001 - as where many files are open
    (box.path / name).unlink()
    box.source._turn = None  # noqa: SLF001 - as above
    box.pass_on(10.0)
    assert box.counts().vanished_files == 1


# Settled first


@pytest.mark.parametrize("name", ["a.json", "a.log.gz", "a.csv.gz"])
def test_what_cannot_be_read_in_parts_is_read_once_it_is_settled(box: Inbox, name: str) -> None:
    content = b'{\n"a": 1}' if name == "a.json" else packed_bytes(b"a\n1\n")
    box.write(name, content[:5])
    assert box.pass_on(1.0) == []
    assert not box.source.exhausted()
    box.write(name, content)
    assert box.pass_on(1.0) == []
    assert len(box.pass_on(3.0)) >= 1
    assert box.rejects == []


def test_a_whole_file_is_a_record_and_another_one_when_it_changed(path: Path) -> None:
    box = Inbox(path, format="file")
    box.write("a.bin", b"\x00\n\xff")
    box.write("empty", b"")
    box.write("b.bin.gz", packed_bytes(b"unpacked"))
    assert sorted(box.pass_on(5.0)) == [b"\x00\n\xff", b"unpacked"]
    box.append("a.bin", b"more")
    assert box.pass_on(5.0) == [b"\x00\n\xffmore"]
    box.restart()
    assert box.pass_on(5.0) == []
    box.append("a.bin", b"!")
    box.restart()
    assert box.pass_on(5.0) == [b"\x00\n\xffmore!"]
    box.write("b.bin.gz", packed_bytes(b"unpacked again"))
    assert box.pass_on(5.0) == [b"unpacked again"]
    box.write("a.bin", b"x" * 1_001)
    box.pass_on(5.0)
    assert [(reject.reason, reject.size) for reject in box.rejects] == [("tooLarge", 1_001)]
    assert box.source.exhausted()


def test_a_document_is_bounded_by_its_own_limit(path: Path) -> None:
    box = Inbox(path, max_document_bytes=3_000, format="json")
    box.write("a", b"[" + b"1," * 1_499 + b"1]")
    box.write("b", b"[" + b"1," * 400 + b"1]")
    assert box.pass_on(5.0) == [b"1"] * 401
    assert [(reject.reason, reject.size) for reject in box.rejects] == [("tooLarge", 3_001)]
    assert box.source.exhausted()


# Files that grow


def test_a_csv_file_is_followed_row_by_row_with_the_names_of_its_header(box: Inbox) -> None:
    box.write("a.csv", b"a,b\n")
    assert box.pass_on() == []
    box.append("a.csv", b'1,"x\n')
    assert box.pass_on() == []
    box.append("a.csv", b'y"\n2,')
    assert box.pass_on() == [b'{"a":1,"b":"x\\ny"}']
    box.restart()
    box.append("a.csv", b"z\n3,w")
    assert box.pass_on() == [b'{"a":2,"b":"z"}']
    assert box.pass_on(4.0) == [b'{"a":3,"b":"w"}']
    assert box.rejects == []


def test_a_header_that_is_not_complete_is_waited_for(box: Inbox) -> None:
    box.write("a.csv", b"a,")
    assert box.pass_on() == []
    box.append("a.csv", b"b\n1,2\n")
    assert box.pass_on() == [b'{"a":1,"b":2}']


def test_another_delimiter_is_taken_at_its_word(path: Path) -> None:
    box = Inbox(path, csv_delimiter="\t")
    box.write("a.csv", b"a\tb\n1,5\t\n\t\n\n")
    assert box.pass_on() == [b'{"a":"1,5","b":null}', b'{"a":null,"b":null}']


def test_rows_under_a_header_that_cannot_be_used_are_set_aside_one_by_one(box: Inbox) -> None:
    box.write("a.csv", b"a,a\n1,2\n3,4\n")
    assert box.pass_on() == []
    assert [(reject.kept, reject.detail) for reject in box.rejects] == [
        (b"1,2", "the header has name 2 twice"),
        (b"3,4", "the header has name 2 twice"),
    ]
    assert box.source.exhausted()


def test_the_object_of_a_row_is_bounded_as_a_record_is(path: Path) -> None:
    box = Inbox(path, max_record_bytes=20)
    box.write("a.csv", b"name\n1\n" + b"x" * 12 + b"\n2\n")
    assert box.pass_on() == [b'{"name":1}', b'{"name":2}']
    assert [(reject.reason, reject.detail) for reject in box.rejects] == [("tooLarge", "23 bytes, allowed are 20")]


def test_a_document_that_is_followed_by_another_line_later_is_read_on(box: Inbox) -> None:
    box.write("a.json", b'{"a":1}\n')
    assert box.pass_on(5.0) == [b'{"a":1}']
    box.append("a.json", b'{"a":2}\n')
    assert box.pass_on(5.0) == [b'{"a":2}']
    box.restart()
    box.append("a.json", b'{"a":3}\n')
    assert box.pass_on(5.0) == [b'{"a":3}']
    assert box.rejects == []


def test_what_follows_an_array_that_is_over_is_set_aside(box: Inbox) -> None:
    box.write("a.json", b"[\n1,\n2]\n")
    assert box.pass_on(5.0) == [b"1", b"2"]
    box.restart()
    box.append("a.json", b"3]\n")
    assert box.pass_on(5.0) == []
    assert [(reject.reason, reject.kept) for reject in box.rejects] == [("malformed", b"3]")]


# gzip


@pytest.mark.parametrize("restarted", [True, False])
def test_a_compressed_file_that_grows_by_a_member_is_gone_on_with(box: Inbox, *, restarted: bool) -> None:
    box.write("a.gz", packed_bytes(b"1\n2\n"))
    assert box.pass_on(5.0) == [b"1", b"2"]
    if restarted:
        box.restart()
    box.append("a.gz", packed_bytes(b"3\n4\n"))
    assert box.pass_on(5.0) == [b"3", b"4"]
    assert box.positions() == {b"a.gz": PACKED + 8}


def test_a_compressed_file_that_its_writer_flushes_now_and_then_is_read_on(box: Inbox) -> None:
    packer = zlib.compressobj(wbits=31)
    for number in range(3):
        text = packer.compress(b"%d\n" % number) + packer.flush(zlib.Z_SYNC_FLUSH)
        box.append("a.gz", text)
        assert box.pass_on(5.0) == [b"%d" % number]
    box.append("a.gz", packer.compress(b"last\n") + packer.flush())
    assert box.pass_on(5.0) == [b"last"]
    assert box.rejects == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-20], packed.INCOMPLETE),
        (lambda content: content[:40] + b"\xff\xff\xff" + content[43:], packed.CORRUPT),
        (lambda content: content[:-8] + bytes(8), packed.CORRUPT),
        (lambda content: content + b"something else", packed.TRAILING),
        (lambda content: content[:12], packed.INCOMPLETE),
        (lambda content: content[:2], packed.INCOMPLETE),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.json.gz"])
def test_of_a_damaged_file_what_is_there_is_read_and_the_damage_is_said_once(
    box: Inbox, name: str, damage: object, reason: str
) -> None:
    content, records = CONTENTS[{"a.jsonl.gz": "a.log.gz", "a.csv.gz": "a.csv.1.gz"}.get(name, name)]
    assert callable(damage)
    box.write(name, damage(content))
    got = box.pass_on(70.0)
    assert got == records[: len(got)]
    assert len(box.rejects) <= 1
    assert [event for event in box.events if event[0] == "source_skipped"] == [
        ("source_skipped", {"file": name, "reason": reason})
    ]
    assert box.counts().skipped_files == 1
    assert box.source.exhausted()
    assert box.source._files.live == {}  # noqa: SLF001 - it is at rest
    box.restart()
    assert box.pass_on(5.0) == []
    assert box.counts().skipped_files == 1


@pytest.mark.parametrize("content", [b"[", b"[1,", b"[1,\n 2 ,\n"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_an_array_that_ends_where_an_element_is_due_is_named_and_read_on(box: Inbox, name: str, content: bytes) -> None:
    def stored(part: bytes) -> bytes:
        return packed_bytes(part) if name.endswith(".gz") else part

    box.write(name, stored(content))
    got = box.pass_on(70.0)
    assert got == [number for number in (b"1", b"2") if number in content]
    assert [event for event in box.events if event[0] == "source_skipped"] == [
        ("source_skipped", {"file": name, "reason": documents.INCOMPLETE})
    ]
    box.append(name, stored(b"3, "))
    assert box.pass_on(70.0) == [b"3"]
    box.restart()
    box.append(name, stored(b"4]"))
    assert box.pass_on(70.0) == [b"4"]
    assert len([event for event in box.events if event[0] == "source_skipped"]) == 2  # each time it ended so
    assert box.rejects == []
    assert box.counts().skipped_files == 0  # all of it was read


@pytest.mark.parametrize("content", [b"[]", b"[1, 2]\n", b"[\n]"])
def test_an_array_that_is_closed_is_not_named(box: Inbox, content: bytes) -> None:
    box.write("a.json", content)
    box.pass_on(70.0)
    assert not [event for event in box.events if event[0] == "source_skipped"]


def test_zero_bytes_behind_the_last_member_are_padding(box: Inbox) -> None:
    box.write("a.gz", packed_bytes(b"1\n") + bytes(5_000))
    assert box.pass_on(5.0) == [b"1"]
    assert box.events == []
    assert box.source.unread() == (0, 0)


def test_a_compressed_file_of_nothing_is_read_through(box: Inbox) -> None:
    for name in ("a.gz", "a.csv.gz", "a.json.gz"):
        box.write(name, packed_bytes(b""))
        box.write(f"b{name}", packed_bytes(b"\n\n"))
    assert box.pass_on(70.0) == []
    assert box.source.exhausted()
    assert box.source._files.live == {}  # noqa: SLF001 - all at rest
    assert (box.rejects, box.events) == ([], [])


def test_a_plain_file_that_becomes_a_compressed_one_is_unpacked(box: Inbox) -> None:
    box.write("a.log", b"1\n2\n")
    assert box.pass_on(5.0) == [b"1", b"2"]
    box.write("a.log", packed_bytes(b"3\n4\n"))
    assert box.pass_on(5.0) == [b"3", b"4"]
    box.write("a.log", b"5\n")
    assert box.pass_on(5.0) == [b"5"]
    assert box.rejects == []


@pytest.mark.parametrize("name", ["a.log.gz", "a.json.gz", "a.json"])
def test_a_power_cut_that_takes_the_end_of_a_file_has_it_read_again_and_the_twins_counted(
    box: Inbox, name: str
) -> None:
    content, records = CONTENTS[name]
    box.write(name, content)
    assert box.pass_on(5.0) == records
    os.truncate(box.path / name, len(content) - 15)
    box.restart(same_boot=False)
    again = box.pass_on(5.0)
    assert again == records[: len(again)]
    assert len(again) <= box.counts().possible_twins


def test_a_compressed_file_unpacks_in_bounded_memory_and_is_read_to_its_end(box: Inbox) -> None:
    with gzip.open(box.path / "a.log.gz", "wb") as file:
        for _ in range(100):
            file.write(b"\n" * (1 << 20))
        file.write(b"last\n")
    assert box.pass_on(4.0) == [b"last"]


def test_records_of_every_format_are_json_where_they_say_so(box: Inbox) -> None:
    for name, (content, _) in CONTENTS.items():
        box.write(name, content)
    for record in box.pass_on(5.0):
        json.loads(record)
    assert {row["format"] for row in box.rows.values()} == {"jsonl", "lines", "csv", "json"}

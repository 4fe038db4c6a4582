"""An entry of the quarantine as people see it: nothing in it reaches a terminal as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.core.quarantine import Entry
from weir.report import quarantine as report


def entry(**changes: object) -> Entry:
    made = Entry(7, b"\x01" * 16, "s", 1_700_000_000.0, "malformed", "not JSON", "t/s", b"a.log", 5, 3, 3)
    return made._replace(**changes)  # type: ignore[arg-type]  # of a test


def test_an_entry_is_one_line_below_a_header() -> None:
    assert report.line(report.document(entry())).split() == [
        *("7", "2023-11-14T22:13:20Z", "malformed", "3", "3", "yes", "s", "t/s", "a.log:5", "not", "JSON"),
    ]
    assert len(report.HEADER.split()) == 10


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"file": b""}, "record 5"),
        ({"file": b"", "place": -5}, "replayed"),
        ({}, "a.log:5"),
        ({"place": 10**18 + 33}, "a.log:33 unpacked"),
    ],
)
def test_where_a_record_came_from_is_said(changes: dict[str, object], place: str) -> None:
    assert f"  {place}  " in report.line(report.document(entry(**changes)))


@given(file=st.binary(max_size=30), text=st.text(max_size=30), body=st.binary(max_size=60))
def test_nothing_of_it_is_anything_a_terminal_would_act_on(file: bytes, text: str, body: bytes) -> None:
    document = report.document(entry(file=file, detail=text, topic=text, stream=text, size=len(body), kept=len(body)))
    for line in (report.line(document), *report.shown(document, body)):
        assert line.isprintable(), repr(line)


def test_text_is_shown_as_text_a_line_at_a_time_and_anything_else_in_hexadecimal() -> None:
    assert list(report.content('{"a":\t"ä"}\r\n2'.encode(), whole=True)) == ['  {"a":\\u0009"ä"}\\u000d', "  2"]
    assert list(report.content(b"ab\x00\xff", whole=True)) == [
        "  00000000  61 62 00 ff                                      ab..",
    ]
    assert len(list(report.content(bytes(range(256)), whole=True))) == 16


def test_a_letter_that_was_cut_does_not_make_a_text_binary() -> None:
    assert list(report.content("grün ü".encode()[:-1], whole=False)) == ["  grün "]
    assert next(iter(report.content("grün ü".encode()[:-1], whole=True))).startswith("  00000000")


def test_what_was_only_counted_is_told() -> None:
    assert report.footer({"entries": 0, "bytes": 0, "notKept": 0}) == "nothing is in quarantine"
    assert "7 more were counted but not kept" in report.footer({"entries": 2, "bytes": 9, "notKept": 7})

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.sources.formats import GZIP_MAGIC, by_name, choose, fault, is_compressed, passes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("name", "fmt"),
    [
        (b"a.jsonl", "jsonl"),
        (b"a.NDJSON", "jsonl"),
        (b"a.csv", "csv"),
        (b"a.json", "json"),
        (b"a.log", "lines"),
        (b"a", "lines"),
        (b"a.jsonl.gz", "jsonl"),
        (b"a.csv.12", "csv"),
        (b"a.csv.1.gz", "csv"),
        (b"a.jsonl-20240131", "jsonl"),
        (b"a.jsonl-20240131.gz", "jsonl"),
        (b"a.jsonl-2024013", "lines"),
        (b"a-20240131.csv", "csv"),
        (b"jsonl", "lines"),
        (b".1", "lines"),
        (b"\xff\xfe.csv", "csv"),
    ],
)
def test_the_name_says_the_format(name: bytes, fmt: str) -> None:
    assert by_name(name) == fmt


@pytest.mark.parametrize(
    ("start", "settled", "fmt"),
    [
        (b'{"a":1}\n{"a":2}\n', False, "jsonl"),
        (b'\n {"a":1}\r\n\r\n{"a', False, "jsonl"),
        (b'{"a":1}\n', False, None),
        (b'{"a":1}\n', True, "json"),
        (b'{"a":1}\n\n \n', True, "json"),
        (b'{"a":1}', False, None),
        (b'{\n "a":1\n}\n', False, "json"),
        (b"[\n", False, "json"),
        (b"", True, "json"),
    ],
)
def test_a_json_file_is_lines_of_json_only_if_a_second_line_follows_a_complete_first(
    start: bytes,
    settled: bool,  # noqa: FBT001 - a parameter of the test
    fmt: str | None,
) -> None:
    assert choose("auto", b"a.json", start, settled=settled) == fmt


def test_what_is_configured_wins_over_the_name() -> None:
    assert choose("lines", b"a.csv", b"a,b\n", settled=False) == "lines"
    assert choose("jsonl", b"a.json", b"{\n", settled=False) == "jsonl"
    assert choose("json", b"a.jsonl", b"{}\n{}\n", settled=False) == "json"


def test_what_is_compressed_is_told_by_its_first_bytes() -> None:
    assert is_compressed(GZIP_MAGIC + b"\x08\0", settled=False)
    assert is_compressed(GZIP_MAGIC[:1], settled=False) is None
    assert is_compressed(GZIP_MAGIC[:1], settled=True) is False
    assert is_compressed(b"not compressed at all\n", settled=False) is False


@given(json_values)
def test_what_json_writes_passes(value: object) -> None:
    for record in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode(errors="replace")):
        if b"\\ud" not in record:  # half a surrogate pair is not text, and is refused below
            assert fault("jsonl", record) is None
            assert passes("jsonl", [record], record + b"\n")


@given(st.binary(max_size=40) | st.text('[]{}":,.-+eE0123tfnul \\\t', max_size=20).map(str.encode))
def test_a_record_passes_alone_if_and_only_if_json_reads_it(record: bytes) -> None:
    wrong = fault("jsonl", record)
    assert (wrong is None) == passes("jsonl", [record], record + b"\n")
    assert (wrong is None) == is_json(record)


def is_json(record: bytes) -> bool:
    try:
        json.loads(record.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return b"\\ud" not in record.lower()


def refuse(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        (b"NaN", "invalid character (byte 0)"),
        (b'{"a":1} x', "trailing characters (byte 9)"),
        (b'{"secret', "Input data was truncated"),
        (b'{"a":"\xff"}', "not UTF-8 (byte 6)"),
        (b"\0\0\0", "invalid character (byte 0)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\xef\xbb\xbf1", "invalid character (byte 0)"),
        (b'"\\ud800"', "Input data was truncated"),
    ],
)
def test_a_fault_names_its_place_and_cause_and_repeats_nothing(record: bytes, wrong: str) -> None:
    assert fault("jsonl", record) == wrong
    assert not passes("jsonl", [record], record + b"\n")


@given(st.binary())
def test_any_line_is_a_line(record: bytes) -> None:
    assert fault("lines", record) is None

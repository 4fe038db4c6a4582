"""Cutting a block of a CSV file into rows, each of which becomes a JSON object with the names of the header.

Owns what a row is (RFC 4180, as spreadsheets and the standard library write it), and what its fields become. Knows
nothing of files: a block comes in, as many good rows as there are and the bad ones right behind them come out.

A row ends at a newline outside of quotes; a carriage return just before it belongs to the row end. A field that begins
with a quote ends at the next single one, and two stand for one; elsewhere a quote is a character like any other.
Whether a field is quoted makes no difference to what it is: an empty one is null, a JSON number keeps exactly its
characters, everything else is a string.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from weir.core.digest import sha256
from weir.core.span import SPAN_BYTES, SPAN_RECORDS
from weir.sources.formats import BLANKS
from weir.sources.lines import KEPT_BYTES, MARK, Bad, Cut, LongLine, Rules, Run

_QUOTE: Final = b'"'
_number = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_special = re.compile(rb'["\\\x00-\x1f]').search
_quoted = msgspec.json.Encoder().encode


class Header(NamedTuple):
    """The names of the fields, each as the start of its member in an object; or why they cannot be used."""

    end: int  # just past it in the file
    names: tuple[bytes, ...]
    fault: str | None = None


class _Malformed(ValueError):
    """A row that is not as it should be; the text says why, and repeats none of it."""


def header_of(start: bytes, rules: Rules, *, final: bool) -> Header | None:
    """Find the header in the first bytes of a file; None while it is not there. `final` if these are all bytes."""
    at = len(MARK) if start.startswith(MARK) else 0
    while True:
        at += len(start) - at - len(start[at:].lstrip(b"\0"))
        end = _row_end(start, at, rules.delimiter) or (len(start) if final else 0)
        if end <= at:
            return None
        row = _without_end(start[at:end])
        if row.strip(_blanks(rules.delimiter)):
            return _named(row, end, rules.delimiter)
        at = end


def _named(row: bytes, end: int, delimiter: bytes) -> Header:
    try:
        row.decode()
        names = _fields(row, delimiter)
    except UnicodeDecodeError:
        return Header(end, (), "the header is not UTF-8")
    except _Malformed as error:
        return Header(end, (), f"the header has {error}")
    if not all(names):
        return Header(end, (), f"the header leaves name {names.index(b'') + 1} empty")
    if len(set(names)) < len(names):
        later = next(at for at, name in enumerate(names) if name in names[:at])
        return Header(end, (), f"the header has name {later + 1} twice")
    return Header(end, tuple((b"," if at else b"{") + _string(name) + b":" for at, name in enumerate(names)))


def cut_rows(block: bytes, start: int, limit: int, rules: Rules, header: Header, *, final: bool = False) -> Cut:
    """Cut up to `limit` rows from a block that begins at `start` of its file, where a row begins.

    What follows the last row end is left alone, unless this is `final`: then a row ends where the block ends.
    """
    records: list[bytes] = []
    extents = array("Q")
    bad: list[Bad] = []
    blanks = _blanks(rules.delimiter)
    begin, at, room = start, 0, SPAN_BYTES
    for end in _ends(block, rules.delimiter, final=final):
        row = _without_end(block[at:end])
        if rules.gaps and row.startswith(b"\0"):
            break  # what a power cut left: whoever reads passes it by
        if row.strip(blanks):
            made = _judge(row, start + at, start + end, rules, header)
            is_bad = isinstance(made, Bad)
            if len(records) + len(bad) >= min(limit, SPAN_RECORDS) or (bad and not is_bad) or room <= 0:
                break
            if isinstance(made, Bad):
                bad.append(made)
            else:
                records.append(made)
                extents.append(start + end)
                room -= len(made)
        elif bad:
            bad[-1] = bad[-1]._replace(end=start + end)
        elif records:
            extents[-1] = start + end
        else:
            begin = start + end
        at = end
    run = None
    if records:
        ends = array("Q", accumulate(len(record) + 1 for record in records))
        run = Run(b"\n".join((*records, b"")), ends, extents)
    return Cut(begin, start + at, run, bad)


def _ends(block: bytes, delimiter: bytes, *, final: bool) -> Iterator[int]:
    """Give where the rows of a block end, just past their newlines."""
    at = 0
    while at < len(block):
        end = _row_end(block, at, delimiter)
        if not end:
            if final:
                yield len(block)
            return
        yield end
        at = end


def _row_end(block: bytes, at: int, delimiter: bytes) -> int:
    """Find the end of the row that begins at `at`, just past its newline; 0 if it is not in the block."""
    newline = block.find(b"\n", at)
    if newline < 0 or block.find(_QUOTE, at, newline) < 0:
        return newline + 1
    while True:
        if block.startswith(_QUOTE, at):
            at = _closing(block, at + 1) + 1
            if at <= 0 or at == len(block):
                return 0
            if newline < at:
                newline = block.find(b"\n", at)
        if newline < 0:
            return 0
        comma = block.find(delimiter, at, newline)
        if comma < 0:
            return newline + 1
        at = comma + 1


def _closing(block: bytes, at: int) -> int:
    """Find the quote that closes a field; -1 if it is not there."""
    while (quote := block.find(_QUOTE, at)) >= 0 and block.startswith(_QUOTE, quote + 1):
        at = quote + 2
    return quote


def _without_end(row: bytes) -> bytes:
    return row.removesuffix(b"\n").removesuffix(b"\r")


def _blanks(delimiter: bytes) -> bytes:
    return BLANKS.replace(delimiter, b"")


def _judge(row: bytes, begin: int, end: int, rules: Rules, header: Header) -> bytes | Bad:
    """Make the object of a row, or say why it is set aside; what is kept then is the row itself."""
    detail = ""
    try:
        made = _object(row, rules.delimiter, header) if len(row) <= rules.max_record_bytes else row
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 (byte {error.start})"
    except _Malformed as error:
        detail = str(error)
    else:
        if len(made) <= rules.max_record_bytes:
            return made
        detail = f"{len(made)} bytes, allowed are {rules.max_record_bytes}"
        return Bad("tooLarge", detail, begin, end, len(row), row[:KEPT_BYTES], sha256(row).digest())
    return Bad("malformed", detail, begin, end, len(row), row, sha256(row).digest())


def _object(row: bytes, delimiter: bytes, header: Header) -> bytes:
    if header.fault is not None:
        raise _Malformed(header.fault)
    if not row.isascii():
        row.decode()
    fields = _fields(row, delimiter)
    if len(fields) != len(header.names):
        raise _Malformed(f"{len(fields)} fields, the header names {len(header.names)}")
    parts = []
    for name, field in zip(header.names, fields, strict=True):
        parts.append(name)
        parts.append((field if _number(field) else _string(field)) if field else b"null")
    parts.append(b"}")
    return b"".join(parts)


def _string(field: bytes) -> bytes:
    return _quoted(field.decode()) if _special(field) else b'"%s"' % field


def _fields(row: bytes, delimiter: bytes) -> list[bytes]:
    if _QUOTE not in row:
        return row.split(delimiter)
    fields: list[bytes] = []
    at = 0
    while True:
        if row.startswith(_QUOTE, at):
            close = _closing(row, at + 1)
            if close < 0:
                raise _Malformed("a quote that is not closed")
            fields.append(row[at + 1 : close].replace(b'""', _QUOTE))
            at = close + 1
            if at < len(row) and not row.startswith(delimiter, at):
                raise _Malformed("text behind a closing quote")
        else:
            end = row.find(delimiter, at)
            fields.append(row[at:] if end < 0 else row[at:end])
            at = len(row) if end < 0 else end
        if at >= len(row):
            return fields
        at += 1


class LongRow(LongLine):
    """A row that is longer than a record may be, as it passes by."""

    def __init__(self, begin: int, rules: Rules) -> None:
        super().__init__(begin, rules)
        self._delimiter = rules.delimiter
        self._state = _START

    def _end_in(self, data: bytes) -> int:
        """Follow the quotes, from where the last bytes have left them."""
        at = 0
        while at < len(data):
            if self._state is _INSIDE:
                quote = data.find(_QUOTE, at)
                if quote < 0:
                    return 0
                at, self._state = quote + 1, _CLOSING
            elif self._state in {_START, _CLOSING} and data.startswith(_QUOTE, at):
                at, self._state = at + 1, _INSIDE  # two quotes stand for one, and the field goes on
            else:
                at = self._pass_field(data, at)
                if self._state is _OVER:
                    return at
        return 0

    def _pass_field(self, data: bytes, at: int) -> int:
        """Go on to the next field, or to the end of the row."""
        self._state = _OUTSIDE
        ends = [place for place in (data.find(b"\n", at), data.find(self._delimiter, at)) if place >= 0]
        if not ends:
            return len(data)
        self._state = _OVER if data.startswith(b"\n", min(ends)) else _START
        return min(ends) + 1


_START, _INSIDE, _CLOSING, _OUTSIDE, _OVER = "start", "inside", "closing", "outside", "over"

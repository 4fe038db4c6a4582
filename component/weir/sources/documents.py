"""Cutting JSON documents: a whole value is one record, and so is each element of an array at the top.

Owns where a value ends and what becomes of what is not JSON. Knows nothing of files: a block comes in, with what is
known of the place where it begins. A record is forwarded byte for byte, without the whitespace and commas around it.

What follows a value on a line of its own is another document, so that a file whose second line came late is read on.
Where a document is broken it cannot be told what was meant by the rest of it, which is set aside as one. Where it just
ends between two elements there is no rest: a file like that is named, and read on if more comes.
"""

from __future__ import annotations

import re
from array import array
from itertools import accumulate
from typing import Final, NamedTuple

from weir.core.digest import sha256
from weir.core.span import SPAN_BYTES, SPAN_RECORDS
from weir.sources.formats import JSONL, fault
from weir.sources.lines import KEPT_BYTES, MARK, Bad, Cut, Rules, Run, judge

START: Final = "start"  # of the file
VALUE: Final = "value"  # a document is expected
ELEMENT: Final = "element"  # an element of the array that the file is
AFTER: Final = "after"  # the array is over

INCOMPLETE: Final = "json_incomplete"  # the file ends where another element of its array is due

_SPACE: Final = b" \t\r\n"
_REST: Final = b" \t\r\n\0"  # what may follow a document
_HARMLESS: Final = ("not UTF-8", "nested too deeply")  # faults that leave no doubt where the value ends
_token = re.compile(rb'"[^"\\]*"|["\[\]{}]').search
_scalar = re.compile(rb"[-+.0-9A-Za-z]*").match


class Part(NamedTuple):
    """What a block gave: the records, and what is expected behind them. None as a cut: it takes more bytes."""

    cut: Cut | None
    state: str


def state_before(behind: bytes, start: bytes) -> str:
    """Tell what is expected at a place that is not the start, from the bytes before it and the start of the file."""
    text = start.removeprefix(MARK).lstrip(_SPACE)
    if not text.startswith(b"["):
        return VALUE
    return AFTER if behind.rstrip(_REST).endswith(b"]") else ELEMENT


def cut_values(block: bytes, start: int, limit: int, rules: Rules, state: str, *, whole: bool) -> Part:
    """Cut up to `limit` records from a block that begins at `start`; `whole` if nothing follows it in the file."""
    cutter = _Cutter(block, start, rules, state, whole=whole)
    cutter.run(min(limit, SPAN_RECORDS))
    return cutter.part()


class _Cutter:
    def __init__(self, block: bytes, start: int, rules: Rules, state: str, *, whole: bool) -> None:
        self._block = block
        self._start = start
        self._rules = rules
        self._whole = whole
        self._state = state
        self._at = 0
        self._records: list[bytes] = []
        self._extents = array("Q")
        self._bad: list[Bad] = []
        self._begin = 0

    def part(self) -> Part:
        if not self._at and not self._whole:
            return Part(None, self._state)
        run = None
        if self._records:
            ends = array("Q", accumulate(len(record) + 1 for record in self._records))
            run = Run(b"\n".join((*self._records, b"")), ends, self._extents)
        return Part(Cut(self._start + self._begin, self._start + self._at, run, self._bad), self._state)

    def run(self, limit: int) -> None:
        self._lead()
        room = SPAN_BYTES
        while self._at < len(self._block) and len(self._records) + len(self._bad) < limit and room > 0:
            if self._state == AFTER:
                self._give_up("bytes behind the end of the array")
                return
            before = self._at
            if not self._value():
                return
            room -= self._at - before

    def _lead(self) -> None:
        """Pass by what leads to the first value of the block."""
        if self._state == START and self._block.startswith(MARK):
            self._at = len(MARK)
        at = self._skip(self._at, _SPACE if self._state == START else _REST)
        if self._state == START and at < len(self._block):
            self._state = VALUE
            if self._block.startswith(b"[", at):
                self._state = ELEMENT
                at = self._skip(at + 1)
                if self._block.startswith(b"]", at):
                    at, self._state = self._skip(at + 1, _REST), AFTER
                elif at == len(self._block) and not self._whole:
                    self._state, at = START, 0  # nothing is known of it yet
        if self._state == START and not self._whole:
            at = 0
        self._at = self._begin = at

    def _skip(self, at: int, what: bytes = _SPACE) -> int:
        while at < len(self._block) and self._block[at] in what:
            at += 1
        return at

    def _value(self) -> bool:
        """Take one value and what parts it from the next; False if this is the end of what can be taken now."""
        end = value_end(self._block, self._at)
        if end < 0 or (end == len(self._block) and not self._whole):
            return self._give_up("ends within a value") if self._whole else False
        after = self._skip(end)
        if after == len(self._block) and not self._whole:
            return False
        state = self._state
        if state == ELEMENT:
            mark = self._block[after : after + 1]
            if mark not in {b",", b"]"} or end == self._at:
                return self._give_up(self._why(end) or "an array that is not closed")
            state = ELEMENT if mark == b"," else AFTER
            after = self._skip(after + 1, _SPACE if mark == b"," else _REST)
        else:
            after = self._skip(end, _REST)
            if after < len(self._block) and b"\n" not in self._block[end:after]:
                return self._give_up(self._why(end) or "bytes behind the end of the document")
        return self._take(end, after, state)

    def _why(self, end: int) -> str | None:
        return fault(JSONL, self._block[self._at : end])

    def _take(self, end: int, after: int, state: str) -> bool:
        record = self._block[self._at : end]
        wrong = judge(record, self._start + self._at, self._start + after, self._rules)
        if wrong is None and self._bad:
            return False
        if wrong is not None and wrong.reason == "malformed" and not wrong.detail.startswith(_HARMLESS):
            return self._give_up(wrong.detail)
        if wrong is None:
            self._records.append(record)
            self._extents.append(self._start + after)
        else:
            self._bad.append(wrong)
        self._at, self._state = after, state
        return True

    def _give_up(self, detail: str) -> bool:
        """Set the rest aside, once all of it is there."""
        if not self._whole:
            return False
        rest = self._block[self._at :].rstrip(_REST)
        kept = rest if len(rest) <= self._rules.max_record_bytes else rest[:KEPT_BYTES]
        begin, end = self._start + self._at, self._start + len(self._block)
        self._bad.append(Bad("malformed", detail, begin, end, len(rest), kept, sha256(rest).digest()))
        self._at, self._state = len(self._block), AFTER
        return False


def value_end(block: bytes, at: int) -> int:
    """Find the end of the value that begins at `at`; -1 if it is not in the block. It may be no JSON all the same."""
    first = block[at : at + 1]
    if first == b'"':
        return _string_end(block, at)
    if first not in {b"{", b"["}:
        match = _scalar(block, at)
        return match.end() if match else at
    depth = 0
    while (match := _token(block, at)) is not None:
        at = match.end()
        if match.end() - match.start() > 1:
            continue  # a string
        if block[match.start()] in b"{[":
            depth += 1
        elif block[match.start()] in b"]}":
            depth -= 1
            if not depth:
                return at
        else:
            at = _string_end(block, match.start())
            if at < 0:
                return -1
    return -1


def _string_end(block: bytes, at: int) -> int:
    at += 1
    while (quote := block.find(b'"', at)) >= 0:
        slashes = quote - at - len(block[at:quote].rstrip(b"\\"))
        at = quote + 1
        if slashes % 2 == 0:
            return at
    return -1

"""Cutting a block of bytes into records.

Owns what a line is, where a record begins and ends in its source, and what is set aside. Knows nothing of files or
pipes: a block comes in, a run of good records and the bad ones right behind it come out.

A line ends at a newline; a carriage return just before it, or at the end of the input, belongs to the line end. A line
of spaces, tabs and carriage returns is not a record. A byte order mark at the very start is not part of the first
record.

Zero bytes where a line begins are what a power cut leaves of a file whose writer had not synced it. In a file they are
not part of a record: a cut stops before them, and whoever reads passes them by.

Every byte of a block belongs to something: what leads to the first record (blank lines, the mark) is told apart, so
that a record always begins at its own first byte and has the same offset however the input was cut into blocks; blank
lines after a record belong to its extent.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, count, repeat
from operator import add
from typing import Final, NamedTuple

from weir.core.digest import sha256
from weir.core.ports import Reading
from weir.core.span import SPAN_BYTES, SPAN_RECORDS
from weir.sources.formats import BLANKS, LINES, fault, passes

BLOCK: Final = SPAN_BYTES
KEPT_BYTES: Final = 256  # what is kept of a record that is too large
NOTHING_YET: Final = Reading(None, ())  # something was done and there may be more, but no record came of it
MARK: Final = b"\xef\xbb\xbf"


class Run(NamedTuple):
    """Consecutive good records: a canonical body, where each ends in it, and where each ends in the source.

    Without `extents` they lie in the source exactly as in the body.
    """

    body: bytes
    ends: array[int]
    extents: array[int] | None


class Bad(NamedTuple):
    """A record that is set aside; `kept` is all of it, or its start if it is too large."""

    reason: str
    detail: str
    begin: int
    end: int
    size: int
    kept: bytes
    digest: bytes


class Cut(NamedTuple):
    """What a block gave: nothing in [start, begin), the run, then the bad ones, up to `end`."""

    begin: int
    end: int
    run: Run | None
    bad: list[Bad]


class Rules(NamedTuple):
    """What makes a record a good one."""

    fmt: str
    max_record_bytes: int
    max_document_bytes: int = 8_388_608
    delimiter: bytes = b","
    gaps: bool = False  # zero bytes where a line begins are no part of it


def cut(block: bytes, start: int, limit: int, rules: Rules, *, final: bool = False) -> Cut:
    """Cut up to `limit` records from a block that begins at `start` of its source.

    What follows the last newline is left alone, unless this is `final`: then a record ends where the block ends.
    """
    lead = _lead(block, start, final=final)
    limit = min(limit, SPAN_RECORDS)
    end = len(block) if final else block.rfind(b"\n") + 1
    if end <= lead or limit <= 0:
        return Cut(start + lead, start + lead, None, [])
    text = block if lead == 0 and end == len(block) else block[lead:end]
    if rules.gaps and rules.fmt != LINES and b"\0" in text and (text.startswith(b"\0") or b"\n\0" in text):
        text = text[: text.find(b"\n\0") + 1 if not text.startswith(b"\0") else 0]
        if not text:
            return Cut(start + lead, start + lead, None, [])
    return _quick(text, start + lead, limit, rules) or _careful(text, start + lead, limit, rules)


def _lead(block: bytes, start: int, *, final: bool) -> int:
    """Count the bytes before the first record: a byte order mark, and lines of nothing."""
    mark = len(MARK) if start == 0 and block.startswith(MARK) else 0
    blank = len(block) - len(block[mark:].lstrip(BLANKS + b"\n"))
    if blank == len(block) and final:
        return blank
    return max(mark, block.rfind(b"\n", mark, blank) + 1)


def _quick(text: bytes, start: int, limit: int, rules: Rules) -> Cut | None:
    """Take the records as they lie, if there is nothing special about any of them."""
    plain = _without_returns(text)
    if plain is None or not plain.endswith(b"\n"):
        return None
    lines = plain.split(b"\n", limit)
    lines.pop()  # what follows the last newline taken
    if len(plain) > rules.max_record_bytes and max(map(len, lines)) > rules.max_record_bytes:
        return None
    if not all(lines) or any(map(bytes.isspace, lines)):
        return None
    ends = array("Q", list(accumulate(map(add, map(len, lines), repeat(1)))))
    body = plain[: ends[-1]]
    if not passes(rules.fmt, lines, body):
        return None
    if plain is text:
        return Cut(start, start + len(body), Run(body, ends, None), [])
    extents = array("Q", list(map(add, ends, count(start + 1))))  # one carriage return more for each line
    return Cut(start, extents[-1], Run(body, ends, extents), [])


def _without_returns(text: bytes) -> bytes | None:
    """Take the carriage returns away if every line ends in one and none is elsewhere; None if it is not so simple."""
    if b"\r" not in text:
        return text
    plain = text.replace(b"\r\n", b"\n")
    simple = len(text) - len(plain) == plain.count(b"\n") and b"\r" not in plain
    return plain if simple else None


def _careful(text: bytes, start: int, limit: int, rules: Rules) -> Cut:
    """Go line by line: good records up to the first bad one, then bad ones up to the next good one."""
    records: list[bytes] = []
    extents = array("Q")
    bad: list[Bad] = []
    end = start
    for line in text.split(b"\n"):
        begin, end = end, min(end + len(line) + 1, start + len(text))
        record = line[:-1] if line.endswith(b"\r") else line
        if not record.strip(BLANKS):
            _stretch(extents, bad, end)
            continue
        wrong = judge(record, begin, end, rules)
        if len(records) + len(bad) == limit or (wrong is None and bad):
            end = begin
            break
        if wrong is None:
            records.append(record)
            extents.append(end)
        else:
            bad.append(wrong)
    return Cut(start, end, _run_of(records, extents), bad)


def _stretch(extents: array[int], bad: list[Bad], end: int) -> None:
    """Let a blank line belong to the record before it."""
    if bad:
        bad[-1] = bad[-1]._replace(end=end)
    elif extents:
        extents[-1] = end


def _run_of(records: list[bytes], extents: array[int]) -> Run | None:
    if not records:
        return None
    ends = array("Q", accumulate(len(record) + 1 for record in records))
    return Run(b"\n".join((*records, b"")), ends, extents)


def judge(record: bytes, begin: int, end: int, rules: Rules) -> Bad | None:
    """Say why one record is set aside, or None if it is good."""
    if len(record) > rules.max_record_bytes:
        digest = sha256(record).digest()
        return too_large(begin, end, len(record), record[:KEPT_BYTES], digest, rules)
    detail = fault(rules.fmt, record)
    if detail is None:
        return None
    return Bad("malformed", detail, begin, end, len(record), record, sha256(record).digest())


def too_large(begin: int, end: int, size: int, kept: bytes, digest: bytes, rules: Rules) -> Bad:  # noqa: PLR0917
    return Bad("tooLarge", f"{size} bytes, allowed are {rules.max_record_bytes}", begin, end, size, kept, digest)


class LongLine:
    """A line that is longer than a record may be, as it passes by: counted and hashed, only its start kept."""

    def __init__(self, begin: int, rules: Rules) -> None:
        self.begin = begin
        self.over = False  # its end has passed
        self._rules = rules
        self._hash = sha256()
        self._size = 0
        self._kept = b""
        self._return = False  # the last byte was a carriage return, which may belong to the line end
        self._blank = True

    def take(self, data: bytes) -> int:
        """Take what belongs to the line; say how much that was, with its newline."""
        end = self._end_in(data)
        self.over = end > 0
        self.feed(data[: end - 1] if end else data)
        return end or len(data)

    def _end_in(self, data: bytes) -> int:
        """Find the end of the line, just past its newline; 0 if it goes on."""
        return data.find(b"\n") + 1

    def feed(self, data: bytes) -> None:
        """Take more of the line, without its newline."""
        if not data:
            return
        if self._return:
            data = b"\r" + data
        self._return = data.endswith(b"\r")
        if self._return:
            data = data[:-1]
        self._blank = self._blank and not data.strip(BLANKS)
        self._hash.update(data)
        self._size += len(data)
        if len(self._kept) < KEPT_BYTES:
            self._kept += data[: KEPT_BYTES - len(self._kept)]

    def finish(self, end: int) -> Bad | None:
        """Say what has passed, now that the line is over; None if it was blank."""
        if self._blank:
            return None
        return too_large(self.begin, end, self._size, self._kept, self._hash.digest(), self._rules)


class LongRest(LongLine):
    """All the rest of a file, as it passes by: a document or a whole file that is longer than one may be."""

    def __init__(self, begin: int, rules: Rules, allowed: int) -> None:
        super().__init__(begin, rules._replace(max_record_bytes=allowed))

    def _end_in(self, data: bytes) -> int:  # noqa: ARG002 - it goes on to the end of the file
        return 0

    def feed(self, data: bytes) -> None:
        """Take more; every byte counts."""
        self._blank = False
        self._hash.update(data)
        self._size += len(data)
        self._kept += data[: KEPT_BYTES - len(self._kept)]

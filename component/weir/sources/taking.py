"""Taking the next records of a file that has its turn, each format in its way.

Owns how much of a file is looked at, and when what follows the last record end counts as a record. Knows nothing of
scans, of other files, or of what becomes of a record.
"""

from __future__ import annotations

import os
from array import array
from typing import Final, NamedTuple

from weir.core.digest import sha256
from weir.core.ports import Reading, Reject
from weir.core.positions import PACKED
from weir.core.span import Span
from weir.sources import documents
from weir.sources.formats import CSV, FILE, JSON, LINES, WHOLE
from weir.sources.lines import BLOCK, KEPT_BYTES, NOTHING_YET, Bad, Cut, LongLine, LongRest, Rules, Run, cut
from weir.sources.packed import FAULTS
from weir.sources.rows import Header, LongRow, cut_rows, header_of
from weir.sources.watched import Watched

STRIDE: Final = 1_048_576  # of a record that is too long anyway, so much is passed at a time
_HEADER_BYTES: Final = BLOCK  # the names of a CSV file are in its first bytes
_LEAST: Final = 4_096  # where few records are wanted a block need not be full: so much, and more for each of them
_PER_RECORD: Final = 512
_GROWTH: Final = 4  # a block that held no whole record is followed by one so many times as large


class Turn(NamedTuple):
    """What holds for one call."""

    limit: int
    rules: Rules
    settled: bool  # the file is unchanged for long enough
    at: float  # wall time
    now: float


class _Look(NamedTuple):
    """Some bytes from where reading stands; `whole` if no more are to be read, `final` if a record ends behind them."""

    block: bytes
    whole: bool
    final: bool


class _LaterError(Exception):
    """It cannot be said now what comes next: the file changed in this moment, or there is more to unpack first."""

    def __init__(self, reading: Reading | None) -> None:
        super().__init__()
        self.reading = reading


def take(file: Watched, turn: Turn) -> Reading | None:
    """Take the next records of a turn; None at its end."""
    # A turn stays open for as long as the queue is full, and the file may be rewritten meanwhile.
    if not file.is_intact(file.fd):
        return None
    fmt = turn.rules.fmt
    if not turn.settled and (file.packed or fmt in WHOLE):
        return None
    taker = _Taker(file, turn)
    try:
        if file.long is not None:
            return taker.pass_by(file.long)
        if fmt == FILE:
            return taker.file()
        if fmt == JSON:
            return taker.document()
        return taker.lines()
    except _LaterError as later:
        return later.reading


class _Taker:
    """One call."""

    def __init__(self, file: Watched, turn: Turn) -> None:
        self._file = file
        self._turn = turn
        self._hole = file.next_hole()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look(self, count: int) -> _Look:
        """Look at the next bytes. Raises _LaterError."""
        file = self._file
        if self._hole is not None:
            count = min(count, self._hole - file.read_to)
        look = self._look_packed(count) if file.packed else self._look_plain(count)
        # Where an accounted range begins, a record ended.
        return look._replace(whole=True, final=True) if file.read_to + len(look.block) == self._hole else look

    def _look_plain(self, count: int) -> _Look:
        file = self._file
        count = max(0, min(count, file.turn_end - file.read_to))
        block = os.pread(file.fd, count, file.read_to)
        if len(block) < count:
            raise _LaterError(None)  # it became shorter in this moment; the next turn finds out
        whole = file.read_to + count >= file.turn_end
        # So it did at the end of a file that nobody writes to.
        return _Look(block, whole, whole and self._turn.settled and os.fstat(file.fd).st_size == file.turn_end)

    def _look_packed(self, count: int) -> _Look:
        file, unpacker = self._file, self._file.unpack()
        place = file.read_to - PACKED
        if not unpacker.reach(file.fd, place, count):
            raise _LaterError(NOTHING_YET)
        block = unpacker.read(place, count)
        whole = unpacker.ends_at(place + len(block))
        if whole and not block:
            file.note_end()
        return _Look(block, whole, whole and unpacker.fault not in FAULTS)

    def _is_broken(self, look: _Look) -> bool:
        return look.whole and not look.final and self._file.packed

    # -- lines and rows -----------------------------------------------------------------------------------------------

    def lines(self) -> Reading | None:
        """Take lines, or rows."""
        rules, file = self._turn.rules, self._file
        header = None
        if rules.fmt == CSV:
            header = self._header()
            if header is None:
                return None
        look = self._look(min(BLOCK, _LEAST + _PER_RECORD * self._turn.limit))
        if rules.gaps and rules.fmt != LINES and look.block.startswith(b"\0"):
            return self._pass_zeros(look)
        result = self._cut(look, header, self._turn.limit)
        if result.end > file.read_to:
            return self._give(result, look.block)
        return self._take_longer(header) if look.block else None

    def _cut(self, look: _Look, header: Header | None, limit: int) -> Cut:
        block, start, rules = look.block, self._file.read_to, self._turn.rules
        start -= PACKED if self._file.packed else 0
        if header is None:
            result = cut(block, start, limit, rules, final=look.final)
        else:
            result = cut_rows(block, start, limit, rules, header, final=look.final)
        return _shifted(result, self._file.read_to - start)

    def _take_longer(self, header: Header | None) -> Reading | None:
        """Take one record that does not fit a block, or begin to pass by one that is too long."""
        rules, file = self._turn.rules, self._file
        look = self._look(rules.max_record_bytes + 2)
        result = self._cut(look, header, 1)
        if result.end > file.read_to:
            return self._give(result, look.block)
        if len(look.block) == rules.max_record_bytes + 2:
            file.long = LongLine(file.read_to, rules) if header is None else LongRow(file.read_to, rules)
            return self.pass_by(file.long)
        return self._set_rest_aside(look) if self._is_broken(look) else None  # else: part of a line

    def _set_rest_aside(self, look: _Look) -> Reading:
        """Set aside a record of which the end is missing for good."""
        begin, end = self._file.read_to, self._file.read_to + len(look.block)
        self._file.move_to(end, look.block)
        detail = FAULTS[self._file.unpack().fault or ""]
        size, digest = len(look.block), sha256(look.block).digest()
        kept = look.block if size <= self._turn.rules.max_record_bytes else look.block[:KEPT_BYTES]
        return self._reject(Bad("malformed", detail, begin, end, size, kept, digest))

    def _pass_zeros(self, look: _Look) -> Reading | None:
        """Pass by zero bytes where a line begins, unless a writer may be about to fill them."""
        file = self._file
        rest = look.block.lstrip(b"\0")
        is_quiet = self._turn.settled and self._is_quiet()
        if not rest and not file.packed and not is_quiet and not self._something_follows():
            return None
        count = len(look.block) - len(rest)
        file.position.account(file.read_to, file.read_to + count)
        file.move_to(file.read_to + count, look.block[:count])
        return NOTHING_YET

    def _something_follows(self) -> bool:
        return os.pread(self._file.fd, 1, self._file.turn_end - 1) != b"\0"

    def _header(self) -> Header | None:
        """Know the names of the fields; what leads to the first row is then behind us."""
        file, rules = self._file, self._turn.rules
        if file.header is None:
            start, whole = self._start(_HEADER_BYTES)
            file.header = header_of(start, rules, final=whole)
            if file.header is None and len(start) == _HEADER_BYTES:
                file.header = Header(0, (), f"the header has more than {_HEADER_BYTES} bytes")
            if file.header is None:
                self._without_header(start, whole=whole)
                return None
        header = file.header
        begin = PACKED if file.packed else 0
        if file.read_to < begin + header.end:
            file.position.account(file.read_to, begin + header.end)
            file.move_to(begin + header.end, b"")
            self._hole = file.next_hole()
        return header

    def _without_header(self, start: bytes, *, whole: bool) -> None:
        """Pass by a file of nothing but blank lines, if it is one."""
        file = self._file
        if whole:
            end = len(start) + (PACKED if file.packed else 0)
            file.position.account(file.read_to, end)
            file.move_to(end, b"")
            if file.packed:
                file.note_end()

    def _start(self, count: int) -> tuple[bytes, bool]:
        """Give the start of the contents, and whether that is all and counts as complete."""
        file = self._file
        if file.packed:
            unpacker = file.unpack()
            unpacker.reach(file.fd, 0, count)
            start = unpacker.read(0, count)
            return start, unpacker.ends_at(len(start))
        start = os.pread(file.fd, min(count, file.turn_end), 0)
        is_all = len(start) == file.turn_end == os.fstat(file.fd).st_size
        return start, is_all and self._turn.settled

    # -- documents ----------------------------------------------------------------------------------------------------

    def document(self) -> Reading | None:
        """Take elements of an array, or a document."""
        rules, file = self._turn.rules, self._file
        is_first = file.read_to in {0, PACKED}
        look = self._look(rules.max_document_bytes + 1 if is_first and file.packed else BLOCK)
        if not look.block or not self._is_quiet():
            return None
        if is_first and self._is_too_long(look, rules.max_document_bytes):
            file.long = LongRest(file.read_to, rules, rules.max_document_bytes)
            return self.pass_by(file.long)
        state = self._state()
        size = BLOCK
        while True:
            is_all = size >= len(look.block) and look.whole
            is_broken = is_all and self._is_broken(look)
            part = documents.cut_values(
                look.block[:size], file.read_to, self._turn.limit, rules, state, whole=is_all and not is_broken
            )
            if part.cut is not None:
                reading = self._give(part.cut, look.block)
                file.expects = part.state
                return reading
            if is_broken:
                return self._set_rest_aside(look)
            size *= _GROWTH
            if size > len(look.block) and not look.whole:
                look = self._look(size)

    def _state(self) -> str:
        file = self._file
        if file.read_to in {0, PACKED}:
            return documents.START
        if not file.expects:
            file.expects = documents.state_before(self._behind(), self._start(BLOCK)[0])
        return file.expects

    def _behind(self) -> bytes:
        file = self._file
        if file.packed:
            return file.unpack().behind(file.read_to - PACKED)
        length = min(BLOCK, file.read_to)
        return os.pread(file.fd, length, file.read_to - length)

    def _is_quiet(self) -> bool:
        file = self._file
        return os.fstat(file.fd).st_size == file.turn_end

    def _is_too_long(self, look: _Look, allowed: int) -> bool:
        return len(look.block) > allowed or (not self._file.packed and self._file.turn_end > allowed)

    # -- whole files --------------------------------------------------------------------------------------------------

    def file(self) -> Reading | None:
        """Take the file as one record."""
        rules, file = self._turn.rules, self._file
        allowed = min(rules.max_document_bytes, rules.max_record_bytes)
        look = self._look(allowed + 1)
        if not look.block or not self._is_quiet():
            return None
        if len(look.block) > allowed:
            file.long = LongRest(file.read_to, rules, allowed)
            return self.pass_by(file.long)
        if self._is_broken(look):
            return self._set_rest_aside(look)
        end = file.read_to + len(look.block)
        run = Run(look.block + b"\n", array("Q", [len(look.block) + 1]), array("Q", [end]))
        return self._give(Cut(file.read_to, end, run, []), look.block)

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def pass_by(self, line: LongLine) -> Reading | None:
        """Let a record that is too long pass; give its reject at its end."""
        file = self._file
        look = self._look(STRIDE)
        count = line.take(look.block)
        is_end = line.over or ((look.final or self._is_broken(look)) and count == len(look.block))
        file.move_to(file.read_to + count, look.block[:count])
        if not is_end:
            return NOTHING_YET if look.block else None
        file.long = None
        bad = line.finish(file.read_to)
        if bad is None:
            file.position.account(line.begin, file.read_to)
            return NOTHING_YET
        return self._reject(bad)

    def _give(self, result: Cut, block: bytes) -> Reading:
        file = self._file
        if result.begin > file.read_to:
            file.position.account(file.read_to, result.begin)
        file.move_to(result.end, block[: result.end - file.read_to])
        span = None
        if result.run is not None:
            body, ends, extents = result.run
            span = Span(
                body=body,
                ends=ends,
                extents=extents,
                offset=result.begin,
                file=file.position,
                at=self._turn.at,
                read_at=self._turn.now,
            )
        return Reading(span, tuple(self._as_reject(bad) for bad in result.bad))

    def _reject(self, bad: Bad) -> Reading:
        return Reading(None, (self._as_reject(bad),))

    def _as_reject(self, bad: Bad) -> Reject:
        return Reject(bad.reason, bad.detail, self._file.position, *bad[2:])


def _shifted(result: Cut, by: int) -> Cut:
    """Move what a block gave to where the contents of a compressed file have their offsets."""
    if not by:
        return result
    run = result.run
    if run is not None:
        extents = run.ends if run.extents is None else run.extents
        base = result.begin + by if run.extents is None else by
        run = run._replace(extents=array("Q", (end + base for end in extents)))
    bad = [each._replace(begin=each.begin + by, end=each.end + by) for each in result.bad]
    return Cut(result.begin + by, result.end + by, run, bad)

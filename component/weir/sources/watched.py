"""One file that is being read: where reading stands, and how the next records are taken from it.

Owns reading by position, what counts as settled, and noticing that the file was rewritten. Knows nothing of scans,
of other files, or of what becomes of a record.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from weir.core.ports import Reading, Reject
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.sources.identity import CHANGED, head_of, tail_of, tail_of_taken
from weir.sources.lines import BLOCK, Bad, Cut, LongLine, Rules, cut
from weir.sources.recognise import Found, is_intact, next_generation

STRIDE: Final = 1_048_576  # of a line that is too long anyway, so much is passed at a time
_LEAST: Final = 4_096  # where few records are wanted a block need not be full: so much, and more for each of them
_PER_RECORD: Final = 512
NOTHING_YET: Final = Reading(None, ())  # something was done and there may be more, but no record came of it


class Over(NamedTuple):
    """What the start of a turn found lost: bytes, and the generation they ended, if they did."""

    lost_bytes: int
    generation: FilePosition | None = None
    read_to: int = 0


class Watched:
    """A file with something left to do: to read, to wait for, to commit or to finish."""

    __slots__ = (
        "absent",
        "again_at",
        "fd",
        "first_scan",
        "late",
        "long",
        "looked",
        "matches",
        "mtime",
        "parted",
        "position",
        "queued",
        "read_to",
        "scan",
        "shrunk",
        "since",
        "size",
        "tail",
        "tried",
        "turn_end",
    )

    def __init__(self, position: FilePosition, fd: int, *, scan: int) -> None:
        self.position = position
        self.fd = fd  # -1: not open now
        self.read_to = position.position  # everything before this was taken, by this process or an earlier one
        self.first_scan = scan
        self.scan = scan  # the last scan that showed it
        self.matches = True  # its name is one the pattern asks for
        self.absent = False  # the last scan did not show it
        self.parted = False  # archived or deleted by us; open for a while in case bytes still arrive
        self.late = 0  # up to here it was read when it parted
        self.queued = False  # it waits for a turn
        self.size = 0
        self.shrunk = 0  # bytes that were seen and are gone, before anybody read them
        self.mtime = -1
        self.since = 0.0  # since when it has looked as it does, by our own looks
        self.looked = 0.0
        self.again_at = 0.0  # not worth trying to finish before
        self.turn_end = 0
        self.tried: tuple[int, int] | None = None  # how it looked when its last turn began
        self.long: LongLine | None = None
        self.tail = position.tail  # hash of what lies before read_to, to notice that it was rewritten; empty: not known

    @property
    def unread(self) -> int:
        return max(0, self.size - self.read_to)

    @property
    def unchanged(self) -> float:
        """Say how long it has looked the same."""
        return self.looked - self.since

    @property
    def accounted(self) -> bool:
        """Tell whether every byte that was taken is accounted for."""
        return self.position.position >= self.read_to and not self.position.beyond and self.long is None

    def look(self, size: int, mtime: int, now: float) -> None:
        """Note how the file looks now."""
        if size < self.size:
            self.shrunk += max(0, self.size - max(size, self.read_to))
            self.turn_end = min(self.turn_end, size)
        if (size, mtime) != (self.size, self.mtime):
            self.size = size
            self.mtime = mtime
            self.since = now
        self.looked = now

    def wants_turn(self, settle_seconds: float) -> bool:
        """Tell whether it changed since its last turn, or what that turn left is settled by now."""
        if self.queued or (self.absent and self.fd < 0):
            return False
        left = self.unread > 0 or self.long is not None or not self.position.format
        return (self.size, self.mtime) != self.tried or (left and self.unchanged >= settle_seconds)

    # A turn

    def begin_turn(self, now: float) -> Over:
        """Fix how far this turn goes; say what the file has lost."""
        status = os.fstat(self.fd)
        self.look(status.st_size, status.st_mtime_ns, now)
        if self.is_intact(self.fd):
            over = Over(self.shrunk)
        else:
            over = self._start_again(status.st_ino, status.st_size)
        self.shrunk = 0
        self.turn_end = status.st_size
        self.tried = (self.size, self.mtime)
        if not self.position.head_length:
            self._learn_head()
        return over

    def is_intact(self, fd: int) -> bool:
        """Tell whether what was taken of the file still lies there; if not, its next turn begins anew."""
        intact = is_intact(fd, self.position, read_to=self.read_to, tail=self.tail, tail_at=self.read_to)
        if not intact:
            self.tried = None
        return intact

    def _start_again(self, inode: int, size: int) -> Over:
        old = self.position
        # What the writer added since the last turn is new, and not lost; how much was there then is what is known.
        over = Over(self.lose(max(0, self.turn_end - self.read_to)), old, self.read_to)
        self.start_over(next_generation(Found(self.fd, inode, size, old.name), old))
        self.position.format = old.format
        return over

    def lose(self, unread: int) -> int:
        """Give up what has not been taken, since it is not there any more; say how many bytes that is in all."""
        lost = unread + self.shrunk
        self.shrunk = 0
        if self.long is not None:
            lost += self.read_to - self.long.begin
            self.position.account(self.long.begin, self.read_to)
            self.long = None
        return lost

    def start_over(self, position: FilePosition) -> None:
        """Go on as another generation, or as another file."""
        self.position = position
        self.read_to = position.position
        self.tail = position.tail
        self.tried = None

    def _learn_head(self) -> None:
        self.position.head, self.position.head_length = head_of(self.fd)
        self.position.changed = self.position.changed or self.position.head_length > 0

    def take(self, limit: int, rules: Rules, *, settled: bool, at: float, now: float) -> Reading | None:
        """Take the next records of this turn; None at its end."""
        # A turn stays open for as long as the queue is full, and the file may be rewritten meanwhile.
        if not self.is_intact(self.fd):
            return None
        hole = self._next_hole()
        bound = self.turn_end if hole is None else min(self.turn_end, hole)
        # Where an accounted range begins, a record ended; so it does at the end of a file that nobody writes to.
        ends_here = bound == hole or (settled and os.fstat(self.fd).st_size == self.turn_end)
        if self.long is not None:
            return self._pass_by(self.long, bound, ends_here=ends_here)
        wanted = min(BLOCK, _LEAST + _PER_RECORD * limit, bound - self.read_to)
        if wanted <= 0:
            return None
        block = os.pread(self.fd, wanted, self.read_to)
        if len(block) < wanted:
            return None  # it became shorter in this moment; the next turn finds out
        whole = self.read_to + wanted == bound
        result = cut(block, self.read_to, limit, rules, final=whole and ends_here)
        if result.end == self.read_to:
            return self._take_longer(bound, rules, ends_here=ends_here, at=at, now=now)
        return self._give(result, block, at, now)

    def _next_hole(self) -> int | None:
        """Step over what is accounted for; give the end of the hole in it that comes next, None if it is open."""
        if self.position.reach <= self.read_to:
            return None
        begin, end = self.position.unaccounted_from(self.read_to)
        self._move_to(begin, b"")
        return end

    def _move_to(self, end: int, taken: bytes) -> None:
        """Note how far reading has come, and what lies before that point: `taken`, as far as it was read just now."""
        self.read_to = end
        self.tail = tail_of_taken(self.fd, end, taken)

    def _take_longer(self, bound: int, rules: Rules, *, ends_here: bool, at: float, now: float) -> Reading | None:
        """Take one record that does not fit a block, or begin to pass by one that is too long."""
        wanted = min(rules.max_record_bytes + 2, bound - self.read_to)
        block = os.pread(self.fd, wanted, self.read_to)
        newline = block.find(b"\n") + 1
        if newline:
            return self._give(cut(block[:newline], self.read_to, 1, rules), block, at, now)
        if len(block) == rules.max_record_bytes + 2:
            self.long = LongLine(self.read_to, rules)
            return self._pass_by(self.long, bound, ends_here=ends_here)
        if ends_here and self.read_to + len(block) == bound:
            return self._give(cut(block, self.read_to, 1, rules, final=True), block, at, now)
        return None  # part of a line

    def _pass_by(self, line: LongLine, bound: int, *, ends_here: bool) -> Reading | None:
        data = os.pread(self.fd, max(0, min(STRIDE, bound - self.read_to)), self.read_to)
        newline = data.find(b"\n")
        taken = data if newline < 0 else data[: newline + 1]
        line.feed(taken.removesuffix(b"\n"))
        self._move_to(self.read_to + len(taken), taken)
        if newline < 0 and not (ends_here and self.read_to >= bound):
            return NOTHING_YET if data else None
        self.long = None
        bad = line.finish(self.read_to)
        if bad is None:
            self.position.account(line.begin, self.read_to)
            return NOTHING_YET
        return Reading(None, (self._reject(bad),))

    def _give(self, result: Cut, block: bytes, at: float, now: float) -> Reading:
        if result.begin > self.read_to:
            self.position.account(self.read_to, result.begin)
        self._move_to(result.end, block[: result.end - self.read_to])
        span = None
        if result.run is not None:
            body, ends, extents = result.run
            span = Span(
                body=body,
                ends=ends,
                extents=extents,
                offset=result.begin,
                file=self.position,
                at=at,
                read_at=now,
            )
        return Reading(span, tuple(map(self._reject, result.bad)))

    def _reject(self, bad: Bad) -> Reject:
        return Reject(bad.reason, bad.detail, self.position, *bad[2:])

    # For a commit

    def note_tail(self) -> bool:
        """Bring the tail hash of the position up to date; tell whether that took no look into the file."""
        position = self.position
        if not position.tail and position.position == self.read_to:
            position.tail = self.tail
        return bool(position.tail) or not position.position

    def look_up_tail(self, fd: int) -> None:
        """Hash the bytes before the position in the file, if it still is what was read."""
        at = self.position.position
        self.position.tail = (tail_of(fd, at) if self.is_intact(fd) else b"") or CHANGED

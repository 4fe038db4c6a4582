"""One file that is being read: where reading stands, how it looks, and whether it is still what was read of it.

Owns the turn of a file, and noticing that it was rewritten. Knows nothing of scans, of other files, or of records.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from weir.core.positions import PACKED, RUNG_HASH_BYTES, FilePosition, Rung
from weir.sources.formats import GZIP_MAGIC
from weir.sources.identity import CHANGED, head_of, tail_of, tail_of_taken
from weir.sources.lines import LongLine
from weir.sources.packed import Unpacker, is_packed, read_size, seal_of
from weir.sources.recognise import Found, has_outgrown, is_intact, next_generation
from weir.sources.rows import Header

MOST_MARKS: Final = 4


class Over(NamedTuple):
    """What the start of a turn found lost: bytes, and the generation they ended, if they did."""

    lost_bytes: int
    generation: FilePosition | None = None
    read_to: int = 0
    tail: bytes = b""
    marks: tuple[Rung, ...] = ()


class Watched:
    """A file with something left to do: to read, to wait for, to commit or to finish."""

    __slots__ = (
        "absent",
        "again_at",
        "expects",
        "fd",
        "first_scan",
        "header",
        "late",
        "long",
        "looked",
        "marks",
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
        "unpacker",
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
        self.marks: tuple[Rung, ...] = ()  # where the last few turns began, and hashes of what lies before
        self.header: Header | None = None  # of a CSV file, once it was read
        self.expects = ""  # what is expected in a JSON document where reading stands; empty: not known
        self.unpacker: Unpacker | None = None

    @property
    def unread(self) -> int:
        return max(0, self.size - self.taken)

    @property
    def taken(self) -> int:
        """Count the bytes of the file that were taken, by this process or an earlier one."""
        return read_size(self.read_to, self.tail)

    @property
    def unchanged(self) -> float:
        """Say how long it has looked the same."""
        return self.looked - self.since

    @property
    def accounted(self) -> bool:
        """Tell whether every byte that was taken is accounted for."""
        return self.position.position >= self.read_to and not self.position.beyond and self.long is None

    @property
    def is_at_ease(self) -> bool:
        """Tell whether all of it is read and nothing is to be done with it until it changes."""
        busy = self.queued or self.absent or self.parted or self.unread or self.long is not None
        return not busy and bool(self.position.format) and (self.size, self.mtime) == self.tried

    def look(self, size: int, mtime: int, now: float) -> None:
        """Note how the file looks now."""
        if size < self.size:
            self.shrunk += max(0, self.size - max(size, self.taken))
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
            self._leave_mark()
        else:
            over = self._start_again(status.st_ino, status.st_size)
        self.shrunk = 0
        self.turn_end = status.st_size
        self.tried = (self.size, self.mtime)
        if self.unpacker is not None and self.unpacker.over:
            self.unpacker = None  # what it found to be the end may be none any more
        if not self.position.head_length:
            self._learn_head()
        return over

    def _leave_mark(self) -> None:
        if self.tail and not self.packed and (not self.marks or self.marks[-1].at != self.read_to):
            self.marks = (*self.marks, Rung(self.read_to, self.tail[:RUNG_HASH_BYTES]))[-MOST_MARKS:]

    def is_intact(self, fd: int) -> bool:
        """Tell whether what was taken of the file still lies there; if not, its next turn begins anew."""
        intact = is_intact(fd, self.position, read_to=self.read_to, tail=self.tail, tail_at=self.read_to)
        if self.long is None:
            intact = intact and not has_outgrown(fd, self.position, read_to=self.read_to, tail=self.tail)
        if not intact:
            self.tried = None
        return intact

    def _start_again(self, inode: int, size: int) -> Over:
        old = self.position
        # What the writer added since the last turn is new, and not lost; how much was there then is what is known.
        over = Over(self.lose(max(0, self.turn_end - self.taken)), old, self.read_to, self.tail, self.marks)
        was_packed = self.packed
        self.start_over(next_generation(Found(self.fd, inode, size, old.name), old))
        if not was_packed and os.pread(self.fd, len(GZIP_MAGIC), 0) != GZIP_MAGIC:
            self.position.format = old.format
        return over

    def lose(self, unread: int) -> int:
        """Give up what has not been taken, since it is not there any more; say how many bytes that is in all."""
        lost = unread + self.shrunk
        self.shrunk = 0
        if self.long is not None:
            lost += 0 if self.packed else self.read_to - self.long.begin
            self.position.account(self.long.begin, self.read_to)
            self.long = None
        return lost

    def give_up(self) -> bool:
        """Expect nothing more of it; tell whether anything is lost with that."""
        lost = self.lose(self.unread)
        self.size = self.taken
        return lost > 0

    def start_over(self, position: FilePosition) -> None:
        """Go on as another generation, or as another file."""
        self.position = position
        self.read_to = position.position
        self.tail = position.tail
        self.tried = None
        self.marks = ()
        self.header = self.unpacker = None
        self.expects = ""

    def _learn_head(self) -> None:
        self.position.head, self.position.head_length = head_of(self.fd)
        self.position.changed = self.position.changed or self.position.head_length > 0

    # Where reading stands

    @property
    def packed(self) -> bool:
        """Tell whether its contents are compressed."""
        return is_packed(self.position.position)

    def unpack(self) -> Unpacker:
        """Give what unpacks it."""
        if self.unpacker is None:
            self.unpacker = Unpacker()
        return self.unpacker

    def set_format(self, fmt: str, *, packed: bool) -> None:
        """Know what it is; from here on it has a position."""
        self.position.format = fmt
        if packed and not self.packed:
            self.position.account(0, PACKED)
            self.read_to = PACKED
            self.tail = self.unpack().seal(whole=False)

    def next_hole(self) -> int | None:
        """Step over what is accounted for; give the end of the hole in it that comes next, None if it is open."""
        if self.position.reach <= self.read_to:
            return None
        begin, end = self.position.unaccounted_from(self.read_to)
        self.move_to(begin, b"")
        return end

    def move_to(self, end: int, taken: bytes) -> None:
        """Note how far reading has come, and what lies before that point: `taken`, as far as it was read just now."""
        if end != self.read_to:
            self.expects = ""
        self.read_to = end
        if not self.packed:
            self.tail = tail_of_taken(self.fd, end, taken)
        elif self.unpacker is not None:
            self.tail = self.unpacker.seal(whole=self.unpacker.ends_at(end - PACKED))

    def note_end(self) -> None:
        """Note that nothing follows in what is compressed."""
        self.move_to(self.read_to, b"")
        if self.position.position == self.read_to and self.position.tail != self.tail:
            self.position.tail = self.tail
            self.position.changed = True

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
        if not self.is_intact(fd):
            self.position.tail = CHANGED
        elif self.packed:
            # Behind where reading stands: all that is sure is that the file is not through.
            self.position.tail = seal_of(fd, max(0, min(self.taken, os.fstat(fd).st_size - 1))) or CHANGED
        else:
            self.position.tail = tail_of(fd, at) or CHANGED

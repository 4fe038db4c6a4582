"""Files that are compressed with gzip: their contents by offset, and what their offsets and tail hashes mean.

Owns unpacking, a little at a time and in bounded memory. Knows nothing of records.

A byte of the contents has the offset `PACKED` + its place among all that the file unpacks to, so it never means a byte
of the file itself. The tail hash that goes with such an offset is of the file: how many of its bytes had been unpacked
when reading stood there, and a hash of the last of them. Only when all of it is unpacked, and all of that was taken,
does it name the whole size of the file. So a file that was gone through is known to be without unpacking it again, and
one that grew by a member is gone on with.

To go on somewhere all that lies before is unpacked again: the one cost that a restart has in such a file.
"""

from __future__ import annotations

import os
import zlib
from typing import Final

from weir.core.digest import sha256
from weir.core.positions import PACKED

INCOMPLETE: Final = "gzip_incomplete"  # the file ends within a member
CORRUPT: Final = "gzip_corrupt"  # from some place on it cannot be unpacked
TRAILING: Final = "gzip_trailing"  # something follows the last member that is no other one
FAULTS: Final = {INCOMPLETE: "the compressed data ends too early", CORRUPT: "the compressed data is corrupt"}

STEP: Final = 1 << 20  # so much is unpacked in one call, at most, to come to a place
_CHUNK: Final = 65_536
_BEHIND: Final = 4_096  # bytes before the place reading stands at that are still known
_TAIL_BYTES: Final = 256
_COUNT_BYTES: Final = 8
_GZIP: Final = 16 + zlib.MAX_WBITS


def is_packed(offset: int) -> bool:
    """Tell whether an offset is one among unpacked contents."""
    return offset >= PACKED


def read_size(offset: int, tail: bytes) -> int:
    """Say how many bytes of the file itself are taken where reading stands at an offset, with this tail hash."""
    return offset if offset < PACKED else int.from_bytes(tail[:_COUNT_BYTES], "big")


def seal_of(fd: int, count: int) -> bytes:
    """Make the tail hash of a file of which so many bytes were unpacked; empty if they are not there."""
    length = min(_TAIL_BYTES, count)
    data = os.pread(fd, length, count - length)
    return _seal(count, data) if len(data) == length else b""


def seal_matches(fd: int, seal: bytes) -> bool:
    return seal_of(fd, int.from_bytes(seal[:_COUNT_BYTES], "big")) == seal


def _seal(count: int, data: bytes) -> bytes:
    return count.to_bytes(_COUNT_BYTES, "big") + sha256(data).digest()[:_COUNT_BYTES]


class Unpacker:
    """The contents of one compressed file, gone through from its start. The file is given with each call."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._begin()

    def _begin(self) -> None:
        self._fed = 0  # bytes of the file that were read
        self._recent = b""  # the last of them, for the seal
        self._input = b""  # what was read and is not unpacked yet
        self._member = zlib.decompressobj(_GZIP)
        self._is_member = True  # it is one for sure: the first one, or something was unpacked of it
        self._window = b""  # what was unpacked, from `_low` on
        self._low = 0
        self.over = False  # there is no more to unpack
        self.fault: str | None = None

    def reach(self, fd: int, at: int, count: int) -> bool:
        """Come to a place, with `count` bytes behind it; False if that takes another call."""
        if at < self._low:
            self._begin()  # there is no other way back
        budget = STEP
        while not self.over and self._low + len(self._window) < at + count:
            if budget <= 0 and self._low + len(self._window) < at:
                return False
            made = self._more(fd, max(_CHUNK, at + count - self._low - len(self._window)))
            budget -= max(1, len(made))
            self._window += made
            self._forget(at)
        return True

    def read(self, at: int, count: int) -> bytes:
        """Give what was reached; it is less than asked for only at the end of all contents."""
        return self._window[at - self._low : at - self._low + count]

    def behind(self, at: int) -> bytes:
        """Give some of what lies before a place that was reached."""
        return self._window[max(0, at - self._low - _BEHIND) : at - self._low]

    def ends_at(self, at: int) -> bool:
        """Tell whether all contents end at a place, as far as that was reached."""
        return self.over and at >= self._low + len(self._window)

    def seal(self, *, whole: bool) -> bytes:
        """Make the tail hash for where reading stands; `whole` if everything was taken."""
        if whole or not self._fed:
            return _seal(self._fed, self._recent[-_TAIL_BYTES:])
        return _seal(self._fed - 1, self._recent[:-1][-_TAIL_BYTES:])

    def _forget(self, at: int) -> None:
        dead = min(at - _BEHIND - self._low, len(self._window) - _BEHIND)
        if dead > 0:
            self._window = self._window[dead:]
            self._low += dead

    def _more(self, fd: int, wanted: int) -> bytes:
        """Unpack some more, up to so many bytes; nothing comes of it where all is over, or just now."""
        try:
            if not self._input and not self._feed(fd):
                return self._finish()
            if self._member.eof:
                self._next_member(fd)
                return b""
            made = self._member.decompress(self._input, wanted)
        except zlib.error:
            self._end(fd, CORRUPT if self._is_member else TRAILING)
            return b""
        self._is_member = self._is_member or bool(made)
        self._input = self._member.unconsumed_tail or self._member.unused_data
        return made

    def _feed(self, fd: int) -> bool:
        self._input = os.pread(fd, _CHUNK, self._fed)
        self._fed += len(self._input)
        self._recent = (self._recent + self._input)[-_TAIL_BYTES - 1 :]
        return bool(self._input)

    def _finish(self) -> bytes:
        """Give what is left when the file is over."""
        rest = b"" if self._member.eof else self._member.flush(_CHUNK)
        self.over = True
        self.fault = None if self._member.eof else INCOMPLETE
        return rest

    def _next_member(self, fd: int) -> None:
        """Begin with what follows a member: another one, padding, or what does not belong there."""
        self._input = self._input.lstrip(b"\0")
        if self._input[:1] == b"\x1f":
            self._member = zlib.decompressobj(_GZIP)
            self._is_member = False
        elif self._input:
            self._end(fd, TRAILING)

    def _end(self, fd: int, fault: str) -> None:
        """Leave alone whatever follows in the file."""
        self.fault = fault
        self.over = True
        self._fed = os.fstat(fd).st_size
        self._recent = os.pread(fd, _TAIL_BYTES + 1, max(0, self._fed - _TAIL_BYTES - 1))

"""The line of files that want a turn.

Owns the order in which they get one: by the scan that first saw them, then by the time of their last change, then by
name. Knows nothing of the files. A hundred thousand that came at once stand in it, so a place in it costs eight bytes;
and they have asked for it at once, so what is asked is soon sorted and packed, and merged at the end: that many small
objects, come and gone, would leave memory behind that is never given back.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from heapq import merge
from struct import Struct
from typing import Final

_BEFORE: Final = Struct(">QQ")  # what counts first; compares as the numbers do
_INODE: Final = Struct(">Q")
_TIME_ZERO: Final = 1 << 63  # a time may lie before 1970
_LENGTH: Final = Struct("<H")
_SORTED_AT_ONCE: Final = 4_096
_SHIFT_UP: Final = 1_024  # so many who had their turn are cleared away at once, at least


class Turns:
    """Inodes, the next one first, and those who have asked to be lined up since the last time."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._line = array("Q")
        self._next = 0
        self._wishes: list[bytes] = []
        self._sorted: list[bytes] = []  # packs of wishes

    def __len__(self) -> int:
        return len(self._line) - self._next

    def __iter__(self) -> Iterator[int]:
        for place in range(self._next, len(self._line)):
            yield self._line[place]

    def wish(self, first_scan: int, mtime: int, name: bytes, inode: int) -> None:
        """Ask for a place; none is given before `line_up`."""
        # No name holds a zero byte: so one that begins another goes first, as among the names themselves.
        self._wishes.append(_BEFORE.pack(first_scan, mtime + _TIME_ZERO) + name + b"\0" + _INODE.pack(inode))
        if len(self._wishes) >= _SORTED_AT_ONCE:
            self._wishes.sort()
            self._sorted.append(b"".join(_LENGTH.pack(len(wish)) + wish for wish in self._wishes))
            self._wishes = []

    def line_up(self) -> None:
        """Let those who have asked take their places, in order, behind those who have one."""
        self._wishes.sort()
        self.extend(
            _INODE.unpack_from(w, len(w) - _INODE.size)[0] for w in merge(self._wishes, *map(_each, self._sorted))
        )
        self._wishes, self._sorted = [], []

    def extend(self, inodes: Iterable[int]) -> None:
        """Let these take their places now."""
        self._line.extend(inodes)

    def take(self) -> int:
        """Give who is next, and let it leave the line; there must be somebody."""
        inode = self._line[self._next]
        self._next += 1
        if self._next >= _SHIFT_UP and 2 * self._next >= len(self._line):
            del self._line[: self._next]
            self._next = 0
        return inode


def _each(pack: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(pack):
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(pack, at)[0]
        yield pack[begin:at]

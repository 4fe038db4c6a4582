"""The write-ahead log of the database: how much of it is in use, when it is to be folded in, what it cost the flash.

A log that grows costs the file system's own journal more than the commit that made it grow. So the log keeps its length
and is used again from its beginning, is folded in where that is cheap, and grows ahead of small commits.

Owns the look at the log's frames, of which SQLite itself tells nothing. Knows nothing of what is in a page.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

BLOCK_BYTES = 4096  # what a file system writes at least
MOST_BYTES = 1 << 20  # folded in when so much of it is in use, in any case
LEAST_FRAMES = 64  # and not before so many frames are
FRAMES_A_PAGE = 8  # in between where a page to be written into the database stands for so many frames

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_PAGE_BYTES = slice(8, 12)  # of the header
_SALTS = slice(16, 24)  # of the header; they change when the log begins anew
_FRAME_SALTS = slice(8, 16)
_SMALL_FRAMES = 4  # a commit of so few costs less than what the file system writes for a file that grows


class Log:
    """The log beside a database, while that is open. It is only ever looked at after a commit."""

    def __init__(self, database: Path) -> None:
        """Know of the log, and what an earlier process has left in it; it need not be there yet."""
        self._path = f"{database}-wal"
        self._file = -1
        self._salts = b""
        self._page_bytes = 0
        self._end = _HEADER_BYTES
        self._frames = 0
        self._pages: set[bytes] = set()  # what of the database is to be written, by number
        self._counted = 0  # up to where its bytes are counted, for frames do not end where blocks do
        self.note()

    def note(self) -> int:
        """Look at what a commit has added; count the bytes that it wrote, in whole blocks."""
        if self._file < 0 and not self._open():
            return 0
        header = os.pread(self._file, _HEADER_BYTES, 0)
        if header[_SALTS] != self._salts:
            self._begin_anew(header)
        before = self._frames
        while self._is_frame(frame := os.pread(self._file, _FRAME_HEADER_BYTES, self._end)):
            self._pages.add(frame[:4])
            self._frames += 1
            self._end += _FRAME_HEADER_BYTES + self._page_bytes
        if self._frames == before:
            return 0
        if self._frames - before <= _SMALL_FRAMES:
            self._grow_ahead()
        first = self._counted // BLOCK_BYTES
        self._counted = self._end
        return (-(-self._end // BLOCK_BYTES) - first) * BLOCK_BYTES

    def _open(self) -> bool:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _begin_anew(self, header: bytes) -> None:
        self._salts = header[_SALTS]
        self._page_bytes = int.from_bytes(header[_PAGE_BYTES], "big")
        self._end, self._frames, self._counted = _HEADER_BYTES, 0, 0
        self._pages.clear()

    def _is_frame(self, frame: bytes) -> bool:
        return len(frame) == _FRAME_HEADER_BYTES and frame[_FRAME_SALTS] == self._salts

    def _grow_ahead(self) -> None:
        """Let a log that had to grow for a small commit grow by as much again: the next few will not have to."""
        size = os.fstat(self._file).st_size
        room = LEAST_FRAMES * (_FRAME_HEADER_BYTES + self._page_bytes) - size
        if self._end < size or room <= 0 or self._frames < _SMALL_FRAMES:
            return
        with contextlib.suppress(OSError):  # a full disk; then it grows when it has to
            os.pwrite(self._file, bytes(min(size, room)), size)

    @property
    def cost(self) -> int:
        """Give the bytes that folding the log in would write into the database."""
        return len(self._pages) * self._page_bytes

    @property
    def is_due(self) -> bool:
        """Tell whether it is to be folded in: it is large, or few pages have taken all of what is in it."""
        if self._end >= MOST_BYTES:
            return True
        return self._frames >= LEAST_FRAMES and self._frames >= FRAMES_A_PAGE * len(self._pages)

    @property
    def size(self) -> int:
        """Give the bytes that the log takes on the disk."""
        return os.fstat(self._file).st_size if self._file >= 0 else 0

    def close(self) -> None:
        """Let go of the log."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

"""Positions of files that are gone, kept for a while in case the files come back.

Owns how they are kept, and how many there are. Knows nothing of how long they are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from weir.core.positions import FilePosition
from weir.sources import shelf


class Gone:
    """Packed positions by inode, those that came first at the front; one inode may have had many files."""

    def __init__(self) -> None:
        self._entries: dict[int, bytes] = {}
        self._count = 0

    def __len__(self) -> int:
        """Count the positions."""
        return self._count

    def __contains__(self, inode: int) -> bool:
        return inode in self._entries

    def __iter__(self) -> Iterator[int]:
        """Go through the inodes."""
        return iter(self._entries)

    def put(self, position: FilePosition, mtime: int) -> None:
        self._entries[position.inode] = self._entries.get(position.inode, b"") + shelf.pack(position, mtime=mtime)
        self._count += 1

    def get(self, inode: int) -> bytes:
        return self._entries.get(inode, b"")

    def pop(self, inode: int) -> bytes:
        entries = self._entries.pop(inode, b"")
        self._count -= shelf.count(entries)
        return entries

"""New files that wait for their first turn: a name and a size each, and nothing open.

Owns how they are kept small. Knows nothing of the files.
"""

from __future__ import annotations

from typing import Final

from weir.sources.roll import Roll

_SIZE_BYTES: Final = 8


class Fresh:
    """Names and sizes by inode, with the total size."""

    def __init__(self) -> None:
        self._entries = Roll()  # eight bytes of size, then the name
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, inode: int) -> bool:
        return inode in self._entries

    def meet(self, inode: int, name: bytes, size: int) -> None:
        """Keep what a scan saw, instead of what an earlier one saw."""
        entry = size.to_bytes(_SIZE_BYTES, "little") + name
        if self._entries.get(inode) == entry:
            self._entries.confirm(inode)
            return
        self.drop(inode)
        self._entries.put(inode, entry)
        self.bytes += size

    def confirm(self, inode: int) -> None:
        """Count what is kept as seen, and leave it as it is."""
        self._entries.confirm(inode)

    def name(self, inode: int) -> bytes | None:
        entry = self._entries.get(inode)
        return None if entry is None else entry[_SIZE_BYTES:]

    def size(self, inode: int) -> int:
        return int.from_bytes((self._entries.get(inode) or b"")[:_SIZE_BYTES], "little")

    def sizes(self) -> dict[int, int]:
        return {inode: self.size(inode) for inode in self._entries}

    def drop(self, inode: int) -> None:
        self.bytes -= self.size(inode)
        self._entries.pop(inode)

    def missing(self) -> list[int]:
        return self._entries.missing()

    def turn_over(self) -> None:
        self._entries.turn_over()

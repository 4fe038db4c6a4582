"""How far the files that the first scan showed are to be read, until each of them is.

Owns how that is kept small. Knows nothing of the files.
"""

from __future__ import annotations

from typing import Final

from weir.sources.roll import Roll

_BYTES: Final = 8


class Goals:
    """Sizes by inode."""

    def __init__(self) -> None:
        """Begin with nothing to reach."""
        self._sizes = Roll()

    def __len__(self) -> int:
        return len(self._sizes)

    def get(self, inode: int) -> int:
        """Give how far a file is to be read; 0 where nobody asks for anything of it."""
        return int.from_bytes(self._sizes.get(inode) or b"", "little")

    def put(self, inode: int, size: int) -> None:
        self._sizes.put(inode, size.to_bytes(_BYTES, "little"))

    def drop(self, inode: int) -> None:
        self._sizes.pop(inode)

"""What lies in a watched directory and is not read: counted once each, said once each, and not too often.

Owns which skipped things are known. Knows nothing of why they are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from weir.sources.roll import Roll

MAX_KNOWN: Final = 200_000
MAX_EVENTS: Final = 20  # said one by one in a scan; the rest in one event

_ALL_BITS: Final = (1 << 64) - 1

Notice = Callable[[str, dict[str, object]], None]


class Skips:
    """The skipped things of one directory: counted by name and inode."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._counted = Roll()
        self._said = 0
        self._unsaid = 0
        self.count = 0

    def add(self, name: bytes, inode: int, reason: str, *, counts: bool = True) -> None:
        """Skip something; what does not count was read, and is only named."""
        key = _key(name, inode)
        if key in self._counted:
            self._counted.confirm(key)
        elif len(self._counted) < MAX_KNOWN:
            self._counted.put(key, b"")  # there is nothing more to say of it
            self.count += counts
            self._say(name, reason)

    def _say(self, name: bytes, reason: str) -> None:
        if self._said < MAX_EVENTS:
            self._said += 1
            self._notice("source_skipped", {"file": os.fsdecode(name), "reason": reason})
        else:
            self._unsaid += 1

    def confirm(self, name: bytes, inode: int) -> None:
        """Note that what may have been skipped is still there, so that it is not counted again."""
        self._counted.confirm(_key(name, inode))

    def end_scan(self) -> None:
        """Forget what a complete scan did not show."""
        if self._unsaid:
            self._notice("source_skipped", {"files": self._unsaid, "reason": "more of them"})
        self._said = self._unsaid = 0
        self._counted.forget_missing()


def _key(name: bytes, inode: int) -> int:
    """Make a number that stands for both: two that collide count as one, which at 64 bits nobody will see."""
    return hash((name, inode)) & _ALL_BITS

"""What lies in a watched directory and is not read: counted once each, said once each, and not too often.

Owns which skipped things are known. Knows nothing of why they are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from weir.sources.shelf import Roll

MAX_KNOWN: Final = 200_000
MAX_EVENTS: Final = 20  # said one by one in a scan; the rest in one event

Notice = Callable[[str, dict[str, object]], None]


class Skips:
    """The skipped things of one directory, by name and inode."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        # A hash stands for name and inode: two that collide are counted as one, which at 64 bits nobody will see.
        self._known: Roll[int] = Roll()
        self._said = 0
        self._unsaid = 0
        self.count = 0

    def add(self, name: bytes, inode: int, reason: str, look: tuple[int, int] | None = None) -> None:
        """Skip something; with a `look` (size, modification time) it is not worth another try while it looks so."""
        key = hash((name, inode))
        known = key in self._known
        if not known and len(self._known) >= MAX_KNOWN:
            return
        self._known.put(key, hash(look))
        if known:
            return
        self.count += 1
        if self._said < MAX_EVENTS:
            self._said += 1
            self._notice("source_skipped", {"file": os.fsdecode(name), "reason": reason})
        else:
            self._unsaid += 1

    def holds(self, name: bytes, inode: int, look: tuple[int, int]) -> bool:
        """Tell whether this was skipped and still looks as it did."""
        key = hash((name, inode))
        self._known.confirm(key)
        return self._known.get(key) == hash(look)

    def end_scan(self) -> None:
        """Forget what a complete scan did not show."""
        if self._unsaid:
            self._notice("source_skipped", {"files": self._unsaid, "reason": "more of them"})
        self._said = self._unsaid = 0
        for key in self._known.missing():
            self._known.pop(key)
        self._known.turn_over()

"""The open files of one directory: few, and those first that would be missed most.

Owns opening and closing. A file that is open can be read to its end though it is renamed or deleted.
"""

from __future__ import annotations

import os
from typing import Final

from weir.sources.watched import Watched

MAX_OPEN: Final = 64


class Descriptors:
    """At most so many open files; the one unused for longest gives way."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._held: dict[Watched, None] = {}  # in order of use

    def has_room(self) -> bool:
        return len(self._held) < self._limit

    def hold(self, file: Watched) -> None:
        """Keep a file open, as the one used last."""
        self._held.pop(file, None)
        self._held[file] = None
        while len(self._held) > self._limit:
            self.release(self._least_missed())

    def _least_missed(self) -> Watched:
        """Choose the one unused for longest, but rather one that can be opened again, and never the one used last."""
        older = list(self._held)[:-1]
        return next((file for file in older if not (file.absent and file.unread)), older[0])

    def release(self, file: Watched) -> None:
        if file.fd >= 0:
            os.close(file.fd)
            file.fd = -1
        self._held.pop(file, None)

    def release_all(self) -> None:
        for file in list(self._held):
            self.release(file)

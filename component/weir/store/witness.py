"""A witness outside the database: which commit was the last one.

A log with a damaged frame looks to SQLite as if it ended before that frame, so commits go back without a word, and
counters fall. The witness is a small file beside the database. It is written after each commit, in place and without
a sync. After kill -9 it says what was written last. After a power cut it may say something older, never something
newer: a commit is on the disk before the witness hears of it. So wherever it knows of a later commit than the database
does, commits were lost, and there is no false alarm. A sync for it as well would double what a commit costs, and only
to notice damage that came together with a power cut.

Owns the file. It also tells that there was a store at all, how often one was lost, and the names of the streams, for
when not even that can be read elsewhere. Whatever is wrong with it, it only knows nothing then.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "last-commit"
MOST_BYTES = 1 << 16


class Told(NamedTuple):
    """What the witness says: of which epoch, its last commit, how often a state was lost, and the streams by id."""

    epoch: str
    number: int
    lost: int
    streams: dict[int, str]


class Witness:
    """The file, while the store is open."""

    def __init__(self, directory: Path) -> None:
        """Hear what it says; None if there is none, or it makes no sense."""
        self._path = directory / NAME
        self._file = -1
        self.told = _told(self._path)

    def begin(self, told: Told) -> None:
        """Tell of this store from now on."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):  # a store without a witness is as good as ever
            self._file = os.open(self._path, flags, 0o600)
            os.fchmod(self._file, 0o600)
            if self.told is None or self.told.epoch != told.epoch:
                self._write(told)
        self.told = told

    def tell(self, number: int, streams: Mapping[int, str]) -> None:
        """Tell of a commit that was made."""
        if self._file >= 0 and self.told is not None:
            self.told = self.told._replace(number=number, streams=dict(streams))
            with contextlib.suppress(OSError):
                self._write(self.told)

    def _write(self, told: Told) -> None:
        line = json.dumps(told, separators=(",", ":")).encode()
        os.pwrite(self._file, b"%08x %s\n" % (zlib.crc32(line), line), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _told(path: Path) -> Told | None:
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES).partition(b"\n")[0]
        line = found[9:]
        if found[:9] != b"%08x " % zlib.crc32(line):
            return None
        epoch, number, lost, streams = json.loads(line)
        return Told(epoch, number, lost, {int(stream): name for stream, name in streams.items()})
    except (OSError, ValueError):
        return None

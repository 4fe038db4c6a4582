"""What becomes of a file that is finished: it is archived or deleted, by directory descriptor, and durably so.

Owns the archive directory and its size. Knows nothing of when a file is finished.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from weir.sources.scan import Folder

ARCHIVE: Final = b".weir-archive"
_ROOM_LEFT: Final = 0.9  # an archive that is full is emptied so far, so that it is not listed for every file
_NAME_BYTES: Final = 200  # of a name, so that a number fits behind it
_ORDER: Final = Struct(">QQ")  # the time that counts, and a size; the name follows


class _Archived(NamedTuple):
    since: int
    name: bytes
    size: int


class Remover:
    """Takes finished files out of the directory, and makes that durable for many of them at once."""

    def __init__(self, on_done: str, archive_max_bytes: int) -> None:
        self._archives = on_done == "archive"
        self._max_bytes = archive_max_bytes
        self._held: int | None = None  # bytes in the archive; not counted yet
        self.owes_sync = False  # what was removed is not durable yet

    def remove(self, folder: Folder, name: bytes, size: int, mtime: int) -> None:
        """Archive a file, under a name that nothing there has, or delete it."""
        if not self._archives:
            os.unlink(name, dir_fd=folder.fd)
        else:
            fd = _open_archive(folder)
            try:
                os.rename(name, _free_name(fd, name, mtime), src_dir_fd=folder.fd, dst_dir_fd=fd)
            finally:
                os.close(fd)
            self._held = None if self._held is None else self._held + size
        self.owes_sync = True

    def flush(self, folder: Folder) -> None:
        """Make durable what was removed since the last call; the oldest leave an archive that holds too much."""
        if self._archives:
            fd = _open_archive(folder)
            try:
                os.fsync(fd)
                if self._held is None or self._held > self._max_bytes:
                    self._held = _shrink(fd, self._max_bytes)
            finally:
                os.close(fd)
        os.fsync(folder.fd)
        self.owes_sync = False  # not before: what failed on the way here is tried again


def _open_archive(folder: Folder) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(ARCHIVE, 0o700, dir_fd=folder.fd)
    return os.open(ARCHIVE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)


def _free_name(fd: int, name: bytes, stamp: int) -> bytes:
    """Find a name of its own; where the name is taken, the time of its last change goes behind it."""
    candidate = name
    while _exists(fd, candidate):
        candidate = b"%s.%d" % (name[:_NAME_BYTES], stamp)
        stamp += 1
    return candidate


def _exists(fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _archived(fd: int) -> Iterator[_Archived]:
    with os.scandir(fd) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                # A rename sets the change time, so this is the order in which they came.
                yield _Archived(status.st_ctime_ns, os.fsencode(entry.name), status.st_size)


def _shrink(fd: int, max_bytes: int) -> int:
    """Delete the oldest until there is room again; give what is left."""
    held = sum(each.size for each in _archived(fd))
    if held <= max_bytes:
        return held
    # There may be very many of them: as bytes that compare as the times do, they need a third of the memory.
    for packed in sorted(_ORDER.pack(each.since, each.size) + each.name for each in _archived(fd)):
        if held <= max_bytes * _ROOM_LEFT:
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(packed[_ORDER.size :], dir_fd=fd)
        held -= _ORDER.unpack_from(packed)[1]
    os.fsync(fd)
    return held

"""What becomes of a file that is finished: it is archived or deleted, by directory descriptor, and durably so.

Owns the archive directory and its size. Knows nothing of when a file is finished.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final, NamedTuple

from weir.sources.scan import Folder

ARCHIVE: Final = b".weir-archive"
_ROOM_LEFT: Final = 0.9  # an archive that is full is emptied so far, so that it is not listed for every file
_NAME_BYTES: Final = 200  # of a name, so that a number fits behind it


class _Archived(NamedTuple):
    since: int
    name: bytes
    size: int


def delete(folder: Folder, name: bytes) -> None:
    os.unlink(name, dir_fd=folder.fd)
    os.fsync(folder.fd)


class Archive:
    """The directory that finished files are moved to; the oldest ones leave it when it holds too much."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: int | None = None  # not counted yet

    def take(self, folder: Folder, name: bytes, size: int, mtime: int) -> None:
        """Move a file here, under a name that nothing here has."""
        fd = _open_archive(folder)
        try:
            os.rename(name, _free_name(fd, name, mtime), src_dir_fd=folder.fd, dst_dir_fd=fd)
            os.fsync(fd)
            os.fsync(folder.fd)
            self._held = self._held + size if self._held is not None else sum(each.size for each in _list(fd))
            if self._held > self._max_bytes:
                self._held = _shrink(fd, self._max_bytes)
        finally:
            os.close(fd)


def _open_archive(folder: Folder) -> int:
    try:
        os.mkdir(ARCHIVE, 0o700, dir_fd=folder.fd)
        os.fsync(folder.fd)
    except FileExistsError:
        pass
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


def _list(fd: int) -> list[_Archived]:
    found = []
    with os.scandir(fd) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                # A rename sets the change time, so this is the order in which they came.
                found.append(_Archived(status.st_ctime_ns, os.fsencode(entry.name), status.st_size))
    return found


def _shrink(fd: int, max_bytes: int) -> int:
    """Delete the oldest until there is room again; give what is left."""
    files = sorted(_list(fd))
    held = sum(each.size for each in files)
    if held <= max_bytes:
        return held
    for each in files:
        if held <= max_bytes * _ROOM_LEFT:
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each.name, dir_fd=fd)
        held -= each.size
    os.fsync(fd)
    return held

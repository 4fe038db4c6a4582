"""Walking through a directory, a little at a time.

Owns which names are looked at and what kind of thing each is. Knows nothing of what is done with them.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

_NEVER_ENDS: Final = (".tmp", ".part", "~")
IO_ERROR: Final = "io_error"
UNREADABLE: Final = "unreadable"
_KINDS: Final = (
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


class Seen(NamedTuple):
    """One entry that matters; `kind` says why it cannot be read, `matches` whether the pattern asks for it.

    Of one that cannot be looked at (`is_hidden`) nothing is known but the name and the inode.
    """

    name: bytes
    inode: int
    size: int
    mtime: int
    kind: str | None = None
    matches: bool = True

    @property
    def is_hidden(self) -> bool:
        return self.kind in {IO_ERROR, UNREADABLE}


class Folder:
    """A directory held open, so that a name means the same directory from one call to the next."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            self.close()


def matcher(pattern: str) -> Callable[[str], bool]:
    """Make the test of a name; names are compared as they are, upper and lower case apart."""
    if pattern == "*":
        return lambda _name: True
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda name: match(name) is not None


def walk(folder: Folder, wanted: Callable[[str], bool], also: Callable[[str, int], bool]) -> Iterator[Seen | None]:
    """Give what is in the directory, None for an entry that does not matter, so that a caller can count the work.

    What the pattern does not ask for may matter as well: a file that was renamed or copied by a rotation.
    """
    with os.scandir(folder.fd) as entries:
        for entry in entries:
            yield _look(entry, wanted, also)


def _look(entry: os.DirEntry[str], wanted: Callable[[str], bool], also: Callable[[str, int], bool]) -> Seen | None:
    name = entry.name
    if name.startswith(".") or name.endswith(_NEVER_ENDS):
        return None
    matches = wanted(name)
    if not matches and not also(name, entry.inode()):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # gone between the two looks
    except OSError as error:  # of this entry alone, or of all: whoever has seen them all can tell
        reason = UNREADABLE if isinstance(error, PermissionError) else IO_ERROR
        return Seen(os.fsencode(name), entry.inode(), 0, 0, reason, matches)
    if stat.S_ISDIR(status.st_mode):
        return None
    kind = None if stat.S_ISREG(status.st_mode) else kind_of(status.st_mode)
    if kind and not matches:
        return None
    return Seen(os.fsencode(name), status.st_ino, status.st_size, status.st_mtime_ns, kind, matches)


def look_again(folder: Folder, name: bytes, inode: int) -> Seen | None:
    """Look at one entry once more; None if that name does not lead to this inode any more."""
    try:
        status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except OSError:
        return None
    return Seen(name, inode, status.st_size, status.st_mtime_ns) if status.st_ino == inode else None


def kind_of(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "not_regular")

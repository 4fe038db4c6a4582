"""Who a file is, and how it is opened without being fooled.

Owns opening by directory descriptor, the birth time, the hashes of head and tail, and the question whether somebody
writes. Knows nothing of records or positions. Nothing here depends on the boot or on the device number, so a file is
known again after a remount and after a restart.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import stat
from collections.abc import Callable
from typing import Final

from weir.core.digest import sha256
from weir.sources.packed import is_packed, seal_matches

HEAD_BYTES: Final = 1024  # a file is known by its first complete line, up to so many bytes
TAIL_BYTES: Final = 256  # and by what lies just before the position
HASH_BYTES: Final = 16
CHANGED: Final = bytes(HASH_BYTES)  # as a hash: no bytes have it, so it says that what was read is there no more

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

# struct statx of the Linux ABI: 256 bytes, the mask first, the birth time (seconds, nanoseconds) at 80.
_STATX_BYTES: Final = 256
_STATX_BTIME: Final = 0x800
_BIRTH_OFFSET: Final = 80
_AT_EMPTY_PATH: Final = 0x1000


class NotRegularError(OSError):
    """What carries this name is not a regular file, or is another one than a moment ago."""


def open_regular(directory: int, name: bytes) -> int:
    """Open a regular file by its name in a directory, for reading.

    It is looked at before it is opened, since opening a device can do things, and after, since it may have been
    swapped. Nothing is followed and nothing blocks, whatever lies there.
    """
    before = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(before.st_mode):
        raise NotRegularError
    fd = os.open(name, _OPEN_FLAGS, dir_fd=directory)
    after = os.fstat(fd)
    if stat.S_ISREG(after.st_mode) and (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino):
        return fd
    os.close(fd)
    raise NotRegularError


def is_at(directory: int, name: bytes, fd: int) -> bool:
    """Tell whether this name still leads to the file that is open here."""
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _find_statx() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None).statx
    except (AttributeError, OSError):
        return None  # an old C library
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    function.restype = ctypes.c_int
    found: Callable[..., int] = function
    return found


_statx: Final = _find_statx()


def birth_time(fd: int) -> int | None:
    """Give when the file was made, in nanoseconds, or None where the file system does not say."""
    if _statx is None:
        return None
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if _statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return None
    if not ctypes.c_uint32.from_buffer(buffer).value & _STATX_BTIME:
        return None
    seconds = ctypes.c_int64.from_buffer(buffer, _BIRTH_OFFSET).value
    nanoseconds = ctypes.c_uint32.from_buffer(buffer, _BIRTH_OFFSET + 8).value
    return seconds * 1_000_000_000 + nanoseconds


def digest(data: bytes) -> bytes:
    return sha256(data).digest()[:HASH_BYTES]


def head_of(fd: int) -> tuple[bytes, int]:
    """Hash the first complete line, or the first 1,024 bytes of a longer one; nothing while there is neither."""
    start = os.pread(fd, HEAD_BYTES, 0)
    length = start.find(b"\n") + 1
    if not length and len(start) == HEAD_BYTES:
        length = HEAD_BYTES
    return (digest(start[:length]), length) if length else (b"", 0)


def head_matches(fd: int, head: bytes, length: int) -> bool:
    """Tell whether the file still begins with what was hashed once; a head of no length matches anything."""
    if not length:
        return True
    start = os.pread(fd, length, 0)
    return len(start) == length and digest(start) == head


def tail_of(fd: int, position: int) -> bytes:
    """Hash the last 256 bytes before a position; empty at the start of the file, or if they are not there."""
    length = min(TAIL_BYTES, position)
    data = os.pread(fd, length, position - length)
    return digest(data) if length and len(data) == length else b""


def tail_of_taken(fd: int, position: int, taken: bytes) -> bytes:
    """Hash the last 256 bytes before a position that was read up to just now; `CHANGED` if they cannot be known.

    What was read counts, and not what lies there by now: the file may have been truncated since.
    """
    length = min(TAIL_BYTES, position)
    if length and len(taken) >= length:
        return digest(taken[-length:])
    data = os.pread(fd, length, position - length)
    return digest(data) if len(data) == length and data.endswith(taken) else CHANGED


def tail_matches(fd: int, tail: bytes, position: int) -> bool:
    """Tell whether the bytes before the position are those that were hashed; no hash matches anything."""
    if not tail:
        return True
    return seal_matches(fd, tail) if is_packed(position) else tail_of(fd, position) == tail


def open_for_writing(fd: int) -> bool | None:
    """Tell whether anybody holds this file open for writing; None where the kernel does not say.

    A read lease is granted only if nobody does. Should somebody open it in the moment we hold the lease, the kernel
    tells us by a signal that would end the process by default; we ask for one that is ignored by default.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False

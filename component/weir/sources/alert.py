"""Being told when a directory changes, so that one in which nothing happens is not scanned twice a second.

The kernel's inotify says *when* to look, never what is there: a scan alone says that, and one is made every few seconds
even if nothing was told. A write through a memory map or another directory's link to the same file, a directory that is
mounted over, a queue of events that overflowed: of none of these it tells. On file systems that others change too, as
over a network, and where the system has no watch left to give, there is no alert at all, and the scans go on as ever.

Owns the door to inotify. Knows nothing of files.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple, Protocol

_MODIFIED, _ATTRIBUTES, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATED, _DELETED, _SELF_DELETED, _SELF_MOVED, _ONLY_A_DIRECTORY = 0x100, 0x200, 0x400, 0x800, 0x1000000
_MASK: Final = (
    _MODIFIED | _ATTRIBUTES | _MOVED_FROM | _MOVED_TO | _CREATED | _DELETED | _SELF_DELETED | _SELF_MOVED
) | _ONLY_A_DIRECTORY
_LOCAL: Final = frozenset(  # the f_type of file systems that nobody but this kernel writes to
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0xF2F52010,  # f2fs
        0x24051905,  # ubifs
        0x72B6,  # jffs2
        0x01021994,  # tmpfs
        0x858458F6,  # ramfs
        0x794C7630,  # overlay
        0x4D44,  # vfat
        0x2011BAB0,  # exfat
    }
)
_STATFS_BYTES: Final = 256  # more than any architecture's
_EVENTS_BYTES: Final = 65_536


class Watcher(Protocol):
    """Who waits for descriptors, as the loop's inbox does."""

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever the descriptor is readable."""

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor."""


class _Libc(NamedTuple):
    init: Callable[[int], int]
    add: Callable[[int, bytes, int], int]
    remove: Callable[[int, int], int]
    statfs: Callable[[int, ctypes.Array[ctypes.c_char]], int]


@cache
def _libc() -> _Libc | None:
    libc = ctypes.CDLL(None)
    try:
        return _Libc(libc.inotify_init1, libc.inotify_add_watch, libc.inotify_rm_watch, libc.fstatfs)
    except AttributeError:
        return None


class Alert:
    """The alert of one directory. It goes off once, when something happens after it was set."""

    def __init__(self, watcher: Watcher | None, ring: Callable[[], None]) -> None:
        """Take who waits for it, and what to do when it goes off; without a watcher there is no alert."""
        self._watcher = watcher
        self._ring = ring
        self._events = -1
        self._mark = -1
        self._is_set = False

    def begin(self, directory: int) -> None:
        """Watch a directory that is open, from before a scan on; what happened before does not matter any more."""
        self.unset()
        libc = _libc() if self._watcher is not None else None
        if libc is None or not _is_local(libc, directory):
            self.close()
            return
        if self._events < 0:
            self._events = libc.init(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._events >= 0:
            mark = libc.add(self._events, b"/proc/self/fd/%d" % directory, _MASK)
            if mark != self._mark and self._mark >= 0:
                libc.remove(self._events, self._mark)  # another directory has this name now
            self._mark = mark
            self._drain()

    def set(self) -> bool:
        """Let the next event, or one since `begin`, set it off; tell whether there is an alert."""
        if self._watcher is None or self._events < 0 or self._mark < 0:
            return False
        if not self._is_set:
            self._watcher.watch(self._events, self._go_off)
            self._is_set = True
        return True

    def unset(self) -> None:
        """Let nothing set it off until it is set again."""
        if self._is_set and self._watcher is not None:
            self._watcher.unwatch(self._events)
        self._is_set = False

    def _go_off(self) -> None:
        self.unset()  # the scan that follows sees whatever else happens until then
        self._ring()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._events, _EVENTS_BYTES):
                pass

    def close(self) -> None:
        """Give back what the kernel holds for it."""
        self.unset()
        if self._events >= 0:
            os.close(self._events)
        self._events = self._mark = -1


def _is_local(libc: _Libc, directory: int) -> bool:
    told = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(directory, told):
        return False
    return ctypes.c_ulong.from_buffer(told).value & 0xFFFFFFFF in _LOCAL

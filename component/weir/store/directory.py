"""The state directory: its place, its lock, its reserve.

Owns what lies beside the database: the lock that makes one process the owner, and a pre-allocated file that is given up
when the disk is full, so that a full disk can still be counted on. Knows nothing of SQL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from weir.core.errors import StateInUse, StoreUnusable

DATABASE = "weir.db"
LOCK = "lock"
RESERVE = "reserve"
RESERVE_BYTES = 1 << 20
LOCK_POLL_SECONDS = 0.05


class StateDirectory:
    """A state directory that this process owns, until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        """Take the directory and the descriptor that holds the lock."""
        self.path = path
        self._lock = lock

    @property
    def database(self) -> Path:
        """Give the path of the database."""
        return self.path / DATABASE

    def make_database(self) -> None:
        """Make an empty file for the database if there is none; what SQLite puts beside it takes over its mode."""
        with contextlib.suppress(FileExistsError):
            os.close(_private(self.database, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def has_only_log(self) -> bool:
        """Tell whether the database is gone and its log is not: SQLite would delete it."""
        log = Path(f"{self.database}-wal")
        return log.exists() and not (self.database.exists() and self.database.stat().st_size)

    def free_bytes(self) -> int:
        """Count the bytes that an unprivileged process may still write on this disk."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def keep_reserve(self) -> None:
        """Allocate the reserve if it is not there; a disk too full for it is left as it is."""
        path = self.path / RESERVE
        if path.exists() or self.free_bytes() < 8 * RESERVE_BYTES:
            return
        try:
            file = _private(path, os.O_RDWR | os.O_CREAT)
            try:
                os.posix_fallocate(file, 0, RESERVE_BYTES)
            finally:
                os.close(file)
        except OSError:
            path.unlink(missing_ok=True)

    def spend_reserve(self) -> bool:
        """Give up the reserve; tell whether there was one."""
        try:
            (self.path / RESERVE).unlink()
        except OSError:
            return False
        return True

    def move_aside(self) -> Path:
        """Rename a database that cannot be read, and what belongs to it; nothing is ever deleted."""
        aside = self.path / f"weir.db.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.database}{suffix}").rename(f"{aside}{suffix}")
        return aside

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def own(path: Path, *, wait_seconds: float) -> StateDirectory:
    """Make the directory if needed and become its owner.

    Raises `StateInUse` where another process keeps it for longer than `wait_seconds`, `StoreUnusable` where it cannot
    be a state directory at all.
    """
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700)
        lock = _private(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        message = f"state directory {path}: {error.strerror}; make it writable for this user or name another"
        raise StoreUnusable(message) from error
    deadline = time.monotonic() + wait_seconds
    while not _locked(lock):
        if time.monotonic() >= deadline:
            os.close(lock)
            message = f"state directory {path} is in use by another process; stop it or name another directory"
            raise StateInUse(message)
        time.sleep(LOCK_POLL_SECONDS)
    return StateDirectory(path, lock)


def _private(path: Path, flags: int) -> int:
    """Open a file that nobody else may read or write, whatever the umask."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    return file


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def boot_id() -> str:
    """Name this boot of the machine; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""

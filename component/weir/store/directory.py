"""The state directory: its place, its lock, its reserve.

Owns what lies beside the database: the lock that makes one process the owner, and a pre-allocated file that is given up
when the disk is full, so that a full disk can still be counted on; and how another database takes the place of one that
cannot be used, so that a crash at any point leaves the one or the other. Knows nothing of SQL.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from weir.core.errors import StateInUse, StoreFailed, StoreUnusable

DATABASE = "weir.db"
LOCK = "lock"
RESERVE = "reserve"
RESERVE_BYTES = 1 << 20
BUILDING = "weir.db.building"
NEXT = "weir.db.next"
ASIDE = "weir.db.corrupt-"
MOST_ASIDE = 3
LOCK_POLL_SECONDS = 0.05
PASSING = {  # errors of a disk or a machine, of which nobody can say that they stay
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ENFILE,
    errno.EMFILE,
    errno.ENOMEM,
    errno.ESTALE,
}


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

    def make(self, path: Path) -> None:
        """Make an empty file for a database if there is none; what SQLite puts beside it takes over its mode."""
        with contextlib.suppress(FileExistsError):
            os.close(_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def has_database(self) -> bool:
        """Tell whether there is anything of a database."""
        return self.database.exists() and self.database.stat().st_size > 0

    def has_only_log(self) -> bool:
        """Tell whether the database is gone and its log is not: SQLite would delete it."""
        return Path(f"{self.database}-wal").exists() and not self.has_database()

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

    # -- one database in the place of another -------------------------------------------------------------------------

    @property
    def building(self) -> Path:
        """Give the path at which a database is built; whatever lies there is not finished."""
        return self.path / BUILDING

    def offer(self) -> None:
        """Say that the database that was built is finished; `replace` can put it in its place, now or after a crash."""
        file = os.open(self.building, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        self.building.rename(self.path / NEXT)
        self._sync()

    def replace(self) -> Path | None:
        """Put a finished database in the place of the one that cannot be used, which is renamed; say to what.

        Only so many of these are kept, the latest: a disk that goes on failing must not be filled with them.
        """
        following = self.path / NEXT
        if not following.exists():
            return None
        aside = self.path / f"{ASIDE}{_moment(following.stat().st_mtime_ns)}"
        moved = [suffix for suffix in ("-wal", "-shm", "-journal", "") if Path(f"{self.database}{suffix}").exists()]
        for suffix in moved:  # the database last: while it is there, its replacement is tried again
            Path(f"{self.database}{suffix}").rename(f"{aside}{suffix}")
        if moved:
            self._sync()
        following.rename(self.database)
        self._sync()
        self._forget_old()
        return aside if moved else None

    def _forget_old(self) -> None:
        names = sorted({path.name.removesuffix("-wal") for path in self.path.glob(f"{ASIDE}*")})
        for name in names[:-MOST_ASIDE]:
            for path in self.path.glob(f"{name}*"):
                path.unlink()

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def own(path: Path, *, wait_seconds: float) -> StateDirectory:
    """Make the directory if needed and become its owner.

    Raises `StateInUse` where another process keeps it for longer than `wait_seconds`, `StoreFailed` where the disk does
    not let it be used now, `StoreUnusable` where it cannot be a state directory at all.
    """
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700)
        lock = _private(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in PASSING:
            raise StoreFailed(f"state directory {path}: {error.strerror}; see to its disk") from error
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


def _moment(nanoseconds: int) -> str:
    """Name a moment so that names sort by time."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{rest:09}Z"


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

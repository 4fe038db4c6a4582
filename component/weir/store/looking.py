"""How a database is looked at so that neither it nor its log is changed, whatever is wrong with them.

SQLite deletes a log in which it finds nothing when the last connection is closed, even one that cannot write. So the
look is at other links to the same files, or for a log at a file that stands in for it.

Owns the connection that only looks. Only for who owns the directory: it takes no lock, and could not, since it cannot
write. Knows nothing of tables.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from weir.store.connection import or_closed

LOOK = ".look"  # what the links are called after the database

Log = Callable[[Path, Path], None]  # makes what stands in for the log of the database: its path, that of the stand-in


@contextlib.contextmanager
def looking(path: Path, log: Log | None = None) -> Iterator[sqlite3.Connection]:
    """Look at a database, with its own log or what `log` makes of it. Raises what SQLite raises."""
    look = Path(f"{path}{LOOK}")
    try:
        database = _read_only(look if _linked(path, look, log) else path)
        try:
            yield database
        finally:
            database.close()
    finally:
        _unlink(look)


def _linked(path: Path, look: Path, log: Log | None) -> bool:
    """Make the links; tell whether this file system has such."""
    try:
        _unlink(look)
        os.link(path, look)
        if log is not None:
            log(path, Path(f"{look}-wal"))
        elif Path(f"{path}-wal").exists():
            os.link(f"{path}-wal", f"{look}-wal")
    except OSError:
        return False
    return True


def _unlink(look: Path) -> None:
    with contextlib.suppress(OSError):
        for suffix in ("-wal", ""):
            Path(f"{look}{suffix}").unlink(missing_ok=True)


def _read_only(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&vfs=unix-none", uri=True, isolation_level=None)
    with or_closed(database):
        for pragma in ("locking_mode=EXCLUSIVE", "mmap_size=0", "cache_size=-1024", "temp_store=MEMORY"):
            database.execute(f"PRAGMA {pragma}").fetchall()
    return database

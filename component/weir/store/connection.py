"""How the database is used: one connection, set up one way, and every failure of it told in our own words.

Owns what SQLite is told before anything else, and what its errors mean. Knows nothing of tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from weir.core.errors import StoreDamaged, StoreFailed


@contextlib.contextmanager
def or_closed(database: sqlite3.Connection) -> Iterator[None]:
    """Close the database if what follows fails: left open, it would lock out the next attempt."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def configure(database: sqlite3.Connection) -> None:
    """Use the database the one way it is ever used.

    One connection, exclusive, no memory map: SQLite before 3.51.3 can corrupt a log that two connections write. FULL:
    with NORMAL a power cut takes back what was committed. secure_delete is on by default in some builds and makes
    removing a backlog three times slower and forty times the writes.
    """
    for pragma in (
        "locking_mode=EXCLUSIVE",
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=OFF",
        "wal_autocheckpoint=0",
        "mmap_size=0",
        "cache_size=-1024",
        "temp_store=MEMORY",
    ):
        database.execute(f"PRAGMA {pragma}").fetchall()


def check_pages(database: sqlite3.Connection) -> None:
    """Check every page. Raises `sqlite3.DatabaseError` for a damaged one."""
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what SQLite and the disk say as `StoreFailed`, or as `StoreDamaged`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        message = f"{type(error).__name__}: {error}"
        kind = StoreDamaged if type(error) is sqlite3.DatabaseError else StoreFailed
        raise kind(message) from error

"""How the database is used: one connection, set up one way, and every failure of it told in our own words.

Owns what SQLite is told before anything else, and what its errors mean. Knows nothing of tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from weir.core.errors import StoreDamaged, StoreFailed
from weir.store.schema import PAGE_BYTES

# What an OperationalError says when it is the disk, the system, or what we did; all else it says is of what lies in
# the file, as a table that is not there.
_NOT_OF_THE_FILE = (
    "disk i/o",
    "is full",
    "unable to open",
    "locked",
    "readonly",
    "permission",
    "protocol",
    "interrupted",
    "transaction",
    "out of memory",
)
ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the latter where SQLite's own message quotes what makes no sense
_KINDS = (sqlite3.OperationalError, sqlite3.IntegrityError, sqlite3.DataError)


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
        f"page_size={PAGE_BYTES}",
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
    """Check every page, and every index against its table. Raises `StoreDamaged`."""
    found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreDamaged(" ".join(str(found).split()))


@contextlib.contextmanager
def decoded(what: str) -> Iterator[None]:
    """Raise what cannot be made of a row as `StoreDamaged`: nothing but such rows was ever written."""
    try:
        yield
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        message = f"a row of the table {what} makes no sense ({type(error).__name__}: {error})"
        raise StoreDamaged(message) from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what SQLite and the disk say as `StoreFailed`, or as `StoreDamaged`."""
    try:
        yield
    except (*ERRORS, OSError) as error:
        message = f"{type(error).__name__}: {error}"
        kind = StoreDamaged if is_damage(error) else StoreFailed
        raise kind(message) from error


def is_damage(error: Exception) -> bool:
    """Tell whether it is what lies in the file that is wrong."""
    if type(error) is sqlite3.DatabaseError or isinstance(error, UnicodeDecodeError):
        return True
    text = str(error).lower()
    return isinstance(error, _KINDS) and not any(part in text for part in _NOT_OF_THE_FILE)

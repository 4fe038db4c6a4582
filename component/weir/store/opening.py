"""How the database is opened: made if there is none, and set aside for a new one where it is damaged.

Owns the way from a directory to a connection that can be used. Knows nothing of what is read or written afterwards.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from weir.core.errors import StoreFailed, StoreUnusable
from weir.store.connection import check_pages, configure, or_closed, translated
from weir.store.directory import StateDirectory, boot_id
from weir.store.schema import SCHEMA, VERSION

Clock = Callable[[], float]


class Opened(NamedTuple):
    """A database in use, and where the one lies that was set aside for it."""

    database: sqlite3.Connection
    moved_aside: Path | None


def open_database(directory: StateDirectory, clock: Clock, *, mend: bool, doubted: bool) -> Opened:
    """Open the database of a directory that this process owns; see `Store` for what the flags mean.

    Raises `StoreFailed`, and `StoreUnusable` for a newer version or a damaged database that is left alone.
    """
    return _Opening(directory, clock, mend=mend, doubted=doubted).open()


class _Opening:
    def __init__(self, directory: StateDirectory, clock: Clock, *, mend: bool, doubted: bool) -> None:
        self._directory = directory
        self._clock = clock
        self._mend = mend
        self._doubted = doubted
        self._moved_aside: Path | None = None

    def open(self) -> Opened:
        if self._directory.has_only_log():
            self._set_aside()
        try:
            return Opened(self._open_or_create(), self._moved_aside)
        except sqlite3.OperationalError as error:  # the disk or the directory, not what lies in the file
            message = f"{self._directory.database}: {error}"
            raise StoreFailed(message) from error
        except sqlite3.DatabaseError:
            pass  # it was moved aside
        with translated():
            return Opened(self._open_or_create(), self._moved_aside)

    def _open_or_create(self) -> sqlite3.Connection:
        self._directory.make_database()
        database = sqlite3.connect(self._directory.database, isolation_level=None)
        with or_closed(database):
            try:
                configure(database)
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if self._doubted:
                    check_pages(database)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._set_aside()  # before it is closed, for SQLite then deletes its log
                raise
            if version > VERSION:
                path = self._directory.database
                message = f"{path} has store version {version}, this Weir reads {VERSION}; upgrade Weir"
                raise StoreUnusable(message)
            if not version:
                self._create(database)
        return database

    def _set_aside(self) -> None:
        if not self._mend:
            raise StoreUnusable(f"{self._directory.database} is damaged; `weir run` sets it aside and begins a new one")
        self._moved_aside = self._directory.move_aside()

    def _create(self, database: sqlite3.Connection) -> None:
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            database.execute(statement)
        database.execute(
            "INSERT INTO store (id, epoch, epoch_since, clean, boot, state_lost) VALUES (1, ?, ?, 1, ?, ?)",
            (uuid.uuid4().hex, self._clock(), boot_id(), int(self._moved_aside is not None)),
        )
        database.execute("COMMIT")

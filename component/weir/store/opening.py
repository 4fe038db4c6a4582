"""How the database is opened: made if there is none, and replaced by a new one where it is damaged.

Owns the way from a directory to a connection that can be used, and the order of steps that makes a crash in any of
them harmless. Knows nothing of what is read or written afterwards.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from weir.core.errors import StoreDamaged, StoreFailed, StoreUnusable
from weir.store import seals
from weir.store.connection import configure, or_closed, translated
from weir.store.directory import StateDirectory, boot_id
from weir.store.inspection import has_checksums, inspect
from weir.store.salvage import salvage
from weir.store.schema import ADDED, NUMBER, PAGE_BYTES, SCHEMA
from weir.store.witness import Told, Witness

Clock = Callable[[], float]


class Recovery(NamedTuple):
    """Why the state began anew, where the damaged one lies (None if there was nothing left), what was saved of it."""

    reason: str
    aside: Path | None
    records: int


class Opened(NamedTuple):
    """A database in use, with its witness, and the recovery if there was one."""

    database: sqlite3.Connection
    witness: Witness
    recovery: Recovery | None


def open_database(directory: StateDirectory, clock: Clock, *, mend: bool, doubted: bool) -> Opened:
    """Open the database of a directory that this process owns; see `Store` for what the flags mean.

    Raises `StoreFailed`, and `StoreUnusable` for a newer version or a damaged database that is left alone.
    """
    try:
        with translated():
            return _open(directory, clock, mend=mend, doubted=doubted)
    except StoreFailed as error:
        if "full" in str(error):
            directory.spend_reserve()
        raise type(error)(f"{directory.database}: {error}") from error


def _open(directory: StateDirectory, clock: Clock, *, mend: bool, doubted: bool) -> Opened:
    recovery = None
    directory.replace()  # if a crash came between
    witness = Witness(directory.path)
    damage = _damage(directory, witness.told, doubted=doubted, law=mend)
    if damage is not None:
        if not mend:
            message = f"{directory.database} is damaged ({damage}); `weir run` sets it aside and begins a new one"
            raise StoreUnusable(message)
        recovery = _begin_anew(directory, clock, witness.told, damage)
    elif not directory.has_database():
        directory.database.unlink(missing_ok=True)  # there is not a byte in it
        _build(directory, clock, None, lost=0)
        directory.replace()
    database = _connect(directory)
    with or_closed(database):
        if mend or witness.told is not None:  # who only looks leaves nothing behind
            _tell(database, witness)
    return Opened(database, witness, recovery)


def _damage(directory: StateDirectory, told: Told | None, *, doubted: bool, law: bool) -> str | None:
    """Say what is wrong with the database; None if nothing is found."""
    if directory.has_only_log():
        return "its log is there, and it is not"
    if not directory.has_database():
        return None if told is None else "it is not there any more"
    try:
        with translated():
            inspect(directory.database, told, doubted=doubted, law=law)
    except StoreDamaged as damage:
        return str(damage)
    return None


def _connect(directory: StateDirectory) -> sqlite3.Connection:
    database = sqlite3.connect(directory.database, isolation_level=None)
    with or_closed(database):
        configure(database)
        seals.teach(database)
        if not has_checksums(database):
            _add_checksums(database)
    return database


def _create(database: sqlite3.Connection, clock: Clock, *, lost: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";"):
        database.execute(statement)
    database.execute(
        "INSERT INTO store (id, epoch, epoch_since, clean, boot, state_lost) VALUES (1, ?, ?, 1, ?, ?)",
        (uuid.uuid4().hex, clock(), boot_id(), lost),
    )
    seals.seal(database, "store")
    database.execute("COMMIT")


def _add_checksums(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement in ADDED:
        database.execute(statement)
    for table in seals.SEALED:
        seals.seal(database, table)
    database.execute("COMMIT")


def _tell(database: sqlite3.Connection, witness: Witness) -> None:
    epoch, lost = database.execute("SELECT epoch, state_lost FROM store").fetchone()
    streams = dict(database.execute("SELECT id, name FROM stream").fetchall())
    witness.begin(Told(epoch, database.execute(NUMBER).fetchone()[0], lost, streams))


def _begin_anew(directory: StateDirectory, clock: Clock, told: Told | None, damage: str) -> Recovery:
    """Replace a damaged database by one with what can be saved of it."""
    records = _build(directory, clock, told, lost=1 + (told.lost if told is not None else 0))
    return Recovery(damage, directory.replace(), records)


def _build(directory: StateDirectory, clock: Clock, told: Told | None, *, lost: int) -> int:
    """Build a database beside the place of the one there is, if any; say how many records were saved of that.

    Nothing is synced on the way, for it is nothing before it is done. It is ready to be used with a log: whoever opens
    it changes nothing in it for that.
    """
    directory.building.unlink(missing_ok=True)
    directory.make(directory.building)
    try:
        with closing(sqlite3.connect(directory.building, isolation_level=None)) as database:
            database.execute(f"PRAGMA page_size={PAGE_BYTES}")
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY"):
                database.execute(f"PRAGMA {pragma}").fetchall()
            seals.teach(database)
            _create(database, clock, lost=lost)
            records = salvage(directory.database, database, told) if lost else 0
            database.execute("PRAGMA journal_mode=WAL").fetchall()
    except BaseException:
        directory.building.unlink(missing_ok=True)  # its room may be what is lacking
        raise
    directory.offer()
    return records

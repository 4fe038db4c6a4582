"""Whether a database is what was written, looked at before it is used, without changing a byte of it.

Owns what is looked at, and when everything is: in a small database always, since that costs a moment; in a large one
when it is doubted. Chunks are checked when they are loaded. Knows nothing of what is done about damage.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from weir.core.errors import StoreDamaged, StoreUnusable
from weir.store import seals
from weir.store.connection import check_pages
from weir.store.looking import looking
from weir.store.schema import LAW, NUMBER, VERSION
from weir.store.witness import Told

SMALL_BYTES = 8 << 20

HEADER_BYTES = 100
_FIXED = (  # what SQLite never changes in the header of a database like ours: places, and what may stand there
    (slice(0, 16), (b"SQLite format 3\0",)),
    (slice(18, 20), (b"\1\1", b"\2\2")),  # a later format would make it read-only for ever
    (slice(20, 24), (b"\x00\x40\x20\x20",)),
)


def inspect(path: Path, told: Told | None, *, doubted: bool, law: bool) -> None:
    """Look at a database; with `law` also whether the rows of the backlog are as many as its counters say.

    Raises `StoreDamaged`, `StoreUnusable` for one of a newer version, and what SQLite raises.
    """
    _check_header(path)
    with looking(path) as database:
        seals.teach(database)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            raise StoreDamaged("its tables are not there")
        if version > VERSION:
            _check_newer(path, database, version)
        else:
            thorough = doubted or _bytes(path) <= SMALL_BYTES
            _check_contents(database, told, thorough=thorough, law=law)


def has_checksums(database: sqlite3.Connection) -> bool:
    """Tell whether the rows have checksums; those of stores of before there were any have none."""
    return any(column[1] == "crc" for column in database.execute("PRAGMA table_info(store)"))


def _bytes(path: Path) -> int:
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or any(header[place] not in allowed for place, allowed in _FIXED):
        raise StoreDamaged("its header is not what was written")


def _check_newer(path: Path, database: sqlite3.Connection, version: int) -> None:
    """Tell a newer version from ours with a flipped bit in its number."""
    flipped = version ^ VERSION
    if not flipped & (flipped - 1) and has_checksums(database):
        seals.check(database, ["store"])
        raise StoreDamaged(f"it says that it has version {version}, and is ours")
    message = f"{path} has store version {version}, this Weir reads {VERSION}; upgrade Weir"
    raise StoreUnusable(message)


def _check_contents(database: sqlite3.Connection, told: Told | None, *, thorough: bool, law: bool) -> None:
    if thorough:
        check_pages(database)
    rows = database.execute("SELECT count(*), max(epoch), max(state_lost) FROM store").fetchone()
    if rows[0] != 1:
        raise StoreDamaged("the row of the table store is not there")
    if told is not None or has_checksums(database):
        seals.check(database, seals.SEALED if thorough else ("store", "stream"))
        _check_witness(database, told, epoch=rows[1], lost=rows[2])
    if thorough:
        _check_backlog(database, law=law)


def _check_witness(database: sqlite3.Connection, told: Told | None, *, epoch: str, lost: int) -> None:
    if told is None:
        return
    if told.epoch != epoch:
        if lost <= told.lost:
            raise StoreDamaged(f"it is of epoch {epoch}, and not of {told.epoch}")
        return  # it has just replaced the other one
    number = database.execute(NUMBER).fetchone()[0]
    if number < told.number:
        raise StoreDamaged(f"the last {told.number - number} transactions are not there")


def _check_backlog(database: sqlite3.Connection, *, law: bool) -> None:
    if database.execute("SELECT count(*) FROM chunk WHERE length(ends) IS NOT 4 * n").fetchone()[0]:
        raise StoreDamaged("a row of the table chunk is not what was written")
    if law and (broken := [row for row in database.execute(LAW) if row[2]]):
        raise StoreDamaged(f"{sum(abs(row[2]) for row in broken)} records of the backlog are not there, or too many")

"""Checksums of rows, so that a bit that flips in one is noticed before anybody believes it.

Owns what a row's checksum is made of, and the check. A chunk has one of its own kind (see `Span.checksum`), and a
record in quarantine another, over its bytes. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from weir.core.errors import StoreDamaged
from weir.store.schema import COLUMNS

SEALED = {
    "store": (
        "id, epoch, epoch_since, clean, boot, possible_twins, state_lost, thing, duplicate_bound, unanswered,"
        " bytes_written, not_kept, writes"
    ),
    "stream": f"id, name, mode, commits, updated, sequence, backlog_bytes, {', '.join(COLUMNS)}, positions",
    "file": (
        "id, stream, name, inode, birth, head, head_length, generation, format, gone_since, position, tail, beyond,"
        " rungs"
    ),
    "cut": "id, removed, settled, attempts, generation",
    "loss": "stream, topic, reason, first, last, records, bytes",
}


def checksum(*values: object) -> int:
    """Make the checksum of the values of a row, as SQLite gives them."""
    return zlib.crc32(repr(values).encode())


def teach(database: sqlite3.Connection) -> None:
    """Let statements of this connection compute `checksum(...)`."""
    database.create_function("checksum", -1, checksum, deterministic=True)


def seal(database: sqlite3.Connection, table: str, where: str = "1", values: Sequence[object] = ()) -> None:
    """Renew the checksum of the rows that were changed. For the same transaction as the change."""
    database.execute(f"UPDATE {table} SET crc = checksum({SEALED[table]}) WHERE {where}", values)


def unsealed(table: str, row: Sequence[Any]) -> Sequence[Any]:
    """Give a row, read as `SEALED` lists it with the checksum after it, without that. Raises `StoreDamaged`."""
    if checksum(*row[:-1]) != row[-1]:
        raise StoreDamaged(f"a row of the table {table} is not what was written")
    return row[:-1]


def check(database: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Check every row of these tables. Raises `StoreDamaged`."""
    for table in tables:
        statement = f"SELECT count(*) FROM {table} WHERE crc IS NOT checksum({SEALED[table]})"
        broken = database.execute(statement).fetchone()[0]
        if broken:
            raise StoreDamaged(f"{broken} rows of the table {table} are not what was written")

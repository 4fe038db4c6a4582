"""The quarantine in the store: what was set aside, one row a record, as far as its budget goes.

Owns what is kept of a record. Knows nothing of why it was set aside, nor of transactions.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

from weir.core.changes import SetAside
from weir.core.quarantine import Entry, Held
from weir.store import rows, seals
from weir.store.connection import decoded, translated

ROW_BYTES = 200  # what a row costs beside the record in it and the name of its file

_COLUMNS = "record, stream, at, reason, detail, topic, file, file_name, place, size, digest, crc, body"
_ENTRY = (
    "SELECT quarantine.id, record, name, at, reason, detail, topic, file_name, place, size, length(body)"
    " FROM quarantine JOIN stream ON stream.id = quarantine.stream"
)
_KINDS = (int, bytes, str, float, str, str, str, bytes, int, int, int)  # of the columns of an entry
_COST = f"coalesce(sum(length(body) + length(file_name) + {ROW_BYTES}), 0)"


class Quarantine:
    """The rows of the quarantine; the budget is that of the whole table."""

    def __init__(self, database: sqlite3.Connection, max_bytes: int) -> None:
        """Count what it holds."""
        self._database = database
        self._max_bytes = max_bytes
        self._bytes = self._one(f"SELECT {_COST} FROM quarantine")

    # -- within a transaction of the store ----------------------------------------------------------------------------

    def keep(self, stream: int, entries: Sequence[SetAside]) -> None:
        """Keep records, or only that there was one, or nothing of it where there is no room for that either."""
        left_out = sum(not self._keep(stream, entry) for entry in entries)
        if left_out:
            self._database.execute("UPDATE store SET not_kept = not_kept + ?", (left_out,))
            seals.seal(self._database, "store")

    def _keep(self, stream: int, entry: SetAside) -> bool:
        file = entry.reject.file
        size = ROW_BYTES + (len(file.name) if file else 0)
        room = self._max_bytes - self._bytes - size
        if room < 0:
            return False  # the counters have it; a row for each bad line would fill the disk in the end
        kept = entry.reject.kept if len(entry.reject.kept) <= room else b""
        self._bytes += size + len(kept)
        self._database.execute(
            f"INSERT INTO quarantine ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            rows.quarantine_row(stream, entry, kept),
        )
        return True

    def take(self, stream: int, chunk: int, left: int, at: float) -> None:
        """Take over a row of the backlog that is not what was written, whatever its size."""
        taken = self._database.execute(
            f"INSERT INTO quarantine ({_COLUMNS})"
            " SELECT x'', ?, ?, 'corrupt', ?, '', chunk.file, coalesce(name, x''), \"offset\", length(body), x'',"
            " chunk.crc, body FROM chunk LEFT JOIN file ON file.id = chunk.file WHERE chunk.id = ?",
            (stream, at, f"a row of {left} records is not what was written", chunk),
        )
        self._database.execute("DELETE FROM chunk WHERE id = ?", (chunk,))
        self._database.execute("DELETE FROM cut WHERE id = ?", (chunk,))
        self._bytes += self._one(f"SELECT {_COST} FROM quarantine WHERE id = ?", taken.lastrowid or 0)

    def remove(self, numbers: Sequence[int]) -> int:
        """Remove entries, and have their room again; say how many there were."""
        if not numbers:
            return 0
        self._bytes -= self._one(f"SELECT {_COST} FROM quarantine WHERE {_among(numbers)}", *numbers)
        return self._database.execute(f"DELETE FROM quarantine WHERE {_among(numbers)}", numbers).rowcount

    # -- looking ------------------------------------------------------------------------------------------------------

    def held(self) -> Held:
        """Say how much is held."""
        with translated():
            return Held(
                entries=self._one("SELECT count(*) FROM quarantine"),
                bytes=self._bytes,
                not_kept=self._one("SELECT not_kept FROM store"),
                newest=self._one("SELECT coalesce(max(id), 0) FROM quarantine"),
            )

    def page(self, after: int, upto: int, most: int) -> list[Entry]:
        """List the first entries with after < number <= upto, at most so many, in order."""
        return self._entries("quarantine.id > ? AND quarantine.id <= ?", after, upto, most=most)

    def found(self, numbers: Sequence[int]) -> list[Entry]:
        """List those of these entries that there are, in order."""
        return self._entries(_among(numbers), *numbers, most=len(numbers))

    def _entries(self, where: str, *values: int, most: int) -> list[Entry]:
        with translated():
            found = self._database.execute(f"{_ENTRY} WHERE {where} ORDER BY quarantine.id LIMIT ?", (*values, most))
        with decoded("quarantine"):
            return [_entry(row) for row in found]

    def piece(self, number: int, offset: int, size: int) -> bytes:
        """Give a part of what was kept."""
        with translated():
            row = self._database.execute(
                "SELECT substr(body, ?, ?) FROM quarantine WHERE id = ?", (offset + 1, size, number)
            ).fetchone()
        with decoded("quarantine"):
            return bytes(memoryview(row[0])) if row else b""

    def bodies(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Give what was kept of these entries, but for what is not as it was written."""
        with translated():
            found = self._database.execute(f"SELECT id, crc, body FROM quarantine WHERE {_among(numbers)}", numbers)
            with decoded("quarantine"):
                return {number: body for number, crc, body in found if zlib.crc32(body) == crc}

    def _one(self, statement: str, *values: int) -> int:
        found: int = self._database.execute(statement, values).fetchone()[0]
        return found


def _entry(row: rows.Row) -> Entry:
    """Make an entry of a row. Raises ValueError for what cannot have been written."""
    if any(not isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True)):
        raise ValueError("a value is of a wrong type")
    return Entry(*row)


def _among(numbers: Sequence[int]) -> str:
    return f"quarantine.id IN ({','.join('?' * len(numbers))})"

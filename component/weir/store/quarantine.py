"""The quarantine in the store: what was set aside, one row a record, as far as its budget goes.

Owns what is kept of a record. Knows nothing of why it was set aside, nor of transactions.
"""

from __future__ import annotations

import sqlite3

from weir.core.changes import SetAside
from weir.store import rows

ROW_BYTES = 200  # what a row costs beside the record in it and the name of its file

_COLUMNS = "record, stream, at, reason, detail, topic, file, file_name, place, size, digest, crc, body"


class Quarantine:
    """The rows of the quarantine; the budget is that of the whole table."""

    def __init__(self, database: sqlite3.Connection, max_bytes: int) -> None:
        """Count what it holds."""
        self._database = database
        self._max_bytes = max_bytes
        self._bytes: int = database.execute(
            f"SELECT coalesce(sum(length(body) + length(file_name) + {ROW_BYTES}), 0) FROM quarantine"
        ).fetchone()[0]

    def keep(self, stream: int, entry: SetAside) -> None:
        """Keep a record, or only that there was one, or nothing of it where there is no room for that either."""
        file = entry.reject.file
        size = ROW_BYTES + (len(file.name) if file else 0)
        room = self._max_bytes - self._bytes - size
        if room < 0:
            return  # the counters have it; a row for each bad line would fill the disk in the end
        kept = entry.reject.kept if len(entry.reject.kept) <= room else b""
        self._bytes += size + len(kept)
        self._database.execute(
            f"INSERT INTO quarantine ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            rows.quarantine_row(stream, entry, kept),
        )

    def take(self, stream: int, chunk: int, left: int, at: float) -> None:
        """Take over a row of the backlog that is not what was written, whatever its size."""
        self._database.execute(
            f"INSERT INTO quarantine ({_COLUMNS})"
            " SELECT x'', ?, ?, 'corrupt', ?, '', chunk.file, coalesce(name, x''), \"offset\", length(body), x'', crc,"
            " body FROM chunk LEFT JOIN file ON file.id = chunk.file WHERE chunk.id = ?",
            (stream, at, f"a row of {left} records is not what was written", chunk),
        )
        self._database.execute("DELETE FROM chunk WHERE id = ?", (chunk,))
        self._database.execute("DELETE FROM cut WHERE id = ?", (chunk,))

"""The positions of files in the store.

Owns which of them lie in their stream's row and which in a row of their own: a file that is read just now changes with
every commit, and one page for all of these is cheaper for the flash than one for each. Knows nothing of transactions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from weir.core.changes import Change
from weir.core.positions import FilePosition
from weir.store import rows, seals
from weir.store.connection import decoded, translated

HOT_FILES = 16  # so many positions lie in the stream's row
FOUND_FILES = 64  # so many files of the backlog are remembered

_IDENTITY = 9  # so many columns of a file's row say who it is; the others say where it stands


class FileTable:
    """The positions of every stream. Only a few are kept in memory: those that change, and those just looked up."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Know no stream yet."""
        self._database = database
        self._found: dict[int, FilePosition] = {}
        self._hot: dict[int, dict[int, FilePosition]] = {}
        self._identities: dict[int, Sequence[Any]] = {}  # of the hot ones, as their rows have them

    def load(self, stream: int, positions: list[Any]) -> None:
        """Take a stream up; `positions` is what its row says of some of its files."""
        hot = self._hot[stream] = {}
        for position in positions:
            for file in read(self._database, "id = ?", position[0]):
                rows.set_hot_position(file, position)
                hot[file.number] = file
                self._identities[file.number] = rows.file_row(file)[:_IDENTITY]

    def find(self, number: int) -> FilePosition | None:
        """Look up who a file is by its row id; what is found may not say where it stands just now."""
        if number not in self._found:
            if len(self._found) >= FOUND_FILES:
                self._found.clear()
            for file in read(self._database, "id = ?", number):
                self._found[number] = file
        return self._found.get(number)

    def hot(self, stream: int) -> list[Any]:
        """Give what the stream's row is to say of the files that are read just now."""
        return [rows.hot_position(file) for file in self._hot[stream].values()]

    def write(self, change: Change) -> None:
        """Write the positions of a change, all but what its stream's row will say."""
        hot = self._hot[change.stream]
        for file in change.files:
            self._write_identity(file)
            hot.pop(file.number, None)
            hot[file.number] = file  # the latest last
        while len(hot) > HOT_FILES:
            self._write_whole(hot.pop(next(iter(hot))))
        for file in change.forgotten:
            hot.pop(file.number, None)
            self._found.pop(file.number, None)
            self._identities.pop(file.number, None)
            self._database.execute("DELETE FROM file WHERE id = ?", (file.number,))

    def _write_identity(self, file: FilePosition) -> None:
        row = rows.file_row(file)
        if not file.number:
            file.number = self._insert(None, row)
        elif self._identities.get(file.number) != row[:_IDENTITY]:
            self._write_whole(file)
        self._identities[file.number] = row[:_IDENTITY]

    def _write_whole(self, file: FilePosition) -> None:
        self._identities.pop(file.number, None)
        self._insert(file.number, rows.file_row(file))

    def _insert(self, number: int | None, row: rows.Row) -> int:
        statement = f"INSERT OR REPLACE INTO file ({seals.SEALED['file']}) VALUES (?{',?' * len(row)})"
        number = self._database.execute(statement, (number, *row)).lastrowid or 0
        seals.seal(self._database, "file", "id = ?", (number,))
        return number


class KnownFiles:
    """The files of a stream, read from their rows each time somebody goes through them: there may be very many."""

    def __init__(self, database: sqlite3.Connection, stream: int) -> None:
        """Read nothing yet."""
        self._database = database
        self._stream = stream
        self._taken: set[int] = set()

    def __iter__(self) -> Iterator[FilePosition]:
        """Go through them. Raises `StoreFailed`."""
        return self._find("stream = ?")

    def take(self, identity: tuple[int, int | None, int]) -> FilePosition | None:
        """Give the file of this identity, and leave it out from now on; None if it is not known."""
        found = next(self._find("stream = ? AND inode = ? AND birth IS ? AND generation = ?", *identity), None)
        if found is not None:
            self._taken.add(found.number)
        return found

    def _find(self, where: str, *values: int | None) -> Iterator[FilePosition]:
        with translated():
            hot = self._database.execute("SELECT positions FROM stream WHERE id = ?", (self._stream,)).fetchone()
            with decoded("stream"):
                positions = {position[0]: position for position in json.loads(hot[0])}
            for file in read(self._database, where, self._stream, *values):
                if file.number in positions:
                    rows.set_hot_position(file, positions[file.number])
                if file.number not in self._taken:
                    yield file


def read(database: sqlite3.Connection, where: str, *values: int | None) -> Iterator[FilePosition]:
    """Read files from their rows, one after the other."""
    for row in database.execute(f"SELECT {seals.SEALED['file']}, crc FROM file WHERE {where}", values):
        with decoded("file"):
            file = rows.file_of(seals.unsealed("file", row))
        yield file

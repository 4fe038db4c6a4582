"""What can be saved of a damaged database, carried over into the one that takes its place.

A stream of which everything is there goes on as it stood: its backlog, what was set aside, and the positions of its
files. Of any other stream a directory is read again from the start, rather twins than loss, and only what can be read
nowhere else is carried over: records of a pipe, and of files that are gone. Either way it is a new epoch, which counts
what was carried over as read anew. What was sent before may arrive twice.

Owns what is carried over. Nothing of the damaged database is changed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from weir.core.accounting import QUARANTINED
from weir.core.errors import StoreDamaged
from weir.core.span import Span
from weir.store import rows, seals
from weir.store.connection import ERRORS, is_damage
from weir.store.looking import looking
from weir.store.mended import grafts, roots_of, schema_of, stand_in
from weir.store.schema import PAGE_BYTES, SEQ_MASK, STREAM_SHIFT, column
from weir.store.seals import SEALED
from weir.store.witness import Told

CHUNK = 'chunk.id, n, file, "offset", at, crc, ends, extents, body'
QUARANTINE = "id, record, stream, at, reason, detail, topic, file, file_name, place, size, digest, crc, body"
STREAMS = 1 << 20  # no id of a stream is larger
_FILE = 2  # the place of the file in a row of a chunk
_GONE_SINCE = 9  # the place of this column in a row of a file

Row = tuple[Any, ...]


def salvage(path: Path, target: sqlite3.Connection, told: Told | None) -> int:
    """Carry over what can be read of the database at `path`; say how many records that were."""
    if not path.exists() or not path.stat().st_size:
        return 0
    schema = schema_of(target)
    for graft in ({}, grafts(schema, path.stat().st_size // PAGE_BYTES)):
        with contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(looking(path, partial(stand_in, graft=graft)))
                whole = roots_of(source) == schema.roots
            except ERRORS as error:
                if not is_damage(error):
                    raise
                continue
            if whole or graft:
                return _Salvage(Wreck(source), target, told).run()
    return 0


class Wreck:
    """A damaged database: whatever cannot be read of it is passed over."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Take a connection that changes nothing."""
        self._database = database

    def walk(self, table: str, columns: str, low: int, high: int) -> Iterator[Row]:
        """Give the rows with low < id < high that can be read, not in order."""
        select = f"SELECT {columns} FROM {table} WHERE id > ? AND id < ? ORDER BY id"
        while True:
            try:
                row = self._first(select, low, high)
            except ERRORS:
                row = self._beyond(select, low, high)
                if row is not None:
                    yield from self._back(f"{select} DESC", low, row[0])
            if row is None:
                return
            yield row
            low = row[0]

    def _first(self, select: str, low: int, high: int) -> Row | None:
        row: Row | None = self._database.execute(f"{select} LIMIT 1", (low, high)).fetchone()
        if row is not None and not (isinstance(row[0], int) and low < row[0] < high):
            raise sqlite3.DatabaseError("the tree is out of order")  # it could go round in circles
        return row

    def _beyond(self, select: str, low: int, high: int) -> Row | None:
        """Find a row beyond what cannot be read, trying ever farther away."""
        step = 1
        while low + step < high:
            try:
                return self._first(select, low + step, high)
            except ERRORS:
                step *= 2
        return None

    def _back(self, select: str, low: int, high: int) -> Iterator[Row]:
        """Go back from a row that was found too far away."""
        while True:
            try:
                row = self._first(select, low, high)
            except ERRORS:
                return
            if row is None:
                return
            yield row
            high = row[0]

    def sealed(self, table: str, low: int = 0, high: int = 1 << 62) -> Iterator[Row]:
        """Give the rows that are what was written."""
        for row in self.walk(table, f"{SEALED[table]}, crc", low, high):
            try:
                yield tuple(seals.unsealed(table, row))
            except StoreDamaged:
                continue

    def spans(self, stream: int) -> Iterator[tuple[Row, Span, Row | None]]:
        """Give the chunks of a stream that are what was written: row, span, and the row of what is gone of it."""
        first = stream << STREAM_SHIFT
        for row in self.walk("chunk", CHUNK, first - 1, first + SEQ_MASK + 1):
            cut = next(self.sealed("cut", row[0] - 1, row[0] + 1), None)
            gone = (None, 0) if cut is None else cut[2:4]
            count = len(row[6]) // 4 if isinstance(row[6], bytes) else 0  # by what is under the checksum
            span = rows.span_of((row[0], count, *row[2:], *gone), lambda _: None)
            if span is not None and span.left:
                yield row, span, cut


class _Stream(NamedTuple):
    """A stream as it was: its row, if that is what was written, by column."""

    number: int
    name: str
    row: dict[str, Any]


class _Salvage:
    def __init__(self, wreck: Wreck, target: sqlite3.Connection, told: Told | None) -> None:
        self._wreck = wreck
        self._target = target
        self._told = told

    def run(self) -> int:
        self._target.execute("BEGIN")
        self._store()
        records = sum(self._stream(stream) for stream in self._streams())
        for table in ("store", "stream"):
            seals.seal(self._target, table)
        self._target.execute("COMMIT")
        return records

    def _store(self) -> None:
        names = SEALED["store"].split(", ")
        for row in self._wreck.sealed("store"):
            known = dict(zip(names, row, strict=True))
            self._target.execute(
                "UPDATE store SET state_lost = max(state_lost, 1 + ?), thing = ?, duplicate_bound = ?, clean = ?,"
                " unanswered = ?, boot = ?",
                [known[n] for n in ("state_lost", "thing", "duplicate_bound", "clean", "unanswered", "boot")],
            )

    def _streams(self) -> list[_Stream]:
        names = SEALED["stream"].split(", ")
        found = {row[0]: dict(zip(names, row, strict=True)) for row in self._wreck.sealed("stream", 0, STREAMS)}
        told = self._told.streams if self._told is not None else {}
        known = {**told, **{number: row["name"] for number, row in found.items()}}
        return [_Stream(number, name, found.get(number, {})) for number, name in sorted(known.items())]

    def _stream(self, stream: _Stream) -> int:
        left = sum(span.left for _, span, _ in self._wreck.spans(stream.number))
        complete = stream.row.get("pending") == left
        files = {row[0]: row for row in self._wreck.sealed("file") if row[1] == stream.number}
        kept = {number for number, row in files.items() if complete or row[_GONE_SINCE] is not None}
        self._carry_files(files[number] for number in kept)
        again: set[int] = set() if complete else files.keys() - kept  # what is read again from the start
        counted = Counter[str]()
        sequence = self._carry_backlog(stream, kept, again, counted)
        self._carry_set_aside(stream, again, counted)
        counts = {column(name): number for name, number in counted.items()}
        self._insert(
            "stream",
            id=stream.number,
            name=stream.name,
            mode=stream.row.get("mode"),
            sequence=max(sequence, stream.row.get("sequence", 0)),
            positions=stream.row["positions"] if complete else "[]",
            **counts,
        )
        return counted["pending"]

    def _carry_files(self, found: Iterable[Row]) -> None:
        names = SEALED["file"].split(", ")
        for row in found:
            self._insert("file", **dict(zip(names, row, strict=True)), crc=seals.checksum(*row))

    def _carry_backlog(self, stream: _Stream, kept: set[int], again: set[int], counted: Counter[str]) -> int:
        """Carry over chunks; give the next sequence number of a pipe."""
        sequence = 0
        for row, span, cut in self._wreck.spans(stream.number):
            file = row[_FILE]
            if file in again:
                continue
            if file not in kept and (file or span.offset < 0):  # nobody knows its place, or it is a replay: so is this
                counted["replayed"] += len(span)
                span.offset, span.extents = -counted["replayed"], None
            elif not file:
                sequence = max(sequence, span.offset + len(span))
            values = list(rows.chunk_row(stream.number, span))
            values[_FILE] = file if file in kept else 0
            self._target.execute("INSERT INTO chunk VALUES (?,?,?,?,?,?,?,?,?)", values)
            if cut is not None:
                self._target.execute("INSERT INTO cut VALUES (?,?,?,?,?,?)", (*cut, seals.checksum(*cut)))
            for name in ("read", "pending"):
                counted[name] += span.left
            counted["backlog_bytes"] += span.left_bytes()
        return sequence

    def _carry_set_aside(self, stream: _Stream, again: set[int], counted: Counter[str]) -> None:
        names = QUARANTINE.split(", ")
        for row in self._wreck.walk("quarantine", QUARANTINE, 0, 1 << 62):
            entry = dict(zip(names, row, strict=True))
            if entry["stream"] != stream.number or entry["file"] in again or not _is_whole(entry):
                continue
            self._insert("quarantine", **entry)
            counted["read"] += 1
            counted[QUARANTINED[entry["reason"]]] += 1

    def _insert(self, table: str, **values: Any) -> None:  # noqa: ANN401 - what SQLite takes
        names, marks = ", ".join(values), ",".join("?" * len(values))
        self._target.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def _is_whole(entry: dict[str, Any]) -> bool:
    """Tell whether an entry of the quarantine is what was written, as far as it has a checksum."""
    if entry["reason"] not in QUARANTINED or not isinstance(entry["body"], bytes):
        return False
    return entry["reason"] == "corrupt" or bool(zlib.crc32(entry["body"]) == entry["crc"])

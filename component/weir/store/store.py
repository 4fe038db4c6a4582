"""The durable state of one forwarder: one connection, one transaction a commit.

Owns the database once it is open: reading the backlog from it, writing a commit into it. Knows nothing of queues,
sources or brokers. After any failure the outcome of a commit is unknown (an fsync that failed once may succeed the
next time without having written): the store must be closed and opened again, and everything reloaded from it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weir.core.changes import Change, StoreState, StreamState
from weir.core.errors import StoreDamaged, StoreFailed
from weir.core.line import Gap, Loaded
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.store import rows, seals
from weir.store.connection import decoded, or_closed, translated
from weir.store.directory import StateDirectory, boot_id
from weir.store.files import FileTable, KnownFiles
from weir.store.log import Log
from weir.store.opening import Clock, open_database
from weir.store.quarantine import Quarantine
from weir.store.schema import COLUMNS, LAW, NUMBER, SEQ_MASK, STREAM_SHIFT

CUT = ", ".join(f"cut.{name}" for name in seals.SEALED["cut"].split(", "))


class Store:
    """The state of one forwarder. Every method may raise `StoreFailed`."""

    def __init__(
        self,
        directory: StateDirectory,
        clock: Clock,
        *,
        quarantine_max_bytes: int = 0,
        mend: bool = True,
        doubted: bool = False,
    ) -> None:
        """Open the database in a directory that this process owns; a damaged one is moved aside for a new one.

        `recovery` says why and where to. Without `mend` a damaged one is left alone. Where `doubted`, everything in it
        is checked. Raises `StoreUnusable` for a database of a newer version, or a damaged one that is left alone.
        """
        self.directory = directory
        self._clock = clock
        self._boot_noted = False
        self._bytes_written = 0
        self._written_since = 0  # and not committed yet
        self._database, self._witness, self.recovery = open_database(directory, clock, mend=mend, doubted=doubted)
        self._log = Log(directory.database)
        self._streams: dict[int, str] = {}
        self._files = FileTable(self._database)
        directory.keep_reserve()
        with or_closed(self._database), translated():
            self.quarantine = Quarantine(self._database, quarantine_max_bytes)
            self._bytes_written = self._one("SELECT bytes_written FROM store")
            self._streams.update(self._database.execute("SELECT id, name FROM stream"))

    def state(self) -> StoreState:
        """Say what is true of the store as a whole."""
        with translated():
            row = self._database.execute(
                "SELECT epoch, epoch_since, clean, boot, thing, possible_twins, state_lost, duplicate_bound, unanswered"
                " FROM store"
            ).fetchone()
        with decoded("store"):
            epoch, since, clean, boot, thing, twins, lost, bound, unanswered = row
        return StoreState(
            epoch=epoch,
            epoch_since=since,
            clean=bool(clean),
            same_boot=boot == boot_id(),
            thing=thing,
            possible_twins=twins,
            state_lost=lost,
            duplicate_bound=bound,
            unanswered=unanswered if clean else bound,
            bytes_written=self._bytes_written,
        )

    def begin_run(self, thing: str, modes: Mapping[str, str], duplicate_bound: int) -> None:
        """Write down that a run begins, with the streams it has and their modes.

        Until a commit ends the run every stop is an unclean one. After an unclean stop, as many records may arrive
        twice as the settings of that run allowed.
        """
        with self._room_to_count(), self._transaction():
            self._note(
                "possible_twins = possible_twins + CASE clean WHEN 0 THEN duplicate_bound ELSE 0 END,"
                " clean = 0, thing = ?, duplicate_bound = ?",
                thing,
                duplicate_bound,
            )
            self._note_modes(modes)

    def note_settings(self, modes: Mapping[str, str], duplicate_bound: int) -> None:
        """Write down the modes of the streams and the duplicate bound where they change in the middle of a run.

        The larger bound of the two counts for this run, since records of before the change may still be unanswered.
        """
        with self._room_to_count(), self._transaction():
            self._note("duplicate_bound = max(duplicate_bound, ?)", duplicate_bound)
            self._note_modes(modes)

    def _note_modes(self, modes: Mapping[str, str]) -> None:
        self._database.execute("UPDATE stream SET mode = NULL")
        self._database.executemany(
            "INSERT INTO stream (name, mode) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET mode = excluded.mode",
            modes.items(),
        )
        seals.seal(self._database, "stream")
        self._streams.update(self._database.execute("SELECT id, name FROM stream"))

    def _note(self, assignments: str, *values: object) -> None:
        """Change the row of the store as a whole."""
        self._database.execute(f"UPDATE store SET {assignments}, writes = writes + 1", values)
        seals.seal(self._database, "store")

    def streams(self) -> list[StreamState]:
        """List every stream that ever had a place here, with what is known of it."""
        with translated():
            found = self._database.execute(f"SELECT {seals.SEALED['stream']}, crc FROM stream ORDER BY id").fetchall()
            states = [self._stream(seals.unsealed("stream", row)) for row in found]
        if len({state.name for state in states}) < len(states):
            raise StoreDamaged("two rows of the table stream have one name")
        return states

    def _stream(self, row: rows.Row) -> StreamState:
        stream, name, mode, commits, _, sequence, backlog_bytes = row[:7]
        with decoded("stream"):
            self._files.load(stream, json.loads(row[-1]))
        first, last = stream << STREAM_SHIFT, (stream << STREAM_SHIFT) + SEQ_MASK
        newest = self._one("SELECT max(id) FROM chunk WHERE id BETWEEN ? AND ?", first, last)
        oldest = self._one("SELECT min(id) FROM chunk WHERE id BETWEEN ? AND ?", first, last)
        next_seq = (newest & SEQ_MASK) + 1 if newest is not None else 1
        return StreamState(
            stream=stream,
            name=name,
            commit=commits,
            mode=mode,
            counts=rows.counts_of(row[7:-1]),
            backlog_bytes=backlog_bytes,
            sequence=sequence,
            next_seq=next_seq,
            gap=Gap((oldest & SEQ_MASK) - 1 if oldest is not None else 0, next_seq),
            files=KnownFiles(self._database, stream),
        )

    # -- the backlog --------------------------------------------------------------------------------------------------

    def load(self, stream: int, gap: Gap, limit: int, *, newest: bool) -> Loaded:
        """Load at most `limit` spans from one end of a gap."""
        order = "DESC" if newest else "ASC"
        with translated():
            found = self._database.execute(
                'SELECT chunk.id, n, file, "offset", at, chunk.crc, ends, extents, body, settled, attempts,'
                f" cut.id IS NULL OR cut.crc IS checksum({CUT}) FROM chunk LEFT JOIN cut ON cut.id = chunk.id"
                f" WHERE chunk.id > ? AND chunk.id < ? ORDER BY chunk.id {order} LIMIT ?",
                (rows.chunk_id(stream, gap.after), rows.chunk_id(stream, gap.before), limit),
            ).fetchall()
        spans: list[Span] = []
        damaged: list[tuple[int, int]] = []
        for *row, cut_is_whole in reversed(found) if newest else found:
            if not cut_is_whole:
                raise StoreDamaged("a row of the table cut is not what was written")
            span = rows.span_of(row, self._files.find)
            if span is None:
                damaged.append(self._damaged(row))
            else:
                spans.append(span)
        if damaged and self.law():
            raise StoreDamaged("nobody knows how many records a row of the table chunk had")
        edge = found[-1][0] & SEQ_MASK if found else (gap.before if newest else gap.after)
        return Loaded(spans, damaged, edge, len(found) < limit)

    def _damaged(self, row: rows.Row) -> tuple[int, int]:
        """Say which chunk is not what was written, and how many records were left of it."""
        with translated(), decoded("chunk"):
            removed = self._one("SELECT max(removed) FROM cut WHERE id = ?", row[0])
            return row[0] & SEQ_MASK, row[1] - (removed or 0)

    def holds(self, file: FilePosition) -> bool:
        """Tell whether a record of this file is still in the backlog."""
        with translated():  # the index leaves out pipes, and is used only where the statement does
            return self._one("SELECT 1 FROM chunk WHERE file > 0 AND file = ? LIMIT 1", file.number) is not None

    # -- the commit ---------------------------------------------------------------------------------------------------

    def commit(
        self, changes: Sequence[Change], generation: int = 0, *, end_of_run: bool = False, unanswered: int = 0
    ) -> None:
        """Write everything in one transaction. Raises `StoreFailed`: then nothing is known but by opening it anew."""
        with self._transaction():
            for change in changes:
                self._write(change, generation)
            if changes and not self._boot_noted:
                # Not sooner: until then the positions say where files stood in the boot before, and a power cut in the
                # first second of this one must not make them look like this one's.
                self._note("boot = ?", boot_id())
                self._boot_noted = True
            if end_of_run:  # with how many records the broker may have though they are pending
                self._note("clean = 1, unanswered = ?", unanswered)
        self._checkpoint(always=end_of_run)

    def _write(self, change: Change, generation: int) -> None:
        self._files.write(change)
        stream = change.stream
        _all_there(len(change.replayed), self.quarantine.remove(change.replayed), "entries of the quarantine")
        many = self._database.executemany
        many("INSERT INTO chunk VALUES (?,?,?,?,?,?,?,?,?)", (rows.chunk_row(stream, span) for span in change.inserts))
        cuts = (rows.cut_row(stream, span, generation) for span in change.cuts)
        many("INSERT OR REPLACE INTO cut VALUES (?1,?2,?3,?4,?5, checksum(?1,?2,?3,?4,?5))", cuts)
        gone = [(rows.chunk_id(stream, span.seq),) for span in change.removals]
        removed = many("DELETE FROM chunk WHERE id = ?", gone).rowcount if gone else 0
        _all_there(len(gone), removed, "rows of the backlog")
        many("DELETE FROM cut WHERE id = ?", gone)
        for seq, left in change.damaged:
            self.quarantine.take(stream, rows.chunk_id(stream, seq), left, self._clock())
        self._write_losses(change)
        self.quarantine.keep(stream, change.set_aside)
        self._write_stream(change)

    def _write_stream(self, change: Change) -> None:
        names = ("updated", "commits", "sequence", "backlog_bytes", "positions", *COLUMNS)
        self._database.execute(
            f"UPDATE stream SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
            (
                self._clock(),
                change.commit,
                change.sequence,
                change.backlog_bytes,
                json.dumps(self._files.hot(change.stream), separators=(",", ":")),
                *change.counts.values(),
                change.stream,
            ),
        )
        seals.seal(self._database, "stream", "id = ?", (change.stream,))

    def _write_losses(self, change: Change) -> None:
        self._database.executemany(
            f"INSERT INTO loss ({seals.SEALED['loss']}) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
            " last = excluded.last, records = records + excluded.records, bytes = bytes + excluded.bytes",
            ((change.stream, x.topic, x.reason, x.first, x.last, x.records, x.bytes) for x in change.losses),
        )
        for loss in change.losses:
            where = "stream = ? AND topic = ? AND reason = ?"
            seals.seal(self._database, "loss", where, (change.stream, loss.topic, loss.reason))

    def purge(self, numbers: Sequence[int], *, not_kept: bool) -> int:
        """Remove entries of the quarantine for good, and with `not_kept` the count of those that it had no room for.

        Say how many were removed.
        """
        with self._transaction():
            removed = self.quarantine.remove(numbers)
            if not_kept:
                self._note("not_kept = 0")
        self._checkpoint()
        return removed

    # -- keeping house ------------------------------------------------------------------------------------------------

    def law(self) -> list[tuple[str, int, int]]:
        """Check the law in full, against the rows: (stream, unaccounted, miscounted) of each stream where it fails."""
        with translated():
            return [row for row in self._database.execute(LAW).fetchall() if row[1] or row[2]]

    def losses(self) -> list[tuple[str, str, str, float, float, int, int]]:
        """List what was dropped: stream, topic, reason, first and last time, records, bytes."""
        with translated():
            seals.check(self._database, ["loss"])
            return self._database.execute(
                "SELECT name, topic, reason, first, last, records, loss.bytes FROM loss JOIN stream ON id = stream"
                " ORDER BY name, last DESC"
            ).fetchall()

    def oldest_at(self) -> float | None:
        """Say when the oldest record in the backlog was read, in wall time; None if there is none."""
        with translated():
            streams = self._database.execute("SELECT id FROM stream").fetchall()
            ats = [
                self._one("SELECT at FROM chunk WHERE id > ? ORDER BY id LIMIT 1", rows.chunk_id(stream, 0))
                for (stream,) in streams
                if self._one("SELECT pending FROM stream WHERE id = ?", stream)
            ]
        with decoded("chunk"):
            return min((float(at) for at in ats if at is not None), default=None)

    def updated(self) -> float | None:
        """Say when the last commit that changed a stream was made, in wall time."""
        with translated():
            at: float | None = self._one("SELECT max(updated) FROM stream")
        return at or None

    @property
    def bytes_written(self) -> int:
        """Count the bytes written to the log and the database, in whole blocks, as far as committed."""
        return self._bytes_written

    def _checkpoint(self, *, always: bool = False) -> None:
        """Fold the write-ahead log into the database when it is time to, and count what both wrote.

        Where the disk is nearly full, that is before it would soon not fit: so a full disk can be counted on for good.
        """
        with self._room_to_count(), translated():
            self._written_since += self._log.note()
            room = self._log.size < self.directory.free_bytes() // 2
            if not (always or self._log.is_due or not room):
                return
            self._written_since += self._log.cost
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if always or not room:
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with self._transaction():
            self._note("bytes_written = bytes_written + ?", self._written_since)
        self._bytes_written += self._written_since
        self._written_since = self._log.note()
        self.directory.keep_reserve()  # it may have been given up, and there is room again

    @contextlib.contextmanager
    def _room_to_count(self) -> Iterator[None]:
        """Give up the reserve when the disk is full, so that the next attempt can count, and make room."""
        try:
            yield
        except StoreFailed as failure:
            if "full" in str(failure):
                self.directory.spend_reserve()
            raise

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._room_to_count(), translated():
            self._database.execute("BEGIN IMMEDIATE")
            yield
            number = self._one(NUMBER)
            self._database.execute("COMMIT")
        self._witness.tell(number, self._streams)

    def _one(self, statement: str, *values: int) -> Any:  # noqa: ANN401 - SQLite's own types
        row = self._database.execute(statement, values).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back. The directory stays owned."""
        self._log.close()
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._witness.close()


def _all_there(wanted: int, removed: int, what: str) -> None:
    """Count by what the store really changed. Raises `StoreDamaged` where it did not remove all that it was to."""
    if removed != wanted:
        message = f"{wanted - removed} {what} are not there"
        raise StoreDamaged(message)

"""Small wrong versions of the product, each of a kind that has been made before; the checker must catch every one.

Owns what is changed in the running code. A bug here must stay a bug when the product changes: `planted` fails where the
name it changes is gone, so that none of them turns harmless unseen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from weir.core import accounting
from weir.forwarder import books, stream, window
from weir.store import opening, rows, store
from weir.transports import mqtt311

Bug = Callable[[], None]
Call = Callable[..., Any]


def planted(owner: Any, name: str, make: Callable[[Call], Call]) -> None:
    """Put something wrong in the place of a function."""
    setattr(owner, name, make(getattr(owner, name)))


def drop_counted_outside_its_transaction() -> None:
    """The rows go in one transaction, the counters in the next: a kill between them loses count."""

    def make(real: Call) -> Call:
        def write(self: Any, change: Any) -> None:
            if any(name.startswith("dropped") and value for name, value in change.counts.items()):
                self._database.execute("COMMIT")
                _die()
                self._database.execute("BEGIN IMMEDIATE")
            real(self, change)

        return write

    planted(store.Store, "_write_stream", make)


def position_moved_before_its_rows() -> None:
    """Positions are committed first and rows afterwards: a kill between them loses records."""

    def make(real: Call) -> Call:
        def write(self: Any, change: Any, generation: int) -> None:
            rows_first, change.inserts = change.inserts, []
            real(self, change, generation)
            if rows_first:
                self._database.execute("COMMIT")
                _die()
                self._database.execute("BEGIN IMMEDIATE")
                values = (rows.chunk_row(change.stream, span) for span in rows_first)
                self._database.executemany("INSERT INTO chunk VALUES (?,?,?,?,?,?,?,?,?)", values)
            change.inserts = rows_first

        return write

    planted(store.Store, "_write", make)


def late_ack_counted_twice() -> None:
    """An acknowledgement counts once more when its record is settled already."""

    def make(real: Call) -> Call:
        def sent(self: Any, span: Any, low: int, high: int, *more: Any) -> None:
            outcome, _messages = more
            real(self, span, low, high, *more)
            if low % 7 == 3:
                self.since[outcome] += 1

        return sent

    planted(books.Books, "sent", make)


def drop_not_counted() -> None:
    """What is cut out of a full queue is counted as read, and in no reason."""

    def make(real: Call) -> Call:
        def dropped(self: Any, cuts: Any, reason: str, at: float) -> int:
            before = dict(self.since)
            records: int = real(self, cuts, reason, at)
            self.since[accounting.DROPPED[reason]] = before[accounting.DROPPED[reason]]
            return records

        return dropped

    planted(books.Books, "dropped", make)


def malformed_skipped() -> None:
    """A bad line is passed over without a word."""
    planted(
        books.Books,
        "quarantined",
        lambda _real: lambda _self, reject, _at: reject.file.account(reject.begin, reject.end),
    )


def payload_trimmed() -> None:
    """A record loses its last byte on the way out."""

    def make(real: Call) -> Call:
        def publish(self: Any, topic: str, payload: bytes, *more: Any) -> Any:
            return real(self, topic, payload[:-1], *more)

        return publish

    planted(mqtt311.Mqtt311Transport, "publish", make)


def sent_counted_as_delivered() -> None:
    """A record is settled when it is handed to the client: what is in flight at a kill is lost."""

    def make(real: Call) -> Call:
        def add(self: Any, operation: Any, sent: Any) -> None:
            real(self, operation, sent)
            self.remove(operation)
            for run, low, high in window.parts(sent):
                run.stream.books.sent(run.span, low, high, run.outcome, 1)

        return add

    planted(window.Window, "add", make)


def evicts_what_is_in_flight() -> None:
    """What is at the client is cut as well when there is no room: it arrives, and is said to be dropped."""

    def make(real: Call) -> Call:
        def add(self: Any, operation: Any, sent: Any) -> None:
            real(self, operation, sent)
            if window.parts(sent)[0][1] % 5 == 2:
                self.remove(operation)
                for run, low, high in window.parts(sent):
                    run.span.settle_out(low, high)
                    run.stream.books.since["dropped.queueFullFront"] += high - low
                    run.stream.books.touch(run.span)

        return add

    planted(window.Window, "add", make)


def requeued_while_the_client_still_has_it() -> None:
    """A record waits again though the client will send it: it arrives twice, and nobody said that it may."""

    def make(real: Call) -> Call:
        def publish(self: Any, topic: str, payload: bytes, *more: Any) -> Any:
            if sum(payload) % 3 == 0:
                real(self, topic, payload, *more)
            return real(self, topic, payload, *more)

        return publish

    planted(mqtt311.Mqtt311Transport, "publish", make)


def not_synced() -> None:
    """The log is not synced at a commit: a power cut takes back what was shown."""

    def make(real: Call) -> Call:
        def configure(database: Any) -> None:
            real(database)
            database.execute("PRAGMA synchronous=NORMAL")

        return configure

    planted(opening, "configure", make)


def counters_in_memory() -> None:
    """What is shown is what happened, not what is committed: it falls at a kill."""

    def make(real: Call) -> Call:
        def view(self: Any, in_flight: int) -> Any:
            shown = real(self, in_flight)
            counts = {name: value + self.books.since[name] for name, value in shown.counts.items()}
            return (
                shown._replace(counts=counts)
                if hasattr(shown, "_replace")
                else type(shown)(**{**{f: getattr(shown, f) for f in shown.__struct_fields__}, "counts": counts})
            )

        return view

    planted(stream.Stream, "view", make)


def new_epoch_at_every_start() -> None:
    """A state that was not left in order is thrown away, and counting starts at zero."""

    def make(real: Call) -> Call:
        def opened(directory: Any, *more: Any, **named: Any) -> Any:
            if os.environ.get("FAULT_AGAIN"):
                for path in directory.path.glob("weir.*"):
                    path.unlink()
            return real(directory, *more, **named)

        return opened

    planted(store, "open_database", make)


def _die() -> None:
    """Die here, as a kill would hit it in the end; the process that comes after lives."""
    if not os.environ.get("FAULT_AGAIN"):
        os.kill(os.getpid(), 9)


BUGS: dict[str, Bug] = {
    bug.__name__: bug
    for bug in (
        drop_counted_outside_its_transaction,
        position_moved_before_its_rows,
        late_ack_counted_twice,
        drop_not_counted,
        malformed_skipped,
        payload_trimmed,
        sent_counted_as_delivered,
        evicts_what_is_in_flight,
        requeued_while_the_client_still_has_it,
        not_synced,
        counters_in_memory,
        new_epoch_at_every_start,
    )
}

# What the checker must say of each, one of them at least. Where rows and counters of a store disagree the forwarder may
# notice at its start, and begin a new epoch.
SHOWN_BY: dict[str, set[str]] = {
    "drop_counted_outside_its_transaction": {"law broken", "rows and counters disagree", "epoch changed"},
    "position_moved_before_its_rows": {"record missing", "rows and counters disagree", "epoch changed"},
    "late_ack_counted_twice": {"law broken"},
    "drop_not_counted": {"law broken"},
    "malformed_skipped": {"record missing"},
    "payload_trimmed": {"payload changed"},
    "sent_counted_as_delivered": {"record missing", "delivered but missing"},
    "evicts_what_is_in_flight": {"arrived but dropped"},
    "requeued_while_the_client_still_has_it": {"twins beyond possibleTwins"},
    "not_synced": {"counter fell"},
    "counters_in_memory": {"counter fell", "law broken"},
    "new_epoch_at_every_start": {"epoch changed"},
}

"""A real store in a directory of its own, and the few steps that its tests are made of.

What the loop keeps in its books is kept here by hand: which spans have a row, what of them is gone, and the counters.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.spans import make_span
from weir.core import accounting
from weir.core.accounting import Counts
from weir.core.changes import Change, Loss, SetAside, StreamState
from weir.core.errors import WeirError
from weir.core.line import Gap, Loaded
from weir.core.ports import Reject
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.store.directory import StateDirectory, own
from weir.store.seals import teach
from weir.store.store import Store

if TYPE_CHECKING:
    from typing_extensions import Self

STREAM = "telemetry"
BOUND = 60
RECORD_COST = 64  # what a queued record counts beyond its bytes


class Shelf:
    """A store with one stream, and what is known of it besides."""

    def __init__(self, path: Path, *, quarantine_max_bytes: int = 1 << 20) -> None:
        self.path = path
        self._budget = quarantine_max_bytes
        self.directory: StateDirectory = own(path, wait_seconds=0)
        self.counts: Counts = accounting.zero()
        try:
            self.open()
        except WeirError:
            self.directory.close()
            raise
        try:
            self.begin()
        except WeirError:
            self.close()
            raise

    def open(self) -> None:
        self.store = Store(self.directory, time.time, quarantine_max_bytes=self._budget)

    def begin(self) -> None:
        self.store.begin_run("gateway", {STREAM: "back/drop-front"}, BOUND)
        self.state = self.stream()
        self.counts = dict(self.state.counts)

    def stream(self) -> StreamState:
        [state] = self.store.streams()
        return state

    def reopen(self) -> StreamState:
        """Close the database and open it again: what is known now is what was committed."""
        self.store.close()
        self.open()
        self.state = self.stream()
        self.counts = dict(self.state.counts)
        return self.state

    def close(self) -> None:
        self.store.close()
        self.directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def change(self, **what: object) -> Change:
        values: dict[str, Any] = {
            "commit": 1,
            "backlog_bytes": 0,
            "sequence": 0,
            "inserts": [],
            "removals": [],
            "cuts": [],
            "damaged": [],
            "files": [],
            "forgotten": [],
            "set_aside": [],
            "losses": [],
        }
        return Change(stream=self.state.stream, counts=dict(self.counts), **(values | what))

    def commit(self, **what: object) -> None:
        self.store.commit([self.change(**what)], generation=1)

    def insert(self, *spans: Span, **what: object) -> None:
        """Store spans that nothing has happened to yet."""
        count = sum(len(span) for span in spans)
        self.count(read=count, pending=count)
        self.commit(inserts=list(spans), **what)
        for span in spans:
            span.stored = True

    def deliver(self, span: Span, *indexes: int) -> None:
        """Settle records of a stored span."""
        for index in indexes:
            span.settle(index)
        self.count(delivered=len(indexes), pending=-len(indexes))
        if span.left:
            self.commit(cuts=[span])
        else:
            self.commit(removals=[span])

    def count(self, **by: int) -> None:
        for name, number in by.items():
            self.counts[name] += number

    # Reading

    def everything(self, limit: int = 3, *, newest: bool = False) -> list[Span]:
        """Load the whole backlog from one end, a few spans at a time."""
        spans: list[Span] = []
        for loaded in self.loads(limit, lambda: newest):
            spans = [*loaded.spans, *spans] if newest else [*spans, *loaded.spans]
            assert not loaded.damaged
        return spans

    def loads(self, limit: int, newest: Callable[[], bool]) -> Iterator[Loaded]:
        """Load from whichever end is wanted, until nothing is left between the two."""
        gap = self.stream().gap
        while True:
            at_new_end = newest()
            loaded = self.store.load(self.state.stream, gap, limit, newest=at_new_end)
            yield loaded
            if loaded.last:
                return
            gap = Gap(gap.after, loaded.edge) if at_new_end else Gap(loaded.edge, gap.before)


def span(seq: int, records: Sequence[bytes], *, offset: int = 0, file: FilePosition | None = None) -> Span:
    made = make_span(list(records), offset=offset, at=1_700_000_000.25 + seq, file=file)
    made.seq = seq
    return made


def waiting(spans: Sequence[Span]) -> list[bytes]:
    """Give the records that wait, in order."""
    return [one.payload(index) for one in spans for index, state in enumerate(one.state) if state == 0]


def cost(spans: Sequence[Span]) -> int:
    """Count what waits as a queue limit would."""
    return sum(len(record) + RECORD_COST for record in waiting(spans))


def position(stream: int, name: bytes, inode: int) -> FilePosition:
    return FilePosition(
        stream=stream,
        name=name,
        inode=inode,
        birth=1_700_000_000_000_000_000 + inode,
        head=bytes([inode % 256]) * 16,
        head_length=10,
        fmt="jsonl",
    )


def describe(file: FilePosition) -> tuple[object, ...]:
    """Give all that a row says of a file."""
    who = (file.name, file.inode, file.birth, file.head, file.head_length, file.generation, file.format)
    return (*who, file.gone_since, file.position, file.tail, tuple(file.beyond), tuple(file.rungs))


def set_aside(kept: bytes, *, size: int | None = None, reason: str = "malformed") -> SetAside:
    total = len(kept) if size is None else size
    reject = Reject(reason, "of a test", None, 7, 7, total, kept, b"" if total == len(kept) else b"#" * 32)
    return SetAside(b"i" * 16, reject, "telemetry/gateway/telemetry", 1_700_000_000.5)


def loss(records: int, *, reason: str = "queueFullFront", at: float = 1_700_000_000.0) -> Loss:
    return Loss("telemetry/gateway/telemetry", reason, at, at, records, records * 10)


@contextmanager
def rows(path: Path) -> Iterator[sqlite3.Connection]:
    """Look into the database of a store that is closed, or change it behind its back."""
    database = sqlite3.connect(path / "weir.db", isolation_level=None)
    teach(database)
    try:
        yield database
    finally:
        database.close()

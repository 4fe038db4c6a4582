"""States as processes that were killed have left them, and what is known of each: for tests that damage copies of them.

A process that is killed leaves what it wrote and nothing more: so does a copy of its files while the store is open.
"""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.shelf import describe, loss, position, set_aside, span, waiting
from weir.core import accounting
from weir.core.accounting import Counts
from weir.core.changes import Change, StreamState
from weir.core.errors import StoreDamaged
from weir.core.line import Gap
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.store.directory import own
from weir.store.store import Store

PIPE, FOLDER = "pipe", "folder"
MODES = {PIPE: "back/drop-front", FOLDER: "back/drop-front"}
BOUND = 60


@dataclass
class Known:
    """What is true of one stream."""

    stream: int
    counts: Counts = field(default_factory=accounting.zero)
    spans: list[Span] = field(default_factory=list)  # of the backlog
    ever: list[bytes] = field(default_factory=list)  # every record that ever had a row
    files: dict[bytes, FilePosition] = field(default_factory=dict)
    commit: int = 0
    sequence: int = 0
    seq: int = 0


@dataclass
class Left:
    """A state as it was left: where it lies, and what was committed."""

    path: Path
    epoch: str
    counts: dict[str, Counts]
    waiting: dict[str, list[bytes]]
    ever: dict[str, list[bytes]]
    files: dict[str, dict[bytes, tuple[object, ...]]]
    places: dict[bytes, tuple[bytes, int]]  # of the records of the backlog that a file has: its name, and where


class Life:
    """A store with a pipe and a folder, and the steps of a life that uses every table."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.dice = random.Random(seed)
        self.directory = own(path, wait_seconds=0)
        self.store = Store(self.directory, time.time, quarantine_max_bytes=1 << 20)
        self.store.begin_run("gateway", MODES, BOUND)
        self.known = {state.name: Known(state.stream) for state in self.store.streams()}
        self.number = 0

    def commit(self) -> None:
        """Commit a step of both streams."""
        self.store.commit([self._step(name) for name in self.known], generation=1)
        for known in self.known.values():
            for one in known.spans:
                one.stored = True

    def _step(self, name: str) -> Change:
        known = self.known[name]
        known.commit += 1
        removals, cuts, delivered = self._deliver(known)
        inserts = [self._span(known, name) for _ in range(self.dice.randint(1, 3))]
        known.spans += inserts
        known.ever += waiting(inserts)
        arrived = sum(map(len, inserts))
        dropped = self.dice.random() < 0.3
        bad = self.dice.random() < 0.3
        more = {"read": arrived + bad, "pending": arrived - delivered, "quarantined.malformed": int(bad)}
        more["dropped.queueFullFront" if dropped else "delivered"] = delivered
        known.counts = accounting.add(known.counts, more)
        return Change(
            stream=known.stream,
            commit=known.commit,
            counts=dict(known.counts),
            backlog_bytes=sum(one.left_bytes() for one in known.spans),
            sequence=known.sequence,
            inserts=inserts,
            removals=removals,
            cuts=cuts,
            damaged=[],
            files=[one.file for one in inserts if one.file is not None],
            forgotten=[],
            set_aside=[set_aside(b"{bad %d" % self.number)] if bad else [],
            losses=[loss(delivered)] if dropped and delivered else [],
        )

    def _deliver(self, known: Known) -> tuple[list[Span], list[Span], int]:
        chosen = self.dice.sample(known.spans, min(len(known.spans), self.dice.randint(0, 2)))
        delivered = 0
        for one in chosen:
            for index in range(self.dice.randint(1, one.left)):
                one.settle(one.oldest())
                delivered += index >= 0
        known.spans = [one for one in known.spans if one.left]
        return [one for one in chosen if not one.left], [one for one in chosen if one.left], delivered

    def _span(self, known: Known, name: str) -> Span:
        records = []
        for _ in range(self.dice.randint(1, 8)):
            self.number += 1
            records.append(b"%s %d " % (name.encode(), self.number) + b"x" * self.dice.choice((0, 10, 200, 1_500)))
        known.seq += 1
        if name == PIPE:
            made = span(known.seq, records, offset=known.sequence)
            known.sequence += len(records)
            return made
        title = b"%d.log" % self.dice.randrange(25)
        file = known.files.setdefault(title, position(known.stream, title, 1 + len(known.files)))
        made = span(known.seq, records, offset=file.position, file=file)
        file.account(*made.extent(0, len(made)))
        return made

    def end_run(self) -> None:
        """Stop in order, which folds the log into the database, and begin again."""
        self.store.commit([], end_of_run=True)
        self.store.begin_run("gateway", MODES, BOUND)

    def leave(self, to: Path) -> Left:
        """Leave a copy of the files as they are."""
        shutil.copytree(self.path, to)
        known = self.known
        return Left(
            path=to,
            epoch=self.store.state().epoch,
            counts={name: dict(known[name].counts) for name in known},
            waiting={name: waiting(known[name].spans) for name in known},
            ever={name: list(known[name].ever) for name in known},
            files={name: {f.name: describe(f) for f in known[name].files.values()} for name in known},
            places={
                one.payload(index): (one.file.name, one.place(index))
                for one in known[FOLDER].spans
                for index in range(len(one))
                if one.file is not None and not one.state[index]
            },
        )

    def close(self) -> None:
        self.store.close()
        self.directory.close()


class Listed(list[FilePosition]):
    """Files that were read."""

    def take(self, identity: tuple[int, int | None, int]) -> FilePosition | None:
        raise NotImplementedError


@dataclass
class Found:
    """What a process finds that opens a state."""

    epoch: str
    lost: int
    states: dict[str, StreamState]
    waiting: dict[str, list[bytes]]
    damaged: dict[str, list[tuple[int, int]]]
    law: list[tuple[str, int, int]]
    reason: str | None


def find(path: Path) -> Found:
    """Open a state as a forwarder does: again, and with doubt, where it turns out to be damaged."""
    directory = own(path, wait_seconds=0)
    try:
        doubted = False
        for _ in range(3):
            try:
                return _find(Store(directory, time.time, quarantine_max_bytes=1 << 20, doubted=doubted))
            except StoreDamaged:
                doubted = True
        return _find(Store(directory, time.time, quarantine_max_bytes=1 << 20, doubted=doubted))
    finally:
        directory.close()


def _find(store: Store) -> Found:
    try:
        store.begin_run("gateway", MODES, BOUND)
        states = {state.name: state for state in store.streams()}
        for state in states.values():
            state.files = Listed(state.files)  # as a source does: it goes through them once, while the store is open
        loaded = {name: _load(store, state) for name, state in states.items()}
        about = store.state()
        store.losses()
        store.quarantine.page(0, 1 << 62, 1_000)
        store.oldest_at()
        return Found(
            epoch=about.epoch,
            lost=about.state_lost,
            states=states,
            waiting={name: waiting(spans) for name, (spans, _) in loaded.items()},
            damaged={name: damaged for name, (_, damaged) in loaded.items()},
            law=store.law(),
            reason=None if store.recovery is None else store.recovery.reason,
        )
    finally:
        store.close()


def _load(store: Store, state: StreamState) -> tuple[list[Span], list[tuple[int, int]]]:
    spans: list[Span] = []
    damaged: list[tuple[int, int]] = []
    gap = state.gap
    while True:
        loaded = store.load(state.stream, gap, 16, newest=False)
        spans += loaded.spans
        damaged += loaded.damaged
        if loaded.last:
            return spans, damaged
        gap = Gap(loaded.edge, gap.before)

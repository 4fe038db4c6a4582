"""What one commit writes, and what a store says when it is opened: plain values between the loop and the store.

Owns the shapes. Knows nothing of SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec

from weir.core.accounting import Counts
from weir.core.line import Gap
from weir.core.ports import Reject
from weir.core.positions import FilePosition
from weir.core.span import Span


class Loss(msgspec.Struct):
    """Records that were dropped for one reason on one topic: first and last time, how many, their bytes."""

    topic: str
    reason: str
    first: float
    last: float
    records: int
    bytes: int


class SetAside(NamedTuple):
    """A record for the quarantine, with its id, its topic and the wall time of it."""

    record: bytes
    reject: Reject
    topic: str
    at: float
    had_row: bool = False  # it was in the store, and is there again if the commit that sets it aside is not made


class Change(msgspec.Struct, kw_only=True):
    """All that one transaction writes for one stream. Counters and gauges are absolute."""

    stream: int
    commit: int  # the number of this commit of the stream: so a commit with an unknown outcome can be recognised
    counts: Counts
    backlog_bytes: int  # the queue's bytes of what its rows hold
    sequence: int  # the next sequence number of a pipe
    inserts: list[Span]  # spans that get a row
    removals: list[Span]  # stored spans of which nothing is left
    cuts: list[Span]  # stored spans of which a part is gone
    damaged: list[tuple[int, int]]  # rows that are not what was written: seq, and the records lost with it
    files: list[FilePosition]
    forgotten: list[FilePosition]
    set_aside: list[SetAside]
    losses: list[Loss]
    replayed: list[int] = []  # entries of the quarantine that leave it: their records are among the inserts


class Files(Protocol):
    """The files of a stream as a store knows them, in no order; they are read when somebody goes through them."""

    def __iter__(self) -> Iterator[FilePosition]:
        """Go through them. Raises `StoreFailed`."""

    def take(self, identity: tuple[int, int | None, int]) -> FilePosition | None:
        """Give the file of this identity, and leave it out from now on; None if it is not known."""


class StreamState(msgspec.Struct, kw_only=True):
    """What a store knows of one stream when it is opened."""

    stream: int
    name: str
    commit: int  # the number of the last commit that was made
    mode: str | None  # the name of its queue mode; None if the last run had no such stream
    counts: Counts
    backlog_bytes: int
    sequence: int
    next_seq: int
    gap: Gap
    files: Files


class StoreState(msgspec.Struct, kw_only=True):
    """What a store knows of itself when it is opened."""

    epoch: str
    epoch_since: float
    clean: bool  # the last owner stopped in order, or there was none
    thing: str  # the thing name of the last run
    same_boot: bool  # the machine has not been started anew since the last commit
    possible_twins: int  # those of unclean stops, which no stream can be blamed for
    state_lost: int
    duplicate_bound: int  # of the last owner's settings
    unanswered: int  # the most records that the broker may have though they are pending, as the last owner left
    bytes_written: int

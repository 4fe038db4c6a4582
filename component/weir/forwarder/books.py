"""The books of one stream: what happened since the last commit, and what the next one writes of it.

Owns the counters, committed and not, and turns spans in which something happened into rows and positions. Knows
nothing of why a record was delivered, dropped or set aside.

A record is counted as read when it is first accounted for: when its row is stored, or when it is settled without ever
having had one. So a commit writes the net difference only, and nothing that the source can give again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import TypeAlias

from weir.core import accounting
from weir.core.accounting import BESIDE, MESSAGES, Counts
from weir.core.changes import Change, Loss, SetAside, StreamState
from weir.core.line import Cut
from weir.core.ports import Reject
from weir.core.positions import FilePosition
from weir.core.record import file_record_id, pipe_record_id
from weir.core.span import RECORD_OVERHEAD, Span

# What is noted until the next commit, so that a flood of drops or bad lines does not grow in memory.
MOST_TOUCHED = 2_048
MOST_SET_ASIDE = 1_000
MOST_SET_ASIDE_BYTES = 1 << 20

# By what losses are summed until then: the reason, whether the records had rows, and where they had none their file.
LossKey: TypeAlias = "tuple[str, bool, FilePosition | None]"


class Books:
    """The accounts of one stream; `committed` is what the store says, and the only thing that may be shown."""

    def __init__(self, state: StreamState, topic: str, thing: str, epoch: str) -> None:
        """Open the books where the last commit left them."""
        self.stream = state.stream
        self._identity = (thing, state.name)
        self._epoch = epoch
        self.topic = topic
        self.committed = state.counts
        self.backlog_bytes = state.backlog_bytes
        self.sequence = state.sequence
        self.commit = state.commit
        self.since = accounting.zero()
        self.set_aside: list[SetAside] = []
        self.set_aside_bytes = 0
        self.sent_and_settled = 0  # records that would arrive again if the next commit did not happen
        self.suspects = 0  # records that an earlier process may have sent without knowing the outcome
        self._losses: dict[LossKey, Loss] = {}
        self._touched: list[Span] = []
        self._damaged: list[tuple[int, int]] = []

    # -- what happens to records --------------------------------------------------------------------------------------

    def count(self, name: str, number: int = 1) -> None:
        """Count something beside the law, or a message."""
        self.since[name] += number

    def touch(self, span: Span) -> None:
        """Note that something happened to a span."""
        if not span.dirty:
            span.dirty = True
            self._touched.append(span)

    def published(self, records: int, size: int) -> None:
        """Count messages that were handed to the client, and their bytes of topic and payload."""
        self.since["published"] += records
        self.since["bytes"] += size

    def sent(self, span: Span, low: int, high: int, outcome: str, messages: int) -> None:
        """Settle records that were out and went, in so many messages of their own.

        `outcome` is what of them is known, in the words of the law.
        """
        span.settle_out(low, high)
        count = high - low
        self.since[outcome] += count
        self.since["acknowledged"] += messages if outcome == "delivered" else 0
        self.sent_and_settled += count
        self.touch(span)
        if not span.left:
            span.body = b""  # nobody asks for it again, and until the commit it would only cost memory

    def dropped(self, cuts: list[Cut], reason: str, at: float) -> int:
        """Count what was cut out of the line; say how many records that were."""
        records = attempted = 0
        for span, low, high in cuts:
            records += high - low
            size = span.run_bytes(low, high) - RECORD_OVERHEAD * (high - low)
            file = None if span.stored else span.file
            _add(self._losses, (reason, span.stored, file), Loss(self.topic, reason, at, at, high - low, size))
            came_back = min(high - low, span.attempts)
            span.attempts -= came_back
            attempted += came_back
            self.touch(span)
            if not span.left:
                span.body = b""
        if records:
            doubtful = min(records - attempted, self.suspects)
            self.suspects -= doubtful
            attempted += doubtful
            self.since[accounting.DROPPED[reason]] += records
            self.since["droppedAfterAttempt"] += attempted
        return records

    def quarantined(self, reject: Reject, at: float) -> None:
        """Count a record that was set aside as it was read."""
        self.since["read"] += 1
        self._keep(reject, at)
        if reject.file is not None:
            reject.file.account(reject.begin, reject.end)
        else:
            self.sequence = max(self.sequence, reject.end + 1)

    def unsendable(self, span: Span, index: int, reason: str, detail: str, at: float) -> None:
        """Set aside a record that was taken out of the line and can never be sent."""
        payload = span.payload(index)
        place = span.place(index)
        reject = Reject(reason, detail, span.file, place, place, len(payload), payload, b"")
        self._keep(reject, at, had_row=span.stored)
        span.settle(index)
        self.touch(span)

    def damaged(self, seq: int, left: int) -> None:
        """Count the records of a row that is not what was written."""
        self._damaged.append((seq, left))
        self.since[accounting.QUARANTINED["corrupt"]] += left
        self.since["pending"] -= left

    def _keep(self, reject: Reject, at: float, *, had_row: bool = False) -> None:
        self.since[accounting.QUARANTINED[reject.reason]] += 1
        self.set_aside.append(SetAside(self._record_id(reject), reject, self.topic, at, had_row))
        self.set_aside_bytes += len(reject.kept)

    def _record_id(self, reject: Reject) -> bytes:
        if reject.file is None:
            return pipe_record_id(*self._identity, self._epoch, reject.begin)
        return file_record_id(*self._identity, reject.file, reject.begin, reject.digest or reject.kept)

    @property
    def crowded(self) -> bool:
        """Tell whether so much is noted here that a commit should make room before more is."""
        return (
            len(self._touched) >= MOST_TOUCHED
            or len(self.set_aside) >= MOST_SET_ASIDE
            or self.set_aside_bytes >= MOST_SET_ASIDE_BYTES
        )

    # -- the commit ---------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Tell whether there is anything to commit, beside positions and new rows."""
        return bool(self._touched or self.set_aside or self._damaged) or any(self.since.values())

    def change(
        self,
        inserts: list[Span],
        files: list[FilePosition],
        forgotten: list[FilePosition],
        replayed: Sequence[int] = (),
    ) -> Change:
        """Say what the next commit writes. Call `account` before the positions are collected.

        `replayed` are the entries of the quarantine whose records are among the inserts. They are counted in what is
        written and nowhere else: if the commit is not made they are in quarantine still.
        """
        since = dict(self.since)
        since["replayed"] += len(replayed)
        backlog = self.backlog_bytes
        removals: list[Span] = []
        cuts: list[Span] = []
        for span in self._touched:
            fresh = span.settled - span.counted
            if span.stored:
                since["pending"] -= fresh
                backlog -= span.counted_bytes - span.left_bytes()
                (cuts if span.left else removals).append(span)
            else:
                since["read"] += fresh
        for span in inserts:
            since["read"] += span.left
            since["pending"] += span.left
            backlog += span.left_bytes()
            if span.settled or span.attempts:
                cuts.append(span)
        counts = accounting.add(self.committed, since)
        return Change(
            stream=self.stream,
            commit=self.commit + 1,
            counts=counts,
            backlog_bytes=backlog if counts["pending"] else 0,
            sequence=self.sequence_after(inserts),
            inserts=inserts,
            removals=removals,
            cuts=cuts,
            damaged=self._damaged,
            files=files,
            forgotten=forgotten,
            set_aside=self.set_aside,
            losses=_summed(self._losses.values()),
            replayed=list(replayed),
        )

    def sequence_after(self, spans: list[Span]) -> int:
        """Give the next sequence number of a pipe once these spans, and all that happened, are committed."""
        ends = (span.offset + len(span) for span in (*self._touched, *spans) if span.file is None and not span.stored)
        return max(self.sequence, max(ends, default=0))

    def account(self, inserts: list[Span]) -> None:
        """Bring the positions of files up to what the next commit settles or stores."""
        for span in self._touched:
            if span.file is not None and not span.stored:
                for low, high in ((0, len(span)),) if not span.left else span.settled_runs():
                    span.file.account(*span.extent(low, high))
        for span in inserts:
            if span.file is not None:
                span.file.account(*span.extent(0, len(span)))

    def committed_as(self, change: Change) -> None:
        """Take over what was committed."""
        for span in change.inserts:
            span.stored = True
            span.dirty = True
            self._touched.append(span)
        for span in self._touched:
            span.counted = span.settled
            span.counted_bytes = span.left_bytes() if span.stored else 0
            span.dirty = False
        self.committed = change.counts
        self.backlog_bytes = change.backlog_bytes
        self.sequence = change.sequence
        self.commit = change.commit
        self.since = accounting.zero()
        self.set_aside, self._damaged, self._touched, self._losses = [], [], [], {}
        self.set_aside_bytes = self.sent_and_settled = 0

    # -- what outlives a store that failed ----------------------------------------------------------------------------

    def lost_without_rows(self, is_gone: Callable[[FilePosition | None], bool]) -> list[Loss]:
        """List what was dropped before it had a row, of sources that are gone: nothing but these books knows of it."""
        return _summed(loss for (_, stored, file), loss in self._losses.items() if not stored and is_gone(file))

    def settled_of(self, is_gone: Callable[[FilePosition | None], bool]) -> dict[FilePosition, int]:
        """Say up to where something was settled, without rows, of the files that are gone."""
        ends: dict[FilePosition, int] = {}
        for span in self._touched:
            if span.file is not None and not span.stored and is_gone(span.file):
                ends[span.file] = max(ends.get(span.file, 0), span.extent(0, len(span))[1])
        return ends

    def beside(self) -> Counts:
        """Give what was counted beside the law since the last commit: nobody says it again."""
        return {name: self.since[name] for name in (*BESIDE, *MESSAGES) if name != "droppedAfterAttempt"}

    def take_back(self, beside: Counts, set_aside: list[SetAside], losses: list[Loss], sequence: int) -> None:
        """Enter again what other books knew and did not commit."""
        for name, number in beside.items():
            self.since[name] += number
        for entry in set_aside:
            self.since["read"] += 1
            self._keep(entry.reject, entry.at)
        for loss in losses:
            self.since["read"] += loss.records
            self.since[accounting.DROPPED[loss.reason]] += loss.records
            _add(self._losses, (loss.reason, False, None), loss)
        self.sequence = max(self.sequence, sequence)


def _add(losses: dict[LossKey, Loss], key: LossKey, loss: Loss) -> None:
    known = losses.setdefault(key, loss)
    if known is loss:
        return
    known.first = min(known.first, loss.first)
    known.last = max(known.last, loss.last)
    known.records += loss.records
    known.bytes += loss.bytes


def _summed(losses: Iterable[Loss]) -> list[Loss]:
    """Put together what was lost for the same reason; what is put in stays as it is."""
    sums: dict[LossKey, Loss] = {}
    for loss in losses:
        _add(sums, (loss.reason, False, None), copy(loss))
    return list(sums.values())

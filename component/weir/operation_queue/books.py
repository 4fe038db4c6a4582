"""What waits and what was counted: the place where the program's threads and the worker meet.

Owns the line and every counter, each changed in the same step as the line. Knows nothing of connections or callbacks.

There is a lock, held for a few steps on a deque and some numbers. Each caller must have its answer at once (a full
queue is its error in modes 4 and 5, what it displaced is dropped in its call in the others), so requests to the worker
would not do: they would themselves be a queue without a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from weir.core.gate import Opening
from weir.core.modes import Mode
from weir.operation_queue.errors import QueueFull
from weir.operation_queue.operations import Operation
from weir.operation_queue.waiting import Waiting


class Account(NamedTuple):
    """What became of every operation the queue ever took.

    At any moment `taken` is the sum of the next six. `unconfirmed` are publishes at QoS 0 that the client wrote:
    nothing more is known of them. `sent` is how many were handed to the client, whatever came of them. `refused` never
    were in the queue: it was full, and the caller was told.
    """

    taken: int
    waiting: int
    outstanding: int
    acknowledged: int
    unconfirmed: int
    failed: int
    dropped: int
    removed: int
    sent: int
    refused: int


# How many of the outcomes that came back were acknowledgements, writes at QoS 0, and failures.
Ended = tuple[int, int, int]


class Books:
    """Every method may be called by any thread, but `take`, `settle`, `rest` and `awake` are the worker's."""

    def __init__(self, mode: Mode, limit: int | None) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._waiting = Waiting(mode, limit)
        self._seen = 0  # how often the line had been changed by others when the worker looked
        self._at_rest = False  # the worker waits until the line changes
        self._taken = self._dropped = self._removed = self._refused = 0
        self._sent = self._acknowledged = self._unconfirmed = self._failed = 0

    def admit(self, operation: Operation, index: int | None) -> tuple[Operation | None, bool]:
        """Let one enter, at an index if one is given: what a full queue dropped, and whether to wake the worker.

        Raises QueueFull.
        """
        with self._lock:
            try:
                dropped = self._waiting.enter(operation, index)
            except QueueFull:
                self._refused += 1
                raise
            self._taken += 1
            if dropped is not None:
                self._dropped += 1
            wake, self._at_rest = self._at_rest, False
            return dropped, wake

    def remove_at(self, index: int) -> tuple[Operation, bool]:
        """Take one out, and say whether the worker must be woken. Raises IndexError."""
        with self._lock:
            operation = self._waiting.take_at(index)
            self._removed += 1
            wake, self._at_rest = self._at_rest, False
            return operation, wake

    def remove(self, chosen: Iterable[Operation]) -> tuple[list[Operation], bool]:
        """Take these out, as far as they still wait, and say whether the worker must be woken."""
        with self._lock:
            removed = self._waiting.take_all(chosen)
            self._removed += len(removed)
            wake = self._at_rest and bool(removed)
            self._at_rest = self._at_rest and not removed
            return removed, wake

    def take(self, gate: Opening, most: int, ended: Ended) -> tuple[list[Operation], str | None]:
        """Count outcomes, and take from the front what the gate lets through, at most so many.

        Gives them, and what holds the next one, if any does.
        """
        with self._lock:
            self._count(ended)
            count, held_by = gate.let_through(self._waiting.sizes(), most)
            self._sent += count
            return self._waiting.take(count), held_by

    def settle(self, ended: Ended) -> None:
        """Count outcomes, and take nothing."""
        with self._lock:
            self._count(ended)

    def _count(self, ended: Ended) -> None:
        self._seen = self._taken + self._removed  # whatever changes in the line from here on, the worker has not seen
        acknowledged, unconfirmed, failed = ended
        self._acknowledged += acknowledged
        self._unconfirmed += unconfirmed
        self._failed += failed

    def rest(self) -> bool:
        """Let the worker wait for a change of the line; no if there was one since it last took from it."""
        with self._lock:
            self._at_rest = self._taken + self._removed == self._seen
            return self._at_rest

    def awake(self) -> None:
        """Say that the worker does not wait any more."""
        self._at_rest = False

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._waiting)

    def listed(self) -> tuple[Operation, ...]:
        """List what waits, the front first."""
        with self._lock:
            return self._waiting.listed()

    def account(self) -> Account:
        """Give all numbers, as they are at one moment."""
        with self._lock:
            settled = self._acknowledged + self._unconfirmed + self._failed
            return Account(
                taken=self._taken,
                waiting=len(self._waiting),
                outstanding=self._sent - settled,
                acknowledged=self._acknowledged,
                unconfirmed=self._unconfirmed,
                failed=self._failed,
                dropped=self._dropped,
                removed=self._removed,
                sent=self._sent,
                refused=self._refused,
            )

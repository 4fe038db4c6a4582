"""The inbox: what other threads tell the queue's worker, and how the worker waits for it.

As the forwarder's inbox, but a library leaves no descriptor open behind a queue that was forgotten: the bell is a
SimpleQueue, whose put and get are atomic. Waking on every ack costs 13 % of the throughput, so an ack rings only once
as many have come as the worker said before it waited.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque

from weir.operation_queue.connection import Handed

_NEVER = 1 << 60


class Inbox:
    """Outcomes in order of arrival. `settled` and `wake` may be called by any thread."""

    def __init__(self) -> None:
        self._items: deque[Handed] = deque()
        self._threshold = _NEVER  # ring when so many are there
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def settled(self, handed: Handed) -> None:
        """Take the outcome of an operation."""
        items = self._items
        items.append(handed)
        if len(items) >= self._threshold:
            self._threshold = _NEVER  # once is enough: the worker needs a moment to come, and acks come meanwhile
            self._bell.put(None)

    def wake(self) -> None:
        """Make the worker's next wait, or the one it is in, return at once."""
        self._bell.put(None)

    def take(self) -> list[Handed]:
        """Take every outcome that is there."""
        take = self._items.popleft
        return [take() for _ in range(len(self._items))]

    def listed(self) -> list[Handed]:
        """List the outcomes that are there; for other threads, to which a moment sooner or later is the same."""
        try:
            return list(self._items)
        except RuntimeError:  # one came while they were listed
            return []

    def wait(self, seconds: float | None, items: int) -> None:
        """Wait for so many outcomes, for `wake`, or for so many seconds; None is for as long as it takes."""
        self._threshold = items
        if len(self._items) < items:  # else they came before the threshold was set, so nobody rang
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=seconds)
        self._threshold = _NEVER
        while not self._bell.empty():  # only the worker takes from it
            self._bell.get_nowait()

"""The inbox: what other threads tell the loop, and how the loop waits for it.

Owns the one place where threads meet. There is no lock: a deque's append and popleft are atomic, and a waiting loop is
woken through an eventfd. Knows nothing of what the items mean.

Waking on every ack costs 13 % of the throughput. So an ack wakes the loop only if it waits and enough of them have
come back; how many that is, the loop says before it waits.
"""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Callable

from weir.core.events import ConnectionEvent
from weir.core.ports import Operation

_EVERYTHING = 1


class Inbox:
    """Items in order of arrival. `settled`, `post` and `wake` may be called by any thread and by signal handlers."""

    def __init__(self) -> None:
        """Open the eventfd that wakes the loop."""
        self._items: deque[Operation | ConnectionEvent] = deque()
        self._threshold = 0  # wake the loop when so many items are there; 0 while it does not wait
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._event, selectors.EVENT_READ, self._clear)

    def settled(self, operation: Operation) -> None:
        """Take an operation that has its outcome; wakes the loop once enough have come back."""
        self._items.append(operation)
        if 0 < self._threshold <= len(self._items):
            self._threshold = 0  # once is enough: the loop needs a moment to come, and acks come meanwhile
            self.wake()

    def post(self, item: ConnectionEvent) -> None:
        """Take an event and wake the loop."""
        self._items.append(item)
        self.wake()

    def wake(self) -> None:
        """Make the loop's next wait, or the one it is in, return at once."""
        os.eventfd_write(self._event, 1)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready`, in the loop's thread, whenever the descriptor is readable while the loop waits."""
        self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor."""
        self._selector.unregister(descriptor)

    def take(self) -> list[Operation | ConnectionEvent]:
        """Take every item that is there, in order of arrival."""
        take = self._items.popleft
        return [take() for _ in range(len(self._items))]

    def wait(self, seconds: float, items: int) -> None:
        """Wait for so many items, a wake-up, a watched descriptor, or so many seconds."""
        self._threshold = max(_EVERYTHING, items)
        if len(self._items) >= self._threshold:
            seconds = 0.0  # they came before the threshold was set, so nobody woke us
        for key, _ in self._selector.select(seconds):
            key.data()
        self._threshold = 0

    def _clear(self) -> None:
        os.eventfd_read(self._event)

    def close(self) -> None:
        """Close what was opened."""
        self._selector.close()
        os.close(self._event)

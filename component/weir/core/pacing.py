"""The pace: at most so many publishes and bytes in any one second, by our clock.

Owns the window. Knows nothing of clocks or brokers: `now` is given in monotonic seconds. IoT Core discards what exceeds
its limits for a connection, without an answer in MQTT 3.1.1; so the window slides, it does not start anew every second.
"""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 1.0


class Pace:
    """A sliding window over what was published in the last second. None is no limit."""

    def __init__(self, publishes: float | None, size: int | None) -> None:
        """Take the limits: publishes and bytes per second."""
        self._sent: deque[tuple[float, int, int]] = deque()
        self._count = 0
        self._bytes = 0
        self.limit(publishes, size)

    def limit(self, publishes: float | None, size: int | None) -> None:
        """Go by these limits from now on; what was spent stays spent."""
        # Below one a second the window is as long as one publish takes, or the first of each second would always go.
        self._seconds = WINDOW_SECONDS if not publishes else max(WINDOW_SECONDS, 1 / publishes)
        self._publishes = None if publishes is None else publishes * self._seconds
        self._size = None if size is None else size * self._seconds
        self.unlimited = publishes is None and size is None

    def admits(self, now: float, size: int) -> bool:
        """Tell whether one publish of this many bytes may go. With an empty window one may go, whatever its size."""
        if self.unlimited:
            return True
        self._forget(now)
        if not self._sent:
            return True
        return (self._publishes is None or self._count + 1 <= self._publishes) and (
            self._size is None or self._bytes + size <= self._size
        )

    def spend(self, now: float, size: int, count: int = 1) -> None:
        """Count publishes that went, or that the client sends again by itself."""
        if self.unlimited:
            return
        if self._sent and self._sent[-1][0] == now:
            _, before, bytes_before = self._sent.pop()
            self._sent.append((now, before + count, bytes_before + size))
        else:
            self._sent.append((now, count, size))
        self._count += count
        self._bytes += size

    def free_at(self) -> float | None:
        """Say when the window next frees something, or None if it is empty."""
        return self._sent[0][0] + self._seconds if self._sent else None

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0][0] + self._seconds <= now:
            _, count, size = self._sent.popleft()
            self._count -= count
            self._bytes -= size

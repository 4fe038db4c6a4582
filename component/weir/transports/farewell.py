"""The end of one connection object, as the loop hears of it.

Owns that it is said exactly once, and how long it is waited for. Knows nothing of how an object ends: that is told by
the future that its `leave` gave.
"""

from __future__ import annotations

from concurrent.futures import Future

from weir.core.events import Closed
from weir.core.ports import Post

PATIENCE_SECONDS = 10.0


class Farewell:
    """Waits for the end of one connection object and says `Closed` exactly once."""

    def __init__(self, generation: int, gone: Future[None], post: Post) -> None:
        self._unsaid = [Closed(generation)]
        self._post = post
        self.gone = gone
        self.deadline: float | None = None
        gone.add_done_callback(self._say)

    def over(self, now: float) -> bool:
        """Say whether the next connection object may come: the old one is gone, or patience with it has ended."""
        if self.deadline is None:
            self.deadline = now + PATIENCE_SECONDS
        if now >= self.deadline:
            self._say(self.gone)
        return not self._unsaid

    def _say(self, _gone: Future[None]) -> None:
        try:
            closed = self._unsaid.pop()  # atomic: of the native thread and the loop's, one gets it
        except IndexError:
            return
        self._post(closed)

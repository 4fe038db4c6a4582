"""The end of one MQTT 3.1.1 connection object: when can it never send anything again?

Owns what the client library does not say in one place:

- An object that is up, or connecting *again* by itself, takes `disconnect()` at once: from then on it sends no CONNECT
  and no PUBLISH. Only what its native thread had already scheduled goes out before. It reports the end when its socket
  is closed, which while it waits between two attempts of its own is only when the next one is due, so up to
  reconnectMaxSeconds later.
- An object in its *first* attempt refuses `disconnect()` and goes on. If the attempt fails, the object is dead by
  itself; if it succeeds, it is disconnected on the spot. It then first sends what had been published to it.
- An object that was never connected, or whose first attempt failed, sends nothing.

So when the wait is cut short, what can still go out is only what was published to an object that had never been up.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from awscrt import mqtt

from weir.core.events import Closed
from weir.core.ports import Post

PATIENCE_SECONDS = 10.0


def leave(connection: mqtt.Connection | None, attempt: Future[Any] | None) -> Future[None]:
    """Disconnect for good; the future resolves, always without an error, once the object can send no more."""
    gone: Future[None] = Future()
    if connection is None:
        gone.set_result(None)
        return gone

    def disconnect(_attempt: Future[Any] | None) -> None:
        # An error says that there is nothing to disconnect; the object is held by this closure until then.
        connection.disconnect().add_done_callback(lambda _: gone.set_result(None))

    if attempt is None:
        disconnect(None)
    else:
        attempt.add_done_callback(disconnect)
    return gone


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

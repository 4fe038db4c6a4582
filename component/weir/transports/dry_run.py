"""A dry run: every message is written out for a person to see, and none leaves the machine.

Owns a transport that is always up and has delivered as soon as it was asked to. What is written, and where to, is the
caller's; it must not know of terminals or files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from weir.core.events import Closed, Connected
from weir.core.ports import Post, Settled, Statistics
from weir.core.topics import MESSAGE_BYTES, OPERATION_BYTES, OVERHEAD_BYTES

_NOTHING = Statistics(0, 0, 0, 0)


class DryRunTransport:
    """Fulfils `weir.core.ports.Transport` without a network; everything happens in the caller's call."""

    name = "dry-run"
    message_bytes = MESSAGE_BYTES
    most_outstanding: int | None = None
    hands_over = False
    carries_ids = False
    operation_bytes = OPERATION_BYTES
    packet_bytes = OVERHEAD_BYTES

    def __init__(self, write: Callable[[str, bytes], None], post: Post, settled: Settled) -> None:
        self._write = write
        self._post = post
        self._settled = settled
        self.generation = 1

    def start(self) -> None:
        """Be up."""
        self._post(Connected(self.generation, session_present=False))

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Future[Any]:  # noqa: ARG002 - the port passes them
        """Write the message; an error in writing is the caller's, and the message is not delivered."""
        self._write(topic, payload)
        future: Future[Any] = Future()
        future.set_result(None)
        self._settled(future)
        return future

    def statistics(self) -> Statistics:
        """Nothing is ever outstanding."""
        return _NOTHING

    def advance(self, now: float) -> float | None:
        """Nothing is ever due."""

    def replace(self) -> None:
        """Be a new one, which holds nothing, as the old one did."""
        self._post(Closed(self.generation))
        self.generation += 1
        self.start()

    def close(self, timeout_seconds: float) -> None:
        """There is nothing to wait for."""

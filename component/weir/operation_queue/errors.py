"""The errors the queue raises on purpose."""

from __future__ import annotations

from weir.core.errors import WeirError


class QueueFull(WeirError):
    """The queue is full and its mode leaves the operation with the caller: it was not taken and will not be sent."""

    def __init__(self, limit: int, mode: str) -> None:
        """Say what the limit is."""
        self.limit = limit
        super().__init__(f"{limit} operations wait already, and mode {mode} drops none; try again once some have gone")

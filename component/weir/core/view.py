"""What the outside may see of a forwarder at one moment: plain values for status, log and terminal.

Owns the shape. Everything under counts is what the last commit says; the rest is live.
"""

from __future__ import annotations

import msgspec

from weir.core.accounting import Counts


class Degradation(msgspec.Struct, frozen=True):
    """Something a person should look at: why, since when (wall time), and what to do."""

    reason: str
    since: float
    remedy: str


class StreamView(msgspec.Struct, kw_only=True):
    """One stream. `queue_*` count what waits in memory and in the store."""

    counts: Counts
    mode: str | None  # None for a stream that the settings do not name
    in_flight: int = 0
    queue_records: int = 0
    queue_bytes: int = 0
    held_by: str | None = None
    bytes_unread: int = 0
    files_waiting: int = 0
    orphaned: bool = False


class View(msgspec.Struct, kw_only=True):
    """A forwarder, running or not."""

    epoch: str | None
    epoch_since: float | None
    streams: dict[str, StreamView]
    possible_twins: int = 0  # those that no stream can be blamed for
    state_lost: int = 0
    duplicate_bound: int = 0
    bytes_written: int = 0
    oldest_at: float | None = None
    updated: float | None = None
    state: str = "stopped"
    held_by: str | None = None
    thing_name: str | None = None
    transport: str | None = None
    pid: int | None = None
    degraded: list[Degradation] = []

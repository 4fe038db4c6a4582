"""The gate: how much may be released now, and if nothing, why. A pure function of numbers.

Owns the limits on what is incomplete and in flight at the client. Knows nothing of the client itself: it is given the
client's statistics and our own count.

The facts it respects were measured on awscrt: unacked is a subset of incomplete; unacked rises later than publish()
returns, and with MQTT 5 every statistic does. So what counts is the larger of the statistics and our own count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weir.core.ports import Statistics

OTHERS_LOOK_SECONDS = 0.1  # operations made by others wake nobody: while they hold the gate, look again so soon


class GateLimits(NamedTuple):
    """The most that may be submitted and not complete, and not acknowledged. None is no limit."""

    incomplete: int | None
    in_flight: int | None
    incomplete_bytes: int | None
    in_flight_bytes: int | None


class Outstanding(NamedTuple):
    """What we handed to the client and have no outcome of; `acknowledged_*` is the QoS 1 part, which gets a PUBACK."""

    operations: int = 0
    bytes: int = 0
    acknowledged_operations: int = 0
    acknowledged_bytes: int = 0


class Opening:
    """What may go now; spent as it goes. `held_by` says why nothing more may, in the words of the status."""

    __slots__ = ("_any_size", "_byte_reason", "_count_reason", "bytes", "operations")

    def __init__(self, counts: Room, sizes: Room, *, any_size: bool) -> None:
        """Take the room there is in operations and in bytes, and whether the first one may have any size."""
        self.operations, self._count_reason = counts
        self.bytes, self._byte_reason = sizes
        self._any_size = any_size

    @property
    def held_by(self) -> str | None:
        """Say what holds the next operation however small it is; None if nothing does."""
        if self.operations <= 0:
            return self._count_reason
        return self._byte_reason if self.bytes <= 0 and not self._any_size else None

    def refuses(self, size: int) -> str | None:
        """Say what holds an operation of this many bytes; None if it may go."""
        if self.operations > 0 and (size <= self.bytes or self._any_size):
            return None
        return self._count_reason if self.operations <= 0 else self._byte_reason

    def let_through(self, sizes: Iterable[int], most: int) -> tuple[int, str | None]:
        """Spend on operations in turn, at most so many: how many go, and what holds the next one, if there is one.

        The same as `refuses` and `spend` for each, without a call for each.
        """
        count, room, any_size = 0, self.bytes, self._any_size
        most = min(most, self.operations)
        held = None  # the size of the one that does not go, if there is one
        for size in sizes:
            if count >= most or (size > room and not any_size):
                held = size
                break
            room -= size
            count += 1
            any_size = False
        self.operations -= count
        self.bytes, self._any_size = room, any_size
        return count, None if held is None else self.refuses(held)

    def spend(self, size: int, operations: int = 1) -> None:
        """Count operations that go, of so many bytes together."""
        self.operations -= operations
        self.bytes -= size
        self._any_size = False


# How much more may go as far as one kind of limit is concerned, and the name of that limit.
Room = tuple[int, str]


def opening(statistics: Statistics, ours: Outstanding, limits: GateLimits) -> Opening:
    """Decide how many operations and bytes may go now.

    With nothing at all outstanding one operation may go, whatever its size, so that no limit is a dead end.
    """
    incomplete = max(statistics.incomplete, ours.operations)
    in_flight = max(statistics.unacked, ours.acknowledged_operations)
    counts = _smaller(limits.in_flight, in_flight, "inFlight", limits.incomplete, incomplete, "incomplete")
    sizes = _smaller(
        limits.in_flight_bytes,
        max(statistics.unacked_bytes, ours.acknowledged_bytes),
        "inFlightBytes",
        limits.incomplete_bytes,
        max(statistics.incomplete_bytes, ours.bytes),
        "incompleteBytes",
    )
    if (counts[0] <= 0 or sizes[0] <= 0) and _held_by_others(statistics, ours, limits):
        counts, sizes = (counts[0], "others"), (sizes[0], "others")
    return Opening(counts, sizes, any_size=not incomplete and not in_flight)


_NO_LIMIT = 1 << 60


# Both are written out: the gate is asked for every operation where one goes at a time.


def _smaller(  # noqa: PLR0917 - twice the same three
    limit: int | None, used: int, reason: str, other_limit: int | None, other_used: int, other_reason: str
) -> Room:
    room = _NO_LIMIT if limit is None else limit - used
    if other_limit is not None and (other_limit - other_used < room or limit is None):
        return other_limit - other_used, other_reason
    return room, reason


def _held_by_others(statistics: Statistics, ours: Outstanding, limits: GateLimits) -> bool:
    """Tell whether the operations of others alone hold the gate."""
    incomplete, incomplete_bytes, unacked, unacked_bytes = statistics
    return (
        (limits.incomplete is not None and incomplete - ours.operations >= limits.incomplete)
        or (limits.in_flight is not None and unacked - ours.acknowledged_operations >= limits.in_flight)
        or (limits.incomplete_bytes is not None and incomplete_bytes - ours.bytes >= limits.incomplete_bytes)
        or (limits.in_flight_bytes is not None and unacked_bytes - ours.acknowledged_bytes >= limits.in_flight_bytes)
    )


class LeakWatch:
    """Finds statistics that will never fall again.

    A client with a clean session keeps counting the operations it cancelled at a disconnect; a gate on such statistics
    jams for good. It is a leak if, while connected, none of ours is outstanding and the statistics stay above zero and
    unchanged for so long that every operation would have timed out.
    """

    def __init__(self, seconds: float) -> None:
        """Take the operation timeout in seconds."""
        self._seconds = seconds
        self._seen: Statistics | None = None
        self._since = 0.0

    def forget(self) -> None:
        """Begin anew: something of ours is out, or the client is offline."""
        self._seen = None

    def leaks(self, now: float, statistics: Statistics, ours: int, *, connected: bool) -> bool:
        """Look once; `now` is monotonic, `ours` is what we have outstanding."""
        if not connected or ours or not statistics.incomplete:
            self.forget()
            return False
        if statistics != self._seen:
            self._seen, self._since = statistics, now
        return now - self._since >= self._seconds

"""What the queues on one connection have in common: whose turn it is, and what is out altogether.

Owns the sum of what they have at the client, the share of each when several wait for room, and what the statistics
count although it no longer exists. Knows nothing of what waits.

There is a lock here, and it is held over three steps that must be one: read the statistics, decide, hand over. Without
it two workers could each fill the same room. Nothing of the program's runs under it: the client only takes operations
there, and their outcomes are appended to an inbox.
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol
from weakref import WeakValueDictionary

from weir.core.gate import GateLimits, Opening, Outstanding, opening
from weir.core.ports import Statistics
from weir.operation_queue.connection import Connection, short_way, statistics
from weir.operation_queue.inbox import Inbox

_log = logging.getLogger(__name__)

NOTHING = Statistics(0, 0, 0, 0)


class Member(Protocol):
    """One queue's worker, as the others see it."""

    inbox: Inbox

    def arrived(self) -> Outstanding:
        """Sum up what has an outcome and is not settled yet."""


class Sharing:
    """One connection, as its queues see it. But for `join` and `leave`, it is used only while `turn` is held."""

    def __init__(self, connection: Connection) -> None:
        """Begin with nothing out."""
        self.connection = connection
        self.publish = short_way(connection)
        self.turn = threading.Lock()
        self.ours = Outstanding()
        self.leaked = NOTHING
        self._blind = False  # the statistics could not be read, and that was said
        self._members: list[Member] = []
        self._waiting: list[Member] = []  # for room
        self._last: Member | None = None  # who released last
        self._offered = False  # the last one left room for another, which has not looked yet

    def join(self, member: Member, out: Outstanding) -> None:
        """Take in a queue, with what it has out."""
        with self.turn:
            self._members.append(member)
            self.add(out)

    def leave(self, member: Member, out: Outstanding) -> None:
        """Let go of a queue; what it still has out is not ours any more, and the statistics know of it."""
        with self.turn:
            self._members.remove(member)
            self.add(out, -1)
            self.wait_for_room(member, waits=False)
            others = list(self._waiting)
        for other in others:
            other.inbox.wake()

    # -- what is out --------------------------------------------------------------------------------------------------

    def add(self, change: Outstanding, sign: int = 1) -> None:
        """Count operations that went to the client, or with -1 those that came back."""
        self.ours = _plus(self.ours, change, sign)

    def look(self) -> Statistics:
        """Read the statistics, without what is known to be a leak; nothing where they cannot be read."""
        try:
            now = statistics(self.connection)
        except Exception:  # noqa: BLE001 - a connection may raise anything, and no operation may be lost over it
            if not self._blind:
                _log.exception("the connection's statistics cannot be read; the queue goes by its own count")
            self._blind = True
            return NOTHING
        if self.leaked == NOTHING:
            return now
        self.leaked = Statistics(*map(min, now, self.leaked))  # what fell after all had only been slow
        return Statistics(*(count - leak for count, leak in zip(now, self.leaked, strict=True)))

    def write_off(self, now: Statistics) -> Statistics:
        """Take all that `look` just gave for a leak; gives what is left of it."""
        self.leaked = Statistics(*(known + more for known, more in zip(self.leaked, now, strict=True)))
        return NOTHING

    def open(self, member: Member, now: Statistics, limits: GateLimits) -> Opening:
        """Ask the gate, for all queues as one: what any of them has out is ours.

        What has an outcome that another queue has not come to yet, busy with a callback, holds nobody else.
        """
        ours = self.ours
        for other in self._members:
            if other is not member:
                ours = _plus(ours, other.arrived(), -1)
        return opening(now, ours, limits)

    @property
    def alone(self) -> bool:
        """Tell whether one queue has the connection to itself, as far as queues go."""
        return len(self._members) <= 1

    # -- whose turn it is ---------------------------------------------------------------------------------------------

    def share(self, member: Member, room: int) -> int:
        """Say how much of the room a queue may take: an even share if others wait for some too.

        Who released last takes the smaller half. So with room for one operation at a time the queues take turns.
        """
        others = len(self._waiting) - (member in self._waiting) if self._waiting else 0
        if not others or room <= 0:
            return room
        return room // (others + 1) if self._last is member else -(-room // (others + 1))

    def yielded(self, member: Member, count: int, room: int, *, came_back: bool) -> list[Member]:
        """Note that a queue took so many and left so much room; gives the queues to wake, since there is room for them.

        They are woken only where something has changed, or workers could wake each other for ever.
        """
        others = [one for one in self._waiting if one is not member] if self._waiting else []
        offered, self._offered = self._offered, False
        if others and not count and room > 0 and self._last is member:
            self._offered = True
            return others
        if count or offered or not others:
            self._last = member
        return others if (offered and not count) or (room > 0 and (count or came_back)) else []

    def wait_for_room(self, member: Member, *, waits: bool) -> None:
        """Note whether a queue waits for room."""
        if member in self._waiting:
            self._waiting.remove(member)
        if waits:
            self._waiting.append(member)


def _plus(these: Outstanding, those: Outstanding, sign: int) -> Outstanding:
    # Term by term: this is done for every operation where one goes at a time.
    return Outstanding(
        these.operations + sign * those.operations,
        these.bytes + sign * those.bytes,
        these.acknowledged_operations + sign * those.acknowledged_operations,
        these.acknowledged_bytes + sign * those.acknowledged_bytes,
    )


_sharings: WeakValueDictionary[int, Sharing] = WeakValueDictionary()
_making = threading.Lock()


def sharing(connection: Connection) -> Sharing:
    """Give what the queues on this connection share; it lives as long as one of them."""
    with _making:  # a sharing holds its connection, so the identity is no other's while it is found here
        found = _sharings.get(id(connection))
        if found is None:
            found = _sharings[id(connection)] = Sharing(connection)
        return found

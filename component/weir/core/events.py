"""What the outside tells the loop: connection events and requests, as immutable values.

Owns the shapes only. A native thread makes one and appends it to the inbox; the loop alone acts on it. `generation`
is the number of the connection object that speaks: an event of an older one must not change what a newer one owns.
"""

from __future__ import annotations

import msgspec


class ConnectionEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to the connection object of this generation."""

    generation: int


class Connected(ConnectionEvent, frozen=True, gc=False):
    """The connection is up, for the first time or again."""

    session_present: bool


class Interrupted(ConnectionEvent, frozen=True, gc=False):
    """The connection was lost; the client goes on trying by itself."""

    reason: str


class ConnectFailed(ConnectionEvent, frozen=True, gc=False):
    """An attempt to connect failed; another one follows."""

    reason: str
    turned_away: bool = False  # a broker was there, and would not have us


class Closed(ConnectionEvent, frozen=True, gc=False):
    """The connection object of this generation can never send anything again: what it held may be requeued."""


LinkEvent = Connected | Interrupted | ConnectFailed

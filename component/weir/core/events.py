"""What the outside tells the loop: connection events and requests, as immutable values.

Owns the shapes only. A native thread makes one and appends it to the inbox; the loop alone acts on it. `generation`
is the number of the connection object that speaks: an event of an older one must not change what a newer one owns.
"""

from __future__ import annotations

import msgspec


class Connected(msgspec.Struct, frozen=True, gc=False):
    """The connection is up, for the first time or again."""

    generation: int
    session_present: bool


class Interrupted(msgspec.Struct, frozen=True, gc=False):
    """The connection was lost; the client goes on trying by itself."""

    generation: int
    reason: str


class ConnectFailed(msgspec.Struct, frozen=True, gc=False):
    """An attempt to connect failed; another one follows."""

    generation: int
    reason: str
    turned_away: bool = False  # a broker was there, and would not have us


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The connection object of this generation can never send anything again: what it held may be requeued."""

    generation: int


ConnectionEvent = Connected | Interrupted | ConnectFailed | Closed

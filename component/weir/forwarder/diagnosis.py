"""What is wrong with the link and the sources, and what a person can do about it.

Owns the judgement: from what was heard of the connection, and from how long a source has had nothing to show, to
reasons with a remedy. Pure: `now` is given in monotonic seconds. It must not know how a reason is told, nor act on one.

Only what can be known is said. A broker that hangs up does not say why: the same client id elsewhere and a topic that
the policy does not allow look alike, but for one thing: where a topic is not allowed, nothing is ever acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable

from weir.core.events import Connected, Interrupted, LinkEvent
from weir.core.quoting import LONGEST_PATH, escaped
from weir.forwarder.stream import Stream

SHORT_SECONDS = 10.0  # a connection that was lost sooner than this was hardly one
CALM_SECONDS = 30.0  # one that lasts so long ends a series of short ones
SHORT_IN_A_ROW = 5
TURNED_AWAY_IN_A_ROW = 3
NO_ACK_SECONDS = 30.0
SOURCE_SECONDS = 10.0  # a directory may be missing for a moment, as while something is mounted

Verdicts = dict[str, str | None]  # by reason: what to do, None where nothing is wrong


class LinkHistory:
    """What was heard of the connection, as far as it tells what is wrong with it."""

    def __init__(self, client_id: str | None) -> None:
        """Begin with nothing heard; without a client id somebody else has the connection to the broker."""
        self._client_id = None if client_id is None else escaped(client_id, LONGEST_PATH)
        self._connected_at: float | None = None  # of the connection that is up
        self._carried = False  # something was acknowledged since it is up
        self._short = 0  # connections in a row that were hardly ones
        self._answered = False  # in some of these something was acknowledged, or nothing was out to be
        self._turned_away = 0  # attempts in a row to which the broker said no
        self._why = ""
        self._nothing_goes = False  # whatever was tried alone, the broker hung up on it
        self._silent_since: float | None = None  # something has been out since, and nothing was acknowledged

    def heard(self, event: LinkEvent, now: float, *, out: bool) -> None:
        """Take what a connection object says of itself; `out` is whether something waits for its acknowledgement."""
        if isinstance(event, Connected):
            self._connected_at = now
            self._carried = False
            self._turned_away = 0
        elif isinstance(event, Interrupted):
            self._lost(now, out=out)
        else:
            self._silent_since = None
            self._turned_away += int(event.turned_away)
            self._why = event.reason if event.turned_away else self._why

    def _lost(self, now: float, *, out: bool) -> None:
        self._silent_since = None
        lasted = None if self._connected_at is None else now - self._connected_at
        self._connected_at = None
        if lasted is None:
            return
        if lasted < SHORT_SECONDS:
            self._short += 1
            self._answered |= self._carried or not out
        elif lasted >= CALM_SECONDS:
            self._calm()

    def _calm(self) -> None:
        self._short, self._answered = 0, False

    def replaced(self) -> None:
        """Take note that the object was given up by us: how long it lasted says nothing of the broker."""
        self._connected_at = None

    def nothing_goes(self) -> None:
        """Take note that the broker hung up on one message after the other, each of them alone."""
        self._nothing_goes = True

    def carried(self) -> None:
        """Take note that something went."""
        self._carried = True
        self._nothing_goes = False
        self._silent_since = None

    def verdicts(self, now: float, *, out: bool) -> Verdicts:
        """Judge; `out` is whether something waits for its acknowledgement."""
        if self._connected_at is not None and now - self._connected_at >= CALM_SECONDS:
            self._calm()
        if not out and self._connected_at is not None:
            self._silent_since = None
        elif out and self._silent_since is None and self._connected_at is not None:
            self._silent_since = now
        return {
            "clientIdConflict": self._conflict(),
            "refusedByPolicy": self._policy(),
            "noAck": self._no_ack(now),
        }

    def _conflict(self) -> str | None:
        if self._client_id is None or self._short < SHORT_IN_A_ROW or not self._answered:
            return None
        return (
            f"the broker hangs up soon after each connect, as it does if another client has the id {self._client_id}: "
            f"give one of them another connection.clientId"
        )

    def _policy(self) -> str | None:
        if self._client_id is None:
            return None
        if self._turned_away >= TURNED_AWAY_IN_A_ROW:
            return (
                f"allow the client id {self._client_id} in the policy of the certificate or role, and see that it is "
                f"attached and active: the broker refuses the connection with {self._why}"
            )
        if self._nothing_goes or (self._short >= SHORT_IN_A_ROW and not self._answered):
            return (
                f"the broker hangs up after each message and acknowledges none: allow the topics in the policy; or "
                f"another client has the id {self._client_id}"
            )
        return None

    def _no_ack(self, now: float) -> str | None:
        if self._silent_since is None or now - self._silent_since < NO_ACK_SECONDS:
            return None
        return (
            f"messages are out and none was acknowledged for {NO_ACK_SECONDS:g} s: look whether the broker is "
            f"overloaded, and whether the network loses what is large"
        )


class SourceHistory:
    """How long each source has had nothing to show."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._held: dict[tuple[str, str], float] = {}  # stream and reason, and since when

    def verdicts(self, now: float, streams: Iterable[Stream]) -> Verdicts:
        """Judge the sources of these streams."""
        paths = {}
        held = {}
        for stream in streams:
            reason = stream.source.held_by()
            if reason is not None:
                held[stream.name, reason] = self._held.get((stream.name, reason), now)
                paths[stream.name] = escaped(stream.settings.source.path or "standard input", LONGEST_PATH)
        self._held = held
        lasting: dict[str, list[str]] = {"missing": [], "unreadable": []}
        for (name, reason), since in held.items():
            if now - since > SOURCE_SECONDS and reason in lasting:
                lasting[reason].append(paths[name])
        return {
            "sourceMissing": _remedy(lasting["missing"], "make it or mount it: what is to be read is not there"),
            "sourceUnreadable": _remedy(lasting["unreadable"], "let the user Weir runs as read it, or mend its disk"),
        }


def _remedy(paths: list[str], remedy: str) -> str | None:
    return f"{', '.join(paths)}: {remedy}" if paths else None

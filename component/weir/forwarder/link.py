"""The link: what is known of the connection in use, and when its object must be replaced.

Owns the state that is shown (`connecting`, `online`, `offline`, `stopped`), whether the link can be expected to carry
anything, and the reasons to give an object up. Knows nothing of records but that some are out.
"""

from __future__ import annotations

from weir.core.events import Connected, Interrupted, LinkEvent
from weir.core.gate import LeakWatch
from weir.core.ports import Transport
from weir.core.settings import Settings
from weir.forwarder.diagnosis import LinkHistory, Verdicts
from weir.forwarder.queue import Notice
from weir.forwarder.window import Window

PROOF_SECONDS = 10.0  # something waits and nothing was delivered for so long: the link does not work
RENEW_SECONDS = 600.0  # offline for so long: the next attempts are made by a new object
COOL_DOWN_SECONDS = 1.0  # after an operation failed
NOT_THE_LINK = frozenset({"paused", "pace", "others", "commit"})  # holds that say nothing about the link


class Link:
    """The connection as the loop sees it; times are monotonic seconds."""

    def __init__(self, settings: Settings, transport: Transport, window: Window, notice: Notice, now: float) -> None:
        """Begin to connect."""
        self.state = "connecting"
        self._transport = transport
        self._window = window
        self._patience = settings.connection.operation_timeout_seconds  # without an outcome of an operation
        self._notice = notice
        self._history = LinkHistory(None if transport.hands_over else settings.client_id)
        self._leak = LeakWatch(self._patience)
        self._online_at = 0.0
        self._idle_at = now  # when something was last seen to go, or nothing was there to go
        self._lost_at: float | None = None  # when the connection in use was interrupted
        self._cool_until = 0.0
        self._refusal = ""  # why the other side did not take the last operation
        self._refused_since: float | None = None  # and nothing was taken ever since

    def heard(self, event: LinkEvent, now: float) -> None:
        """Take what the object in use says of itself."""
        self._history.heard(event, now, out=self._is_owed)
        if isinstance(event, Connected):
            self._notice("resumed" if self._online_at else "connected", inFlight=len(self._window))
            self.state = "online"
            self._online_at = self._idle_at = now
            self._lost_at = None
        elif isinstance(event, Interrupted):
            self._notice("interrupted", reason=event.reason, inFlight=len(self._window))
            self.state = "offline"
            self._lost_at = now
        else:
            self._notice("connect_failed", reason=event.reason)
            self.state = "offline"

    def carried(self, now: float) -> None:
        """Note that something went."""
        self._history.carried()
        self._idle_at = now
        self._refused_since = None

    def refused(self, why: str, now: float, seconds: float | None) -> None:
        """Note that the other side did not take an operation, and wants to be left alone for so long."""
        self._refusal = why
        if self._refused_since is None:
            self._refused_since = now
        self.cool_down(now, seconds)

    @property
    def _is_owed(self) -> bool:
        return self._window.oldest_at() is not None

    def verdicts(self, now: float) -> Verdicts:
        """Say what is wrong with the link, and what to do about it."""
        refused = self._refused_since is not None and now - self._refused_since >= PROOF_SECONDS
        return {
            **self._history.verdicts(now, out=self._is_owed),
            "publishRefused": self._refusal if refused else None,
        }

    def give_up(self, now: float, seconds: float) -> None:
        """Let nothing go for so long: the broker hung up on one message after the other, each of them alone."""
        self._history.nothing_goes()
        self.cool_down(now, seconds)

    def cool_down(self, now: float, seconds: float | None = None) -> None:
        """Let nothing go for a while: an operation failed, and the next one would fail as well."""
        self._cool_until = now + (COOL_DOWN_SECONDS if seconds is None else seconds)

    def cools_until(self, now: float) -> float | None:
        """Say when something may go again, None if it may."""
        return self._cool_until if now < self._cool_until else None

    def is_up(self, now: float) -> bool:
        """Tell whether something may be handed to the client."""
        return self.state == "online" and now >= self._cool_until

    def up_for(self, now: float) -> float:
        """Say for how many seconds the connection has been up; 0 if it is not."""
        return now - self._online_at if self.state == "online" else 0.0

    def works(self, now: float, held_by: str | None, *, nothing_waits: bool) -> bool:
        """Tell whether what waits can be expected to go: so a directory keeps what the queue has no room for.

        A link that had nothing to carry, was not let, or is only just being made, has not failed to carry anything.
        """
        if nothing_waits or held_by in NOT_THE_LINK:
            self._idle_at = now
        return self.state in {"online", "connecting"} and now - self._idle_at < PROOF_SECONDS

    def watch(self, now: float) -> None:
        """Replace an object that has lost its way.

        Its statistics leak, or it owes an outcome for too long: no answer is not a failure, the broker may have the
        message, so it may wait again only once this object cannot send it. Or it is offline for so long that it should
        look at the certificates again, and say what is wrong, which it does only when it is new.
        """
        if self._is_owed or self.state != "online":
            self._leak.forget()
        if self.state != "online":
            if self._lost_at is not None and now - self._lost_at >= RENEW_SECONDS:
                self.replace("it has been offline for long")
        elif not self._is_owed:
            if self._leak.leaks(now, self._transport.statistics(), 0, connected=True):
                self.replace("the client's statistics count operations that no longer exist")
        elif overdue := self._window.overdue(now - self._patience, self._online_at):
            for sent in overdue:
                sent[0].stream.books.count("timedOut")
            self.replace("an acknowledgement is overdue")
        elif self._window.note_is_overdue(now - self._patience, self._online_at):
            self.replace("the acknowledgement of report.topic is overdue")

    def replace(self, why: str) -> None:
        """Give the object up for a new one."""
        self._notice("interrupted", reason=why, replaced=True)
        self._history.replaced()
        self.state = "connecting"
        self._lost_at = None
        self._transport.replace()

"""Follows the configuration that the nucleus holds for this component.

Owns when it is read: after every change, after the connection to the nucleus was lost, and again where reading failed.
Answers what the nucleus wants to know before a deployment. It must not know what a configuration means, nor how the
nucleus is reached.

A nucleus says that something changed, once for each key (lite even for a key that kept its value) and not at all for
one that went away; it never says what. So a change is let settle for a moment, and then the whole is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from weir.core.nucleus import Answer, ConnectionGone, NotFound, Nucleus, NucleusFailed, Proposal
from weir.greengrass.reading import Document, Reading

SETTLE_SECONDS = 0.5  # no further change for so long
LONGEST_SETTLE_SECONDS = 5.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
LOOK_SECONDS = 600.0  # a key that went away is not told on lite, so the whole is read now and then in any case

_CHANGED, _RESTORED = object(), object()


class Follower:
    """Fulfils the loop's need to be told of another configuration; every call is made by the loop's thread."""

    def __init__(
        self,
        nucleus: Nucleus,
        *,
        objection: Callable[[Document], str | None],
        accept: Callable[[Document], None],
        wake: Callable[[], None],
    ) -> None:
        """Ask `objection` what is wrong with a document; hand every document that was read to `accept`."""
        self._nucleus = nucleus
        self._objection = objection
        self._accept = accept
        self._wake = wake
        self._heard: deque[object] = deque()  # what native threads say
        self._reading: Reading | None = None
        self._read_at: float | None = None
        self._first_change: float | None = None  # of those that were not read yet
        self._failures = 0
        # Where there is no configuration at all yet, there is nothing that changes. Lite does not ask for a judgement,
        # and refuses to be asked for it; then nobody asks.
        self._changes = _Subscription(self._watch, wake, again_after=NucleusFailed)
        self._proposals = _Subscription(self._watch_proposals, wake, again_after=ConnectionGone)

    def begin(self) -> None:
        """Have changes and proposals said."""
        self._nucleus.on_restored(lambda: self._hear(_RESTORED))

    def _hear(self, what: object) -> None:
        self._heard.append(what)
        self._wake()

    def advance(self, now: float) -> float | None:
        """Do what is due; say when to be called next."""
        while self._heard:
            self._take(self._heard.popleft(), now)
        self._see_to_watch(now)
        self._see_to_reading(now)
        times = [time for time in (self._read_at, self._changes.due, self._proposals.due) if time is not None]
        return min(times, default=None)

    def _take(self, what: object, now: float) -> None:
        if isinstance(what, Proposal):
            self._nucleus.judge(what.deployment, self._objection(what.configuration))
        elif what is _RESTORED:
            self._changes.make_anew(now)  # what was watched through the old connection is watched no more
            self._proposals.make_anew(now)
        else:
            self._first_change = now if self._first_change is None else self._first_change
            self._read_at = min(now + SETTLE_SECONDS, self._first_change + LONGEST_SETTLE_SECONDS)

    # -- watching -----------------------------------------------------------------------------------------------------

    def _watch(self) -> Answer[None]:
        return self._nucleus.watch_configuration(lambda: self._hear(_CHANGED))

    def _watch_proposals(self) -> Answer[None]:
        return self._nucleus.watch_proposals(self._hear)

    def _see_to_watch(self, now: float) -> None:
        if self._changes.begins(now):
            self._read_at = now  # what changed before it was watched was told to nobody
        self._proposals.begins(now)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _see_to_reading(self, now: float) -> None:
        if self._reading is not None:
            if not self._reading.done():
                return
            self._judge_reading(self._reading, now)
        if self._read_at is None:
            self._read_at = now + LOOK_SECONDS
        if now >= self._read_at:
            self._read_at = self._first_change = None
            self._reading = Reading(self._nucleus, self._wake)

    def _judge_reading(self, reading: Reading, now: float) -> None:
        self._reading = None
        try:
            document = reading.result()
        except NotFound:
            document = {}  # lite says so where the component has no configuration: everything is as it is by default
        except NucleusFailed:
            again = now + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
            self._read_at = again if self._read_at is None else min(self._read_at, again)
            self._failures += 1
            return
        self._failures = 0
        self._accept(document)


class _Subscription:
    """Something that the nucleus is to tell of: asked for on each connection, and again where no answer came."""

    def __init__(
        self, make: Callable[[], Answer[None]], wake: Callable[[], None], *, again_after: type[NucleusFailed]
    ) -> None:
        """Ask by `make`; after a failure of the kind `again_after` that is done again."""
        self.due: float | None = 0.0
        self._make = make
        self._wake = wake
        self._again_after = again_after
        self._answer: Answer[None] | None = None

    def make_anew(self, now: float) -> None:
        """Ask on a connection that has come up; what the old one would still say is of no interest."""
        self.due, self._answer = now, None

    def begins(self, now: float) -> bool:
        """Do what is due; tell whether it has just begun."""
        if self._answer is not None and self._answer.done():
            failure = self._answer.exception(0)
            self._answer = None
            if isinstance(failure, self._again_after):
                self.due = now + RETRY_SECONDS[-1]
            return failure is None
        if self._answer is None and self.due is not None and now >= self.due:
            self.due = None
            self._answer = self._make()
            self._answer.add_done_callback(lambda _: self._wake())
        return False

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
        self._watching: Answer[None] | None = None
        self._watch_at: float | None = 0.0

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
        times = [time for time in (self._read_at, self._watch_at) if time is not None]
        return min(times, default=None)

    def _take(self, what: object, now: float) -> None:
        if isinstance(what, Proposal):
            self._nucleus.judge(what.deployment, self._objection(what.configuration))
        elif what is _RESTORED:
            self._watch_at = now  # what was watched through the old connection is watched no more
        else:
            self._first_change = now if self._first_change is None else self._first_change
            self._read_at = min(now + SETTLE_SECONDS, self._first_change + LONGEST_SETTLE_SECONDS)

    # -- watching -----------------------------------------------------------------------------------------------------

    def _see_to_watch(self, now: float) -> None:
        if self._watching is not None and self._watching.done():
            self._judge_watch(self._watching, now)
        if self._watch_at is not None and self._watching is None and now >= self._watch_at:
            self._watch_at = None
            self._watching = self._nucleus.watch_configuration(lambda: self._hear(_CHANGED))
            self._watching.add_done_callback(lambda _: self._wake())
            self._nucleus.watch_proposals(self._hear)  # lite does not ask, and refuses this; then nobody asks

    def _judge_watch(self, watching: Answer[None], now: float) -> None:
        self._watching = None
        try:
            watching.result(0)
        except ConnectionGone:
            return  # it is watched anew once there is a connection
        except NucleusFailed:
            self._watch_at = now + RETRY_SECONDS[-1]  # as where there is no configuration at all yet
        else:
            self._read_at = now  # what changed before it was watched was told to nobody

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

"""Suspicion: what becomes of messages that the broker may be hanging up on.

Owns those that stepped aside, and acts on what `core.breaker` finds. Knows nothing of why a broker hangs up.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from weir.core.breaker import ALONE_HANGUPS, Breaker, Verdict
from weir.forwarder.link import PROOF_SECONDS, Link
from weir.forwarder.returns import refuse
from weir.forwarder.window import Sent, Window, halves, parts, records

WAITS_SECONDS = (10.0, 30.0, 60.0, 120.0, 300.0)  # where nothing goes at all, one after the other
WHY = "the broker hangs up, and nothing goes: what was out is tried one at a time"
HANGS_UP = "the broker hangs up on it"


class Suspicion:
    """Finds the message at fault on one link, and sets it aside for good."""

    def __init__(self, link: Link, window: Window) -> None:
        """Suspect nobody."""
        self._breaker = Breaker()
        self._link = link
        self._window = window
        self._aside: list[Sent] = []  # out at an object that is gone, or on its way out; nobody sends them
        self._given_up: list[Sent] = []  # to wait again once that object can send nothing any more
        self._waits = 0

    @property
    def one_at_a_time(self) -> bool:
        """Tell whether only one message may be out."""
        return self._breaker.one_at_a_time

    @property
    def has_aside(self) -> bool:
        """Tell whether messages are kept aside, that are neither out nor waiting."""
        return bool(self._aside or self._given_up)

    def lost(self, now: float, wall: float) -> None:
        """Judge what was out when the link was lost."""
        out = self._window.all()
        verdict = self._breaker.lost([_key(sent) for sent in out] or [None] * self._window.has_note)
        if verdict is Verdict.NOTHING:
            return
        self._link.replace(WHY)
        if verdict is Verdict.SPLIT:
            return  # what was out comes back, and goes one at a time
        out = self._window.clear()
        if not out:
            self._breaker.forget()  # it was a note, and there will be another one
        elif verdict is Verdict.SUSPECT:
            self._aside += out
        elif verdict is Verdict.CONVICT:
            self._convict(out[0], wall)
        else:
            self._given_up += self._aside + out
            self._aside = []
            self._link.give_up(now, WAITS_SECONDS[min(self._waits, len(WAITS_SECONDS) - 1)])
            self._waits += 1

    def _convict(self, sent: Sent, wall: float) -> None:
        """Set a record aside; of several one is at fault, so each half is tried in its turn."""
        if records(sent) == 1:
            refuse(sent, HANGS_UP, wall)
            return
        both = halves(sent)
        self._breaker.divided({_key(half): ALONE_HANGUPS if records(half) == 1 else 1 for half in both})
        self._given_up += both

    def went(self, all_sent: Sequence[Sent]) -> list[Sent]:
        """Take note of what went; give those that are to wait again."""
        self._waits = 0
        if self._breaker.is_calm:
            return []
        return self._freed() if self._breaker.went([_key(sent) for sent in all_sent]) else []

    def closed(self) -> list[Sent]:
        """Take note that the object that was replaced can send nothing any more; give those that are to wait again."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def watch(self, now: float, *, idle: bool) -> list[Sent]:
        """Take a link that stays up while nothing is out for proved; give those that are to wait again."""
        if self._aside and idle and self._link.up_for(now) >= PROOF_SECONDS and self._breaker.proved():
            return self._freed()
        return []

    def clear(self) -> list[Sent]:
        """Suspect nobody any more; give those that are neither out nor waiting."""
        left = self._aside + self._given_up
        self._aside, self._given_up = [], []
        self._breaker.forget()
        return left

    def _freed(self) -> list[Sent]:
        aside, self._aside = self._aside, []
        return aside


def _key(sent: Sent) -> Hashable:
    run, low, high = parts(sent)[0]
    return run.stream.name, run.span.seq, low, high, len(sent[4])

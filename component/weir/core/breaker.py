"""The breaker: finds the message that a broker hangs up on, so that it is set aside alone and the rest flows.

Owns the suspicion, and nothing else. Knows nothing of connections: it is told what was out when the link was lost, and
what went. A broker that will not have a message (too large for it, on a topic that is not allowed) just closes the
connection, with MQTT 3.1.1 always; the client connects again, sends the message again, and so on for ever.

The way of a suspicion: links are lost again and again and nothing goes in between, so whatever was out is sent one at a
time; a message that is alone when the link is lost, twice, is a suspect and steps aside; once another one goes, which
proves the link, each suspect is tried once more; one that loses the link again is convicted. Where nothing goes at all
it is the link, or everything is refused: then nobody is guilty, and to wait is all there is to do. So it is where one
after the other is convicted and nothing goes in between, as when the link breaks for good while the parts of a large
message are on trial.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import Enum

HANGUPS = 3  # in a row, with nothing gone in between, before one message is suspected to be the reason
ALONE_HANGUPS = 2
MOST_OTHERS = 1_000  # so many go alone and none of them is on trial: those are not there any more
MOST_CONVICTED = 5  # in a row, while nothing goes: the next one is not at fault
MOST_SUSPECTS = 5  # so many in a row, and nothing goes: not the messages are at fault


class Verdict(Enum):
    """What to do about a link that was lost."""

    NOTHING = "let the client connect again"
    SPLIT = "replace the connection object, and send what was out one at a time"
    SUSPECT = "replace the object, and keep the one that was out aside"
    CONVICT = "replace the object, and set aside the one that was out"
    GIVE_UP = "replace the object, let everything kept aside wait again, and wait"


class Breaker:
    """Follows one transport; messages are told apart by keys of the caller's."""

    def __init__(self) -> None:
        """Begin with nobody suspected."""
        self._hangups = 0
        self._left = 0  # so many are to be sent alone
        self._aside: list[Hashable] = []
        self._on_trial: dict[Hashable, int] = {}  # with the hang-ups that convict it
        self._others = 0
        self._convicted = 0  # since something went

    @property
    def one_at_a_time(self) -> bool:
        """Tell whether only one message may be out."""
        return self._left > 0 or bool(self._aside) or bool(self._on_trial)

    def lost(self, out: Sequence[Hashable]) -> Verdict:
        """Judge a link that was lost while these were out and nothing had gone since it was up."""
        if not out:
            return Verdict.NOTHING
        self._hangups += 1
        if len(out) > 1:
            if self._hangups < HANGUPS:
                return Verdict.NOTHING
            self._hangups, self._left = 0, len(out)
            return Verdict.SPLIT
        return self._lost_alone(out[0])

    def _lost_alone(self, key: Hashable) -> Verdict:
        if key in self._on_trial:
            self._on_trial[key] -= 1
            if self._on_trial[key]:
                return Verdict.NOTHING
            del self._on_trial[key]
            self._hangups = 0
            self._convicted += 1
            if self._convicted <= MOST_CONVICTED:
                return Verdict.CONVICT
            self.forget()
            return Verdict.GIVE_UP
        if self._hangups < (ALONE_HANGUPS if self.one_at_a_time else HANGUPS):
            return Verdict.NOTHING
        self._hangups = 0
        self._left = max(0, self._left - 1)
        self._aside.append(key)
        if len(self._aside) < MOST_SUSPECTS:
            return Verdict.SUSPECT
        self.forget()
        return Verdict.GIVE_UP

    @property
    def is_calm(self) -> bool:
        """Tell whether nothing is suspected at all."""
        return not (self._hangups or self.one_at_a_time)

    def went(self, keys: Sequence[Hashable]) -> bool:
        """Note what went; tell whether those kept aside are to wait again, to be tried once more."""
        for key in keys:
            self._on_trial.pop(key, None)
        self._give_up_on_trials(len(keys))
        self._left = max(0, self._left - len(keys))
        return self.proved()

    def proved(self) -> bool:
        """Note that the link works; tell whether those kept aside are to wait again, to be tried once more."""
        self._hangups = self._convicted = 0
        if not self._aside:
            return False
        self._on_trial.update(dict.fromkeys(self._aside, 1))
        self._others = 0
        self._aside.clear()
        return True

    def divided(self, parts: dict[Hashable, int]) -> None:
        """Try the parts of a message that was convicted, each with the hang-ups that convict it."""
        self._on_trial.update(parts)
        self._others = 0
        self._convicted -= 1  # that was a step to who is at fault, and there is only so many of them

    def _give_up_on_trials(self, others: int) -> None:
        if not self._on_trial:
            return
        self._others += others
        if self._others > MOST_OTHERS:  # they were dropped, or expired, or share a message with others now
            self._on_trial.clear()

    def forget(self) -> None:
        """Suspect nobody: what was suspected is not out any more, or nothing goes at all."""
        self._hangups = self._left = self._convicted = 0
        self._aside.clear()
        self._on_trial.clear()

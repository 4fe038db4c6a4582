"""What a broker's answer to one PUBLISH means in MQTT 5: it has the message, will never have it, or not now.

Owns the table of reason codes of a PUBACK. Knows nothing of connections or records. MQTT 3.1.1 has no such codes: there
a broker that does not want a message hangs up.

| code | name | what it says of the message | what follows |
|---|---|---|---|
| 0x00 | success | the broker has it | delivered |
| 0x10 | no matching subscribers | the broker has it, and nobody listens | delivered |
| 0x80 | unspecified error | nothing | it is tried again, and refused if it gets no other answer |
| 0x83 | implementation specific error | it is valid, and not wanted: perhaps now, perhaps ever | as 0x80 |
| 0x87 | not authorized | the policy forbids its topic | refused |
| 0x90 | topic name invalid | the broker does not take this topic | refused |
| 0x91 | packet identifier in use | nothing: the session is in disorder | in doubt: sent again, a possible twin |
| 0x97 | quota exceeded | nothing: too much, too fast | not taken: it waits, and is no twin |
| 0x99 | payload format invalid | its payload is not what it is said to be | refused |
| other | not in the standard | refused by a broker with a table of its own | refused |
"""

from __future__ import annotations

from collections.abc import Hashable

from weir.core.errors import NotTaken, RefusedByBroker

FAILURE = 0x80  # from here on a code says that something failed
_UNSPECIFIED, _IMPLEMENTATION_SPECIFIC, _IN_USE, _QUOTA = 0x80, 0x83, 0x91, 0x97

NAMES = {
    _UNSPECIFIED: "unspecified error",
    _IMPLEMENTATION_SPECIFIC: "implementation specific error",
    0x87: "not authorized",
    0x90: "topic name invalid",
    _IN_USE: "packet identifier in use",
    _QUOTA: "quota exceeded",
    0x99: "payload format invalid",
}

MOST_TRIES = 3  # so often may a broker refuse one message without saying why, before it is taken to mean the message
MOST_REMEMBERED = 2_048  # messages that were refused so; more than can be out


class InDoubt(Exception):
    """The answer says nothing of this message: it may be at the broker."""


class Answers:
    """Judges the answers of one connection object; used by one thread."""

    def __init__(self) -> None:
        """Begin with no message refused."""
        self._tries: dict[Hashable, int] = {}

    def judge(self, code: int | None, message: Hashable) -> Exception | None:
        """Give what to fail the operation with, None if the broker has the message.

        `code` is None for one that is not in the standard; `message` tells the message from others.
        """
        if code is not None and code < FAILURE:
            if self._tries:
                self._tries.pop(message, None)
            return None
        if code in (_UNSPECIFIED, _IMPLEMENTATION_SPECIFIC) and self._may_be_tried(message):
            return NotTaken(f"the broker refused it and does not say why: {text_of(code)}")
        if code == _QUOTA:
            return NotTaken(f"the broker did not take it: {text_of(code)}")
        if code == _IN_USE:
            return InDoubt(f"the broker did not answer for this message: {text_of(code)}")
        return RefusedByBroker(text_of(code))

    def _may_be_tried(self, message: Hashable) -> bool:
        tries = self._tries.pop(message, 0) + 1
        if tries >= MOST_TRIES:
            return False
        if len(self._tries) >= MOST_REMEMBERED:
            self._tries.pop(next(iter(self._tries)))  # the one that was refused longest ago
        self._tries[message] = tries
        return True


def text_of(code: int | None) -> str:
    """Write a reason code for people: its number, to search for, and its name."""
    return "a reason code that MQTT 5 does not know" if code is None else f"0x{code:02x} {NAMES.get(code, '')}".rstrip()

"""What a line of the key table is, and how it says what it allows.

Owns the shape of a key and the short forms the table is written in. It must not know any key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weir.core import topics
from weir.core.modes import MODE_NAMES
from weir.core.quoting import listed

Value = str | int | float | bool | None
Kind = Literal[
    "boolean",
    "character",
    "choice",
    "clientId",
    "host",
    "integer",
    "mode",
    "name",
    "number",
    "path",
    "pattern",
    "template",
    "topic",
]

# What a kind allows where neither a range nor choices say it.
FORMS: dict[str, str] = {
    "boolean": "true, false",
    "character": "one ASCII character, not a quote or a line end",
    "clientId": "1 to 128 bytes, with {thingName}",
    "host": "a host name or an address",
    "name": "1 to 128 of A-Z a-z 0-9 _ . : -",
    "path": "a path",
    "pattern": "a pattern for file names, without /",
    "topic": f"a topic of {topics.LIMITS}",
    "mode": ", ".join(f"{number} or {name}" for number, name in enumerate(MODE_NAMES)),
}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. A default of None is `none` for a key that may be none, else `null`: derived or absent."""

    path: str  # `*` stands for the name of a stream
    kind: Kind
    default: Value
    meaning: str
    unit: str = ""
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    or_none: bool = False

    @property
    def allowed(self) -> str:
        """Say what is allowed, as error lines and the README do."""
        if self.kind == "template":
            return f"a topic of {topics.LIMITS}; placeholders: {listed(topics.PLACEHOLDERS)}"
        text = FORMS.get(self.kind) or listed(self.choices) or f"{self.low} to {self.high}"
        return f"{text}, or none" if self.or_none else text


def text(path: str, kind: Kind, default: str | int | None, meaning: str, *, or_none: bool = False) -> Key:
    """Give a key whose kind says all there is to say."""
    return Key(path=path, kind=kind, default=default, meaning=meaning, or_none=or_none)


def choice(path: str, choices: tuple[str, ...], meaning: str) -> Key:
    """Give a key with a few allowed words, of which the first is the default."""
    return Key(path=path, kind="choice", default=choices[0], choices=choices, meaning=meaning)


def count(
    path: str, default: int | None, unit: str, span: tuple[int, int], meaning: str, *, or_none: bool = False
) -> Key:
    """Give a key for a whole number."""
    low, high = span
    return Key(
        path=path, kind="integer", default=default, unit=unit, low=low, high=high, meaning=meaning, or_none=or_none
    )


def size(path: str, default: int | None, most: int, meaning: str, *, or_none: bool = False) -> Key:
    """Give a key for a number of bytes."""
    return count(path, default, "bytes", (1, most), meaning, or_none=or_none)


def number(
    path: str, default: float | None, unit: str, span: tuple[float, float], meaning: str, *, or_none: bool = False
) -> Key:
    """Give a key for a number that may have a fraction."""
    low, high = span
    return Key(
        path=path, kind="number", default=default, unit=unit, low=low, high=high, meaning=meaning, or_none=or_none
    )

"""How a value of somebody else is shown in a line of ours: escaped, cut, and never a secret.

Owns the one way a value gets into an error line. It must not know what the value is for.
"""

from __future__ import annotations

LONGEST = 64  # characters of a value: a name of a stream is shown in full, and a line stays a line
LONGEST_PATH = 200  # characters of a path
LARGEST = 10**18  # beyond it the digits say nothing, and turning them into text may be refused by Python
PEM_MARK = "-----BEGIN"


def escaped(text: str, longest: int = LONGEST) -> str:
    """Give the text with everything a terminal could act upon escaped, cut to a sane length."""
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in shown)


def quoted(value: object) -> str:
    """Give a value as an error line shows it."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of more than 18 digits"
    if isinstance(value, (int, float)):
        return f"`{value}`"
    if not isinstance(value, str):
        return f"a value of the type {escaped(type(value).__name__)}"
    return "text in PEM form" if PEM_MARK in value else f"`{escaped(value)}`"


def listed(choices: tuple[object, ...]) -> str:
    """Give the allowed values as an error line shows them."""
    return ", ".join("null" if choice is None else escaped(str(choice)) for choice in choices)

"""One value of the configuration: from what somebody wrote to what the program uses.

Owns the conversion of a single value by the kind of its key. It must not know other keys: what two keys say together
is judged in `checks`.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from weir.core import topics
from weir.core.key import Key, Value
from weir.core.modes import MODE_NAMES
from weir.core.quoting import PEM_MARK, escaped, quoted

# A JSON number, short enough to be turned into one without harm. Greengrass may hand every number over as text.
NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,3})?")
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
DELIMITER = re.compile(r"[\t -!#-~]")  # ASCII without the quote and the line ends
NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MOST_HOST_CHARACTERS = 253
MOST_PATH_BYTES = 4095  # PATH_MAX of Linux without its final NUL
MOST_NAME_BYTES = 255  # NAME_MAX


class Unfit(Exception):
    """This value cannot be used; the text says why."""


def is_null(value: object) -> bool:
    """Say whether this stands for nothing at all; a recipe in YAML makes the word null a text."""
    return value is None or (isinstance(value, str) and value.strip().lower() == "null")


def convert(key: Key, value: object) -> Value:
    """Give the value of a key, or raise Unfit."""
    if is_null(value):
        return None if key.or_none else key.default
    if key.or_none and isinstance(value, str) and value.strip().lower() == "none":
        return None
    if isinstance(value, (dict, list, tuple)):
        raise Unfit(f"{quoted(value)} where a single value is expected (allowed: {key.allowed})")
    return CONVERSIONS[key.kind](key, value)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Give the word that was most likely meant, whatever its case and its punctuation."""
    plain = {_plain(candidate): candidate for candidate in words}
    close = difflib.get_close_matches(_plain(word[:100]), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return re.sub(r"[_\s-]", "", word).lower()


def _unfit(key: Key, value: object, what: str) -> Unfit:
    return Unfit(f"{quoted(value)} is {what} (allowed: {key.allowed})")


def _boolean(key: Key, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        raise _unfit(key, value, "neither true nor false")
    return word == "true"


def _as_number(value: object) -> int | float | None:
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        digits = value.strip()
        return int(digits) if digits.lstrip("+-").isdecimal() else float(digits)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None


def _in_range(key: Key, value: object, number: float) -> None:
    if not key.low <= number <= key.high:
        raise _unfit(key, value, "out of range")


def _number(key: Key, value: object) -> int | float:
    number = _as_number(value)
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        raise _unfit(key, value, "not a number")
    _in_range(key, value, number)
    return number


def _integer(key: Key, value: object) -> int:
    number = _as_number(value)
    # A configuration that went through JSON elsewhere may hold 5.0 for 5.
    if number is None or (isinstance(number, float) and not number.is_integer()):
        raise _unfit(key, value, "not a whole number")
    _in_range(key, value, number)
    return int(number)


def _choice(key: Key, value: object) -> str:
    if isinstance(value, str) and value.strip() in key.choices:
        return value.strip()
    raise Unfit(f"{quoted(value)} is not a choice{_hint(value, key.choices)} (allowed: {key.allowed})")


def _hint(value: object, choices: Iterable[str]) -> str:
    close = nearest(value, choices) if isinstance(value, str) else None
    return f"; nearest: {close}" if close else ""


def _mode(key: Key, value: object) -> int:
    if isinstance(value, str) and value.strip() in MODE_NAMES:
        return MODE_NAMES.index(value.strip())
    number = _as_number(value)
    if number is not None and number in range(len(MODE_NAMES)):
        return int(number)
    raise Unfit(f"{quoted(value)} is not a queue mode{_hint(value, MODE_NAMES)} (allowed: {key.allowed})")


def _text(key: Key, value: object) -> str:
    """Give any text; a whole number is what YAML makes of a name that is all digits."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else value
    if not isinstance(found, str):
        raise _unfit(key, value, "not text")
    if PEM_MARK in found:
        what = "a key" if "KEY-----" in found else "a certificate"
        raise Unfit(
            f"is the text of {what}, not {'a path' if key.kind == 'path' else 'a value'} (allowed: {key.allowed})"
        )
    if not found.strip():
        raise Unfit(f"is empty (allowed: {key.allowed})")
    if key.kind != "character" and topics.CONTROL.search(found):
        raise _unfit(key, value, "not printable text")
    return found


def _character(key: Key, value: object) -> str:
    if isinstance(value, str) and DELIMITER.fullmatch(value):
        return value
    raise _unfit(key, value, "not a delimiter")


def _name(key: Key, value: object) -> str:
    found = _text(key, value)
    if not NAME.fullmatch(found):
        raise _unfit(key, value, "not a name that fits a topic")
    return found


def _path(key: Key, value: object) -> str:
    found = _text(key, value)
    if len(found.encode()) > MOST_PATH_BYTES or any(len(name.encode()) > MOST_NAME_BYTES for name in found.split("/")):
        raise Unfit(f"is too long for a path (allowed: names of at most {MOST_NAME_BYTES} bytes)")
    return found


def _pattern(key: Key, value: object) -> str:
    found = _text(key, value)
    if "/" in found or len(found) > MOST_NAME_BYTES:
        raise _unfit(key, value, "not a pattern for file names")
    return found


def _host(key: Key, value: object) -> str:
    found = _text(key, value).strip()
    if "://" in found:
        rest = re.split(r"[/:]", found.split("://", 1)[1])[0]
        raise Unfit(
            f"{quoted(found)} is a URL (allowed: the host name alone, `{escaped(rest)}`; the port has its own key)"
        )
    if _is_address(found):
        return found
    host, colon, _ = found.partition(":")
    if colon and HOST_NAME.fullmatch(host):
        raise Unfit(
            f"{quoted(found)} holds a port (allowed: the host name alone, `{escaped(host)}`; the port has its own key)"
        )
    if len(found) > MOST_HOST_CHARACTERS or not HOST_NAME.fullmatch(found):
        raise _unfit(key, value, "not a host name")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


CONVERSIONS: dict[str, Callable[[Key, Any], Value]] = {
    "boolean": _boolean,
    "character": _character,
    "choice": _choice,
    "clientId": _text,
    "host": _host,
    "integer": _integer,
    "mode": _mode,
    "name": _name,
    "number": _number,
    "path": _path,
    "pattern": _pattern,
    "template": _text,
    "topic": _text,
}

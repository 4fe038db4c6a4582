"""Text that is safe to show: one line, no control characters, whatever it was made of.

Owns the escaping. Knows nothing of what is shown.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime, timezone

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, format (bidi too), surrogates, line breaks


def escaped(text: str) -> str:
    r"""Write what a terminal or a log reader would act on as \xNN, \uNNNN or \UNNNNNNNN."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - two bytes


def rfc3339(seconds: float | None) -> str | None:
    """Write a wall time as RFC 3339 in UTC, to the second; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """Write a duration as a person would: 41s, 2m44s, 3h12m."""
    whole = int(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"

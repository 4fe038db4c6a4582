"""Times as people read them.

Owns the two forms: a moment, and a duration. Knows nothing of what they are the times of.
"""

from __future__ import annotations

from datetime import datetime, timezone


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

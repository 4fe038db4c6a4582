"""The law and its counters.

    read = delivered + unconfirmed + handedOver + sum(dropped) + sum(quarantined) + pending

Owns the names of the counters, which of them the law sums, and the check. Knows nothing of where they are kept. Names
are those of the status document; every counter only grows within an epoch, `pending` is the only gauge.
"""

from __future__ import annotations

from collections.abc import Mapping

DROP_REASONS = ("queueFullFront", "queueFullBack", "expired")
QUARANTINE_REASONS = ("malformed", "tooLarge", "badTopic", "refused", "corrupt")

DROPPED = {reason: f"dropped.{reason}" for reason in DROP_REASONS}
QUARANTINED = {reason: f"quarantined.{reason}" for reason in QUARANTINE_REASONS}

ENDS = ("delivered", "unconfirmed", "handedOver", *DROPPED.values(), *QUARANTINED.values())
LAW = ("read", *ENDS, "pending")
BESIDE = (
    "replayed",
    "possibleTwins",
    "droppedAfterAttempt",
    "sourceTruncatedBytes",
    "sourceVanishedFiles",
    "sourceLateBytes",
    "sourceSkippedFiles",
)
MESSAGES = ("published", "acknowledged", "timedOut", "bytes")
COUNTERS = (*LAW, *BESIDE, *MESSAGES)

Counts = dict[str, int]


def zero() -> Counts:
    """Give every counter at zero."""
    return dict.fromkeys(COUNTERS, 0)


def add(counts: Counts, more: Mapping[str, int]) -> Counts:
    """Give the sum of two sets of counters."""
    return {name: counts[name] + more.get(name, 0) for name in counts}


def balanced(counts: Mapping[str, int]) -> bool:
    """Tell whether the law holds."""
    return counts["read"] == sum(counts[name] for name in ENDS) + counts["pending"]


def missing(counts: Mapping[str, int]) -> int:
    """Count the records that are read and unaccounted for; 0 where the law holds."""
    return counts["read"] - sum(counts[name] for name in ENDS) - counts["pending"]

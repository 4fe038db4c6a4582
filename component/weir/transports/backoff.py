"""How long to wait before the next attempt to connect. Pure: the randomness comes in as a number.

Knows nothing of connections. A thousand gateways that lose the same broker at the same moment must not all come back at
the same moment, so the wait is spread over everything between the shortest one and a ceiling that doubles with each
failure.
"""

from __future__ import annotations

_MOST_DOUBLINGS = 32  # any sensible ceiling is reached long before; keeps the power from overflowing


def delay(failures: int, minimum: float, maximum: float, fraction: float) -> float:
    """Give the seconds to wait after so many failures in a row; `fraction` (0 to 1) chooses between the bounds."""
    ceiling = min(maximum, minimum * 2.0 ** min(failures, _MOST_DOUBLINGS))
    return minimum + max(0.0, ceiling - minimum) * fraction

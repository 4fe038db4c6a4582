"""Waiting in tests: for a condition, never for a time.

The deadline is only there so that a broken program fails instead of hanging; it is generous, since a busy machine is
no fault of the program.
"""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.005


def eventually(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS, what: str = "") -> None:
    """Return once the condition holds; fail, naming `what`, when it does not within the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what or condition}")
        time.sleep(_LOOK_AGAIN_SECONDS)

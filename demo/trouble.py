"""What ends the demonstration early, and waiting that does so when nothing comes of it.

Every phase goes on once a condition holds, never after a time. The deadline is only there so that a program that hangs
becomes a sentence; it is generous, since a busy machine is no fault of the program.
"""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_SECONDS = 60.0


class Trouble(Exception):
    """The demonstration cannot go on, and this is why."""


def until(condition: Callable[[], object], what: str, *, every_seconds: float = 0.02) -> None:
    """Return once the condition holds; `what` says what is waited for."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Trouble(f"after {DEADLINE_SECONDS:g} seconds still not: {what}")
        time.sleep(every_seconds)

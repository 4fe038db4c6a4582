"""Starts `weir` with a wall clock that is set from outside: the real one plus the seconds that a file names.

Owns the replacement of the clock where the parts are put together. Only the wall clock jumps, not the monotonic one.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from weir.cli.main import main
from weir.forwarder.forwarder import Clock
from weir.wiring import assembly

VARIABLE = "TEST_CLOCK"  # the path of the file


def wall() -> float:
    """Give the wall time that the file makes it."""
    return time.time() + float(Path(os.environ[VARIABLE]).read_text() or 0)


if __name__ == "__main__":
    assembly.CLOCK = Clock(wall, time.monotonic)
    assembly.time = wall  # type: ignore[attr-defined]  # the name it is imported under
    sys.exit(main())

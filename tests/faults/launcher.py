"""`weir` in a world that is not quite this one: after another boot of the machine, or with a bug planted in it.

Owns what is changed before it starts, by the variables FAULT_BOOT and FAULT_BUG.
"""

from __future__ import annotations

import os
import sys

from tests.faults.planted import BUGS
from weir.cli.main import main
from weir.store import directory, opening, store


def another_boot(name: str) -> None:
    """Let the machine say that it was started since."""
    store.boot_id = opening.boot_id = directory.boot_id = lambda: name  # type: ignore[attr-defined]  # the name it is imported under


if __name__ == "__main__":
    if boot := os.environ.get("FAULT_BOOT"):
        another_boot(boot)
    if bug := os.environ.get("FAULT_BUG"):
        BUGS[bug]()
    sys.exit(main())

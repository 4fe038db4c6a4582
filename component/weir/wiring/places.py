"""The directories of its own that a run needs: its state, and the default inbox.

Owns that a disk which gives neither is waited for: a process that ends again and again is given up by its supervisor.
Knows nothing of what lies in them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from weir.core.errors import StoreFailed, StoreUnusable
from weir.core.settings import Settings
from weir.forwarder.health import Health
from weir.report.log import Log
from weir.store.directory import StateDirectory, own
from weir.wiring.assembly import default_inbox

LOCK_WAIT_SECONDS = 30.0
RETRY_SECONDS = 2.0


def take(settings: Settings, log: Log, *, patient: bool) -> StateDirectory:
    """Make what is missing and become the owner of the state; whoever is `patient` waits for the disk.

    It also waits for the rights on a state that is there. Raises `StateInUse`, and where it does not wait `StoreFailed`
    or `StoreUnusable`.
    """
    health = Health(log)
    while True:
        try:
            default_inbox(settings)
            directory = own(Path(settings.state.path), wait_seconds=LOCK_WAIT_SECONDS)
        except (StoreFailed, StoreUnusable) as error:
            if not patient or (isinstance(error, StoreUnusable) and not os.path.lexists(settings.state.path)):
                raise
            health.judge("storeFailing", time.time(), str(error), wrong=True)
            time.sleep(RETRY_SECONDS)
        else:
            health.judge("storeFailing", time.time(), "", wrong=False)
            return directory

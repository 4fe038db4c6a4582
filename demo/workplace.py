"""The demonstration's own temporary directory: made for this user alone, removed at the end if all went well."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from demo.telling import quote, say

LAST_LINES = 15


class Workplace:
    """One directory with everything in it: certificates, configuration, inbox, state and logs."""

    def __init__(self, *, keep: bool) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="weir-demo-"))  # mode 0700
        self.keep = keep
        self.inbox = self.path / "inbox"
        self.inbox.mkdir()
        self.configuration = self.path / "weir.yaml"
        self.forwarder_log = self.path / "weir.log"
        self.broker_log = self.path / "broker.log"

    def show_logs(self) -> None:
        """Print how the logs end, since the directory may be gone in a moment."""
        for log in (self.forwarder_log, self.broker_log):
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()
                say(f"\nThe end of {log.name}:")
                quote("\n".join(lines[-LAST_LINES:]))

    def close(self) -> None:
        if self.keep:
            say(f"\nKept, to be looked at: {self.path}")
            return
        shutil.rmtree(self.path, ignore_errors=True)

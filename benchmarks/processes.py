"""Processes that are measured, and what a process can tell of itself.

Owns starting, timing from outside, and the shape of what a child reports.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 900.0

_KIB_A_MIB = 1024


class Mark(NamedTuple):
    """A moment in the life of a process: monotonic seconds, and the CPU seconds it has used so far, system's too."""

    at: float
    cpu: float


class Report(NamedTuple):
    """What a child says at its end: its first publish, its last PUBACK, how many came, its largest memory in MiB."""

    first: Mark
    last: Mark
    acknowledged: int
    peak_mib: float


class Run(NamedTuple):
    """One measured process: its own report, and its whole life as seen from outside."""

    report: Report
    whole_seconds: float
    begun: float = 0.0  # monotonic seconds, as all of them are

    @property
    def start_seconds(self) -> float:
        """Give the time from the start of the process to the first publish."""
        return self.report.first.at - self.begun

    @property
    def seconds(self) -> float:
        """Give the time from the first publish to the last PUBACK."""
        return self.report.last.at - self.report.first.at

    @property
    def rate(self) -> float:
        """Give messages a second, from the first publish to the last PUBACK."""
        return self.report.acknowledged / self.seconds

    @property
    def whole_rate(self) -> float:
        """Give messages a second over the whole life of the process."""
        return self.report.acknowledged / self.whole_seconds

    @property
    def cpu_micros(self) -> float:
        """Give CPU microseconds a message, from the first publish to the last PUBACK."""
        return 1e6 * (self.report.last.cpu - self.report.first.cpu) / self.report.acknowledged


def mark() -> Mark:
    """Take the moment that is now."""
    return Mark(time.monotonic(), time.process_time())


def peak_mib(pid: int | str = "self") -> float:
    """Read the largest resident memory that a process has had since it was started."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / _KIB_A_MIB if found else 0.0


def python(module: str, *arguments: object) -> list[str]:
    """Give the command line that runs a module."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    """Give the environment of a device: none of ours that would change what is measured."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "WEIR_", "GG_", "PYTHON"))}


def measure(command: Sequence[str], report: Path, log: Path, more: Mapping[str, str] | None = None) -> Run:
    """Run a child that leaves a report, to its end, which must be a good one; `more` goes into its environment."""
    report.unlink(missing_ok=True)
    with log.open("wb") as output:
        begun = time.monotonic()
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment() | dict(more or {}),
            check=False,
            timeout=TIMEOUT_SECONDS,
        ).returncode
        whole = time.monotonic() - begun
    if code or not report.exists():
        raise RuntimeError(f"exit code {code}:\n{log.read_text(errors='replace')}")
    return Run(read_report(report), whole, begun)


def write_report(path: Path, report: Report) -> None:
    """Leave a report; called by the child."""
    path.write_text(json.dumps(report), encoding="utf-8")


def read_report(path: Path) -> Report:
    """Take a child's report."""
    first, last, acknowledged, peak = json.loads(path.read_text(encoding="utf-8"))
    return Report(Mark(*first), Mark(*last), acknowledged, peak)

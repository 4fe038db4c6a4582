"""What it costs to do nothing: a connection that is up, and a directory of files of which all is delivered."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gateway import Gateway
from benchmarks.processes import peak_mib
from benchmarks.work import Work
from benchmarks.workload import write_records

IDLE = "idle"
_FILES = (1, 1_000)
_DELIVERED_SECONDS = 60.0
_SETTLING_SECONDS = 5.0


def measure(work: Work) -> list[Figure]:
    """Measure with few files and with many; a round more than two tells nothing new."""
    figures: list[Figure] = []
    with work.broker(IDLE) as broker:
        for files in _FILES:
            gateway = Gateway(work.directory / f"{IDLE}-{files}", broker)
            inbox = gateway.directory / "inbox"
            inbox.mkdir()
            for number in range(files):
                write_records(inbox / f"{number}.jsonl", 1)
            values = [_watch(gateway, inbox, files, work.sizes.seconds) for _ in range(min(2, work.sizes.rounds))]
            work.say(f"{IDLE}: {files} files: {values[-1][0]:.2f} % CPU, {values[-1][1]:.1f} wake-ups a second")
            figures += [
                Figure(IDLE, f"{files:,} finished files: CPU of one core", "%", [cpu for cpu, _, _ in values]),
                Figure(IDLE, f"{files:,} finished files: wake-ups a second", "1/s", [woken for _, woken, _ in values]),
                Figure(IDLE, f"{files:,} finished files: resident memory", "MiB", [peak for _, _, peak in values]),
            ]
    return figures


def _watch(gateway: Gateway, inbox: Path, files: int, seconds: float) -> tuple[float, float, float]:
    """Wait until all is delivered, and then for so long; give per cent of a core, wake-ups a second, peak memory."""
    with gateway.running(["--watch", inbox]) as process:
        deadline = time.monotonic() + _DELIVERED_SECONDS
        while gateway.status()["records"]["delivered"] < files:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all of {files} files were delivered")
            time.sleep(0.2)
        time.sleep(_SETTLING_SECONDS)
        cpu, woken = used(process.pid)
        begun = time.monotonic()
        time.sleep(seconds)
        more_cpu, more_woken = used(process.pid)
        took = time.monotonic() - begun
        return 100 * (more_cpu - cpu) / took, (more_woken - woken) / took, peak_mib(process.pid)


def used(pid: int) -> tuple[float, int]:
    """Give the CPU seconds that all threads of a process have used, and how often one of them had waited."""
    cpu, woken = 0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        status = (task / "status").read_text(encoding="utf-8")
        woken += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return cpu / 1e9, woken

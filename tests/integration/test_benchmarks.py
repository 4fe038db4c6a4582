"""The benchmarks run, on little of everything; how fast is for people to read."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_figure_is_there() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert not done.returncode, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line][2:]
    assert Counter(row[0] for row in rows) == {
        "ceiling": 2,
        "directory": 6,
        "backlog": 6,
        "large": 8,
        "operation_queue": 9,
    }
    assert all(float(row[2].split()[0].replace(",", "")) > 0 for row in rows)
    aims = {row[1]: row[5] for row in rows if row[5]}
    assert aims == {
        "rate against the ceiling, first publish to last PUBACK": "at least 0.8",
        "peak resident memory, draining all of it": "at most 45",
        "peak resident memory, just started": "at most 45",
        "start to first message, after SIGKILL": "at most 0.5",
        "start to first message, after an orderly stop": "at most 0.5",
        "`weir status` against an empty store": "at most 1.5",
        "rate against the bare client, window 1": "at least 0.9",
        "rate against the bare client, window 10": "at least 0.9",
        "rate against the bare client, window 100": "at least 0.9",
    }
    assert "Measured on " in done.stdout

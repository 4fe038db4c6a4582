"""The benchmarks run, on little of everything; how fast is for people to read."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


# `peers` installs other clients, and `flash` needs a block device: these two are for people to run.
NAMES = ("messages", "batches", "pace", "scale", "streams", "large", "idle", "operation_queue")


def test_every_figure_is_there() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert not done.returncode, f"{done.stderr}{done.stdout}"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    tables = [len(list(table)) - 1 for head, table in groupby(rows, lambda row: row[0] == "figure") if not head]
    assert dict(zip(NAMES, tables, strict=True)) == {
        "messages": 8,
        "batches": 17,
        "pace": 10,
        "scale": 9,
        "streams": 11,
        "large": 8,
        "idle": 6,
        "operation_queue": 9,
    }
    figures = [row for row in rows if row[0] != "figure" and not row[0].startswith("-")]
    assert all(float(row[1].split()[0].replace(",", "")) >= 0 for row in figures)
    aims = {row[0]: row[4] for row in figures if row[4]}
    assert (
        aims.items()
        >= {
            "from a directory, rate": "at least 0.9",
            "from a stored backlog, rate": "at least 0.8",
            "lines from a directory, rate": "at least 20",
            "gzip 1 from a directory, rate": "at least 12",
            "lines from a stored backlog, rate": "at least 20",
            "seattle-weather, gzip: times the records": "at least 150",
            "seattle-weather, gzip: times fewer steps": "at least 150",
            "10,000 records: start to first publish": "at most 0.5",
            "10,000 records: peak resident memory": "at most 45",
            "10,000 records: peak resident memory, with all in flight that may be": "at most 45",
            "`weir status` against an empty store": "at most 1.5",
            "rate against the bare client, window 100": "at least 0.9",
        }.items()
    )
    assert done.stdout.count("`.venv/bin/python -m benchmarks ") == len(NAMES)

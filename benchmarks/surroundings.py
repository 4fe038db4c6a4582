"""What the figures were measured on, in general terms: no name of a machine, a person or a path."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.broker import mosquitto

_MIB = 1 << 20


def described(directory: Path) -> str:
    """Describe the machine, and the file system that the directory is on."""
    return ", ".join(_words(directory))


def _words(directory: Path) -> Iterator[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    yield f"{len(os.sched_getaffinity(0))} cores ({platform.machine()})"
    yield f"{memory / 1024:.0f} GiB of memory"
    yield f"Linux {'.'.join(platform.release().split('.')[:2])}"
    yield f"{_file_system(directory)} for state and input"
    yield f"Python {platform.python_version()}"
    yield f"SQLite {sqlite3.sqlite_version}"
    yield from (f"{name} {version(name)}" for name in ("awscrt", "msgspec", "weir"))
    yield f"mosquitto {_mosquitto_version()} on the same machine, mutual TLS over loopback"


def _file_system(directory: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [(len(point), kind) for point, kind in mounts if directory.is_relative_to(point)]
    return max(holding)[1] if holding else "an unknown file system"


def _mosquitto_version() -> str:
    told = subprocess.run([mosquitto(), "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", told)
    return found[1] if found else "of an unknown version"

"""The wheels of a release: the locked ones of every architecture and Python, and Weir's own.

Owns how they are had: pip downloads them by the lock, each checked against its hash, and hatchling builds ours so that
two builds give the same bytes. It must not know what becomes of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# By what a nucleus calls an architecture: what its wheels are called.
MACHINES = {"amd64": "x86_64", "aarch64": "aarch64"}
# The C libraries that wheels are taken for: glibc 2.17 to 2.28, which every distribution with such a Python has.
LIBRARIES = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
EPOCH = "1580601600"  # the time that hatchling gives files by itself; said here so that no environment changes it


class NotHad(Exception):
    """A wheel could not be downloaded or built."""


class _Wanted(NamedTuple):
    architecture: str
    python: str


def download(lock: Path, into: Path) -> dict[str, list[Path]]:
    """Give the locked wheels of every architecture, downloaded into directories of these names."""
    wanted = [_Wanted(architecture, python) for architecture in MACHINES for python in PYTHONS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda one: _download(one, lock, into), wanted):
            pass
    return {architecture: sorted((into / architecture).glob("*/*.whl")) for architecture in MACHINES}


def _download(wanted: _Wanted, lock: Path, into: Path) -> None:
    # A directory for each Python: two downloads at once must not write the same file.
    destination = into / wanted.architecture / wanted.python
    platforms = [f"--platform={library}_{MACHINES[wanted.architecture]}" for library in LIBRARIES]
    exact = ("--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={wanted.python}")
    _python(
        [*PIP, "download", *exact, *platforms, "--dest", str(destination), "--requirement", str(lock)],
        f"the wheels for {wanted.architecture} and Python {wanted.python} could not be downloaded",
    )


def build(root: Path, into: Path) -> Path:
    """Give the wheel of Weir itself."""
    into.mkdir()
    _python(["-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)], "no wheel of Weir", root)
    (wheel,) = into.glob("*.whl")
    return wheel


def _python(arguments: list[str], failure: str, directory: Path | None = None) -> None:
    environment: Mapping[str, str] = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    command = [sys.executable, *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter, with arguments made here
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotHad(f"{failure}: {said[-1] if said else 'no reason given'}")

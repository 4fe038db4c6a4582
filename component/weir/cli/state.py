"""How a command finds the state of a forwarder, running or not.

Owns the search for the state directory, and the choice between asking the forwarder that owns it and opening it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weir.control.protocol import Message, ask
from weir.core.errors import StateInUse, StoreUnusable, UsageError, WeirError
from weir.store.directory import DATABASE, own
from weir.store.store import Store

ANSWER_SECONDS = 5.0
WORK_PATHS = ("/greengrass/v2/work/io.weir.Forwarder/state", "/var/lib/greengrass/work/io.weir.Forwarder/state")


class Degraded(WeirError):
    """The forwarder that runs cannot answer this just now, and says why."""

    exit_code = 3


def state_directory(given: str | None) -> Path:
    """Find the state directory and say on stderr which one it is."""
    path = _find(given)
    print(f"state: {path}", file=sys.stderr)
    return path


def _find(given: str | None) -> Path:
    if given is not None:
        return Path(given).absolute()
    if named := os.environ.get("WEIR_STATE"):
        return Path(named).absolute()
    here = Path("weir-state").absolute()
    return next((path for path in (here, *map(Path, WORK_PATHS)) if (path / DATABASE).exists()), here)


def ask_owner(path: Path, request: Message) -> Message | None:
    """Ask the forwarder that owns the state; None if there is none."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        answer = ask(path, request)
        if answer is not None:
            if "degraded" in answer:
                raise Degraded(f"{answer['degraded']}: {answer['error']}")
            if "error" in answer:
                raise UsageError(str(answer["error"]))
            return answer
        if not _owned(path):
            return None
        if time.monotonic() >= deadline:
            raise StateInUse(f"the process that owns {path} does not answer; try again, or look at its log")
        time.sleep(0.05)


def ask_or_read(path: Path, request: Message, read: Callable[[], Message]) -> Message:
    """Ask the forwarder that owns the state; where there is none, read the state. One may start in between."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        answer = ask_owner(path, request)
        try:
            return answer or read()
        except StateInUse:
            if time.monotonic() >= deadline:
                raise


def _owned(path: Path) -> bool:
    if not (path / DATABASE).exists():
        return False
    try:
        own(path, wait_seconds=0).close()
    except StateInUse:
        return True
    return False


@contextmanager
def opened(path: Path) -> Iterator[Store | None]:
    """Open the state, to read from it; None if there is none. Raises `StateInUse` where somebody owns it."""
    if not path.is_dir() or not (path / DATABASE).exists():
        yield None
        return
    if not os.access(path, os.W_OK):
        raise StoreUnusable(f"state directory {path} cannot be read by this user; use sudo, or its own user")
    directory = own(path, wait_seconds=0)
    try:
        store = Store(directory, time.time, mend=False)
        try:
            yield store
        finally:
            store.close()
    finally:
        directory.close()

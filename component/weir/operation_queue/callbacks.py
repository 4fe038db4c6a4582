"""What a program is told, and how a callback of it is called.

Owns the shapes of the callbacks and what happens when one raises: it is logged, and the queue goes on. Never called
under a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from weir.core.ports import Statistics
from weir.operation_queue.operations import Operation

_log = logging.getLogger(__name__)

_RAISED = "a callback of the operation queue raised; the queue goes on"


class Callbacks(NamedTuple):
    """What the program wants to hear; None is nothing."""

    sent: Callable[[Operation], object] | None = None
    acknowledged: Callable[[Operation, Any], object] | None = None
    failed: Callable[[Operation, BaseException], object] | None = None
    dropped: Callable[[Operation], object] | None = None
    full: Callable[[Operation], object] | None = None
    empty: Callable[[], object] | None = None
    leak: Callable[[Statistics], object] | None = None


def call(callback: Callable[..., object] | None, *arguments: object) -> None:
    """Call it, if there is one. What it raises is its own affair: no operation may be lost over it."""
    if callback is None:
        return
    try:
        callback(*arguments)
    except Exception:  # noqa: BLE001 - a program's function may raise anything
        _log.exception(_RAISED)


def call_each(callback: Callable[..., object] | None, arguments: Iterable[tuple[Any, ...]]) -> None:
    """Call it with each of these in turn, as `call` does."""
    if callback is None:
        return
    rest = iter(arguments)
    done = False
    while not done:
        try:
            for these in rest:
                callback(*these)
            done = True
        except Exception:  # noqa: BLE001 - as above
            _log.exception(_RAISED)

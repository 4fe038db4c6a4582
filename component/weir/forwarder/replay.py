"""A replay: records on their way from quarantine back into the line of their stream.

Owns which of them may go in now. Knows nothing of the store; the next commit takes them out of the quarantine and into
the backlog in one transaction, and only then do they wait in the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weir.core.line import Line
from weir.core.quarantine import QUEUE_FULL, Kept
from weir.core.span import RECORD_OVERHEAD, Span


class Staged(NamedTuple):
    """What the next commit takes out of the quarantine, by its numbers, and puts into one line."""

    spans: list[Span]
    numbers: list[int]
    holds: bool  # what does not fit stays in quarantine; else the queue's mode drops to make room


NOTHING = Staged([], [], holds=True)


def choose(kept: Sequence[Kept], line: Line, record_bytes: int, *, holds: bool) -> tuple[list[Kept], dict[int, str]]:
    """Choose which records may go into a line now; for the others say why not, by number."""
    chosen: list[Kept] = []
    refused: dict[int, str] = {}
    room = line.room()
    free = None if line.max_bytes is None else line.max_bytes - line.bytes
    for one in kept:
        size = len(one.body) + RECORD_OVERHEAD
        if len(one.body) > record_bytes:
            refused[one.number] = f"{len(one.body)} bytes, a message of this connection can carry {record_bytes}"
        elif line.max_bytes is not None and size > line.max_bytes:
            refused[one.number] = f"{size} bytes in the queue, queue.maxBytes is {line.max_bytes}"
        elif holds and (room < 1 or (free is not None and size > free)):
            refused[one.number] = QUEUE_FULL
        else:
            chosen.append(one)
            room -= 1
            free = None if free is None else free - size
    return chosen, refused


def by_stream(kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    """Sort records by their streams."""
    sorted_: dict[str, list[Kept]] = {}
    for one in kept:
        sorted_.setdefault(one.stream, []).append(one)
    return sorted_


def refuse_all(kept: Sequence[Kept], why: str) -> dict[int, str]:
    """Refuse these records for one reason."""
    return dict.fromkeys((one.number for one in kept), why)

"""The six queue modes: where a new record enters and what happens when the queue is full.

Owns the names and what each means for the line of spans. Knows nothing of records.

The line is kept in order of arrival. A mode that enters at the back takes from the old end; one that enters at the
front takes from the new end. Dropping at the front means the end that is taken from, dropping at the back the other
one. So a mode is two answers: which end is taken from, and which end is cut when there is no room.

Numbers follow the written description of the operation queue; the program once shipped beside it numbered 1 and 3 the
other way round.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class End(Enum):
    """An end of the line, by age of arrival."""

    OLD = "old"
    NEW = "new"


class Mode(NamedTuple):
    """What a mode means: the end it takes from, and the end it cuts when full (None: the caller keeps the record)."""

    name: str
    take: End
    cut: End | None
    reason: str | None  # how a drop by this mode is counted


MODES = (
    Mode("back/drop-back", End.OLD, End.NEW, "queueFullBack"),
    Mode("front/drop-back", End.NEW, End.OLD, "queueFullBack"),
    Mode("front/drop-front", End.NEW, End.NEW, "queueFullFront"),
    Mode("back/drop-front", End.OLD, End.OLD, "queueFullFront"),
    Mode("back/return-error", End.OLD, None, None),
    Mode("front/return-error", End.NEW, None, None),
)
MODE_NAMES = tuple(mode.name for mode in MODES)

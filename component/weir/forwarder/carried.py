"""What outlives the books of a stream when the store failed under them.

Owns what can be read again and what cannot. A directory is read again, but nobody says again what was counted beside
the law; what was read from a pipe, or from a file that is gone, is nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

from weir.core.accounting import Counts
from weir.core.changes import Files, Loss, SetAside
from weir.core.ports import SourceCounts
from weir.core.positions import FilePosition
from weir.core.span import Span


class Carried(NamedTuple):
    """What books knew and did not commit."""

    commit: int  # the number of the last commit that is known to be made
    sequence: int
    beside: Counts
    noticed: SourceCounts  # by a source that ended with the books, since it was last asked
    spans: list[Span]
    arrival: Span | None
    set_aside: list[SetAside]
    losses: list[Loss]
    settled: dict[FilePosition, int]  # files that are gone, up to where something of them was settled
    unfinished: dict[int, int]  # files that are to be read further, by inode, with their size
    files: tuple[FilePosition, ...] = ()  # once they are recovered: those that are gone, which no source knows


def is_gone(file: FilePosition | None) -> bool:
    """Tell whether what was read cannot be read again: its file is gone for good, or there was only a pipe."""
    return file is None or file.gone_since is not None


def recover(carried: Carried, known: Files) -> Carried:
    """Let what was carried be of the files as the store knows them, or of new ones; they leave what is `known`.

    All that was read of a file is settled or carried, so nothing of it is to be read again.
    """
    files = _Files(known)
    for span in carried.spans:
        span.file = files.of(span.file, span.extent(0, len(span))[1])
    if carried.arrival is not None:
        carried.arrival.file = files.of(carried.arrival.file, carried.arrival.offset)
    for lost, end in carried.settled.items():
        files.of(lost, end)
    set_aside = [
        entry._replace(reject=entry.reject._replace(file=files.of(entry.reject.file, entry.reject.end)))
        for entry in carried.set_aside
    ]
    return carried._replace(set_aside=set_aside, files=files.found())


class _Files:
    """The positions of files that are gone, by those that other books had of them."""

    def __init__(self, known: Files) -> None:
        self._known = known
        self._by_lost: dict[FilePosition, FilePosition] = {}

    def of(self, lost: FilePosition | None, read_to: int) -> FilePosition | None:
        if lost is None:
            return None  # there was only a pipe
        if lost not in self._by_lost:
            self._by_lost[lost] = self._known.take(lost.identity) or lost.as_new()
        file = self._by_lost[lost]
        file.gone_since, file.vanished = lost.gone_since, True
        file.account(0, read_to)
        return file

    def found(self) -> tuple[FilePosition, ...]:
        return tuple(self._by_lost.values())

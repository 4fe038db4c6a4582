"""What outlives the books of a stream when the store failed under them.

Owns what can be read again and what cannot, and the rows of files that are gone. A directory is read again, but nobody
says again what was counted beside the law; what was read from a pipe, or from a file that is gone, is nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

from weir.core.accounting import Counts
from weir.core.changes import Loss, SetAside
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


def is_gone(file: FilePosition | None) -> bool:
    """Tell whether what was read cannot be read again: its file is gone for good, or there was only a pipe."""
    return file is None or file.gone_since is not None


class Recovered:
    """Files that are gone and of which something was carried: each has a row of its own now.

    Whether its old row was ever written is not known, and no source gives its position any more. All that was read of
    it is settled or carried, so nothing of it is read again should it come back.
    """

    def __init__(self) -> None:
        self._by_lost: dict[FilePosition, FilePosition] = {}

    def changed(self) -> list[FilePosition]:
        """List the positions that differ from their rows."""
        return [file for file in self._by_lost.values() if file.changed]

    def arrive(self, span: Span) -> None:
        """Take in a span that is not admitted yet."""
        span.file = self._file(span.file, span.offset)

    def take(self, span: Span) -> None:
        """Take in a span that was admitted; what is settled of it is counted, or was delivered."""
        span.file = self._file(span.file, span.extent(0, len(span))[1])
        span.wait_again()

    def set_aside(self, entry: SetAside) -> SetAside:
        reject = entry.reject
        return entry._replace(reject=reject._replace(file=self._file(reject.file, reject.end)))

    def _file(self, lost: FilePosition | None, read_to: int) -> FilePosition | None:
        if lost is None:
            return None
        file = self._by_lost.setdefault(lost, lost.with_own_row())
        file.account(0, read_to)
        return file

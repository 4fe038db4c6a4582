"""Copies that a rotation leaves of a log before it truncates it (`copytruncate`).

Owns telling that a file is such a copy, how far it was read already as the log itself, and for how long one is looked
for. Knows nothing of scans or turns.

A copy is the file that was truncated, under another inode: with its name and a number or a date behind it, the same
head, the same bytes before the place reading stood at, and made before the truncation was noticed. Whatever fails to
prove that makes it a file of its own, read from its start: rather twins than loss, and these are counted as possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from weir.core.positions import RUNG_HASH_BYTES, FilePosition, Rung
from weir.sources.formats import WHOLE
from weir.sources.identity import CHANGED, birth_time, head_matches, tail_of
from weir.sources.packed import is_packed
from weir.sources.recognise import Found, begin, count_all, count_records

# app.log.1, app.log-20260131, app.log-20260131-1769817600, app-20260131.log, app.1.log
_ROTATED: Final = re.compile(rb"(.+?)[.-][0-9][0-9.-]*(\.[A-Za-z]\w*)?", re.DOTALL)
_NANOSECONDS: Final = 1_000_000_000


class Taken(NamedTuple):
    """A generation of a log, how far it was read, the hash of the bytes before that, and where reading stood before."""

    position: FilePosition
    read_to: int
    tail: bytes
    marks: tuple[Rung, ...] = ()

    def note_tail(self) -> None:
        """Keep the hash with the position once that has come as far."""
        if self.position.changed and not self.position.tail and self.position.position == self.read_to:
            self.position.tail = self.tail


def original_of(name: bytes) -> bytes | None:
    """Give the name a log had that was copied to this name, None if this is no name of a copy."""
    match = _ROTATED.fullmatch(name)
    return None if match is None else match[1] + (match[2] or b"")


def recognise_copy(found: Found, stream: int, generations: Iterable[Taken]) -> FilePosition | None:
    """Give where to go on in a copy, None if it is not one of any of these generations of the log."""
    taken = next((each for each in _older(found, generations) if is_copy(found, each)), None)
    return None if taken is None else _go_on(found, stream, taken)


def count_twins(found: Found, generations: Iterable[Taken]) -> int:
    """Count the records that may have been read as a generation of the log, in a file that is no proven copy of one."""
    return max((_count_shared(found, taken) for taken in _older(found, generations)), default=0)


def _older(found: Found, generations: Iterable[Taken]) -> list[Taken]:
    """Choose the generations that a file can be a copy of: it was made before they were gone."""
    over = [taken for taken in generations if taken.position.gone_since is not None]
    birth = birth_time(found.fd)
    if birth is not None:
        return [taken for taken in over if birth <= _gone_since(taken) * _NANOSECONDS]
    return sorted(over, key=_gone_since)[-1:]  # it can only be of the last one


def _gone_since(taken: Taken) -> float:
    return taken.position.gone_since or 0.0


def _count_shared(found: Found, taken: Taken) -> int:
    known = taken.position
    if not taken.read_to or not head_matches(found.fd, known.head, known.head_length):
        return 0
    if is_packed(known.position) or known.format in WHOLE:
        return count_all(found, known)
    return count_records(found.fd, 0, min(taken.read_to, found.size))


def is_copy(found: Found, taken: Taken) -> bool:
    """Tell whether all that is known of a generation is true of a file as well."""
    known = taken.position
    if not known.head_length or known.format in WHOLE or is_packed(known.position):
        return False
    if not head_matches(found.fd, known.head, known.head_length):
        return False
    marks = (*known.rungs, *taken.marks)
    if taken.read_to <= found.size:
        is_telling = taken.tail not in {b"", CHANGED}
        marks = (*marks, Rung(taken.read_to, taken.tail[:RUNG_HASH_BYTES]))
    else:  # what the log got once the copy was made was read as well
        marks = tuple(mark for mark in marks if mark.at <= found.size)
        is_telling = any(mark.at > known.head_length for mark in marks)
    return is_telling and all(tail_of(found.fd, mark.at)[:RUNG_HASH_BYTES] == mark.tail for mark in marks)


def may_become_copy(found: Found, known: FilePosition, read_to: int) -> bool:
    """Tell whether a file begins like a log, and is not even as long as what was read of that: it is still copied."""
    return found.size < read_to and bool(known.head_length) and head_matches(found.fd, known.head, known.head_length)


def _go_on(found: Found, stream: int, taken: Taken) -> FilePosition:
    position = begin(found, stream, birth_time(found.fd), 0)
    position.format = taken.position.format
    position.position = min(taken.read_to, found.size)
    position.tail = tail_of(found.fd, position.position)
    position.beyond = [part for part in taken.position.beyond if taken.read_to < part[0] and part[1] <= found.size]
    return position


class _Loss(NamedTuple):
    original: bytes
    scan: int  # it was noticed in this one, or after it
    lost_bytes: int


class Copies:
    """What truncations took before it was read, for as long as a copy may have it, and copies still being made."""

    def __init__(self) -> None:
        """Look for none."""
        self._losses: list[_Loss] = []
        self._growing: dict[int, tuple[int, float]] = {}  # by inode: a size, and since when it has it

    def look_for(self, original: bytes, scan: int, lost_bytes: int) -> None:
        """Look for the copy of a log that was truncated: it was there before that, so the next full scan shows it."""
        self._losses.append(_Loss(original, scan, lost_bytes))

    def seeks(self, name: bytes) -> bool:
        """Tell whether a file of this name may be one that is looked for."""
        return bool(self._losses) and original_of(name) in {loss.original for loss in self._losses}

    def found(self, original: bytes, rest_bytes: int) -> int:
        """Take note that a copy has so many bytes that were not read yet; give how many are lost all the same."""
        for number, loss in enumerate(self._losses):
            if loss.original == original:
                del self._losses[number]
                return max(0, loss.lost_bytes - rest_bytes)
        return 0

    def give_up(self, scan: float) -> int:
        """Look no further for what the scan that ends has not shown; give how many bytes are lost."""
        over = [loss for loss in self._losses if loss.scan < scan]
        self._losses = [loss for loss in self._losses if loss.scan >= scan]
        return sum(loss.lost_bytes for loss in over)

    def grows(self, found: Found, now: float, seconds: float) -> bool:
        """Tell whether a file has changed in so many seconds, by the looks that ask this of it."""
        size, since = self._growing.get(found.inode, (-1, now))
        if size != found.size:
            since = now
        self._growing[found.inode] = (found.size, since)
        return now - since < seconds

    def forget(self, inode: int) -> None:
        self._growing.pop(inode, None)

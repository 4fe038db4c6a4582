"""Whether a file is one that is known, and where to go on in it.

Owns the rule of identity. Knows nothing of scans, turns or records. In doubt a file is read again from its start:
rather twins than loss.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from weir.core.positions import FilePosition
from weir.sources.identity import birth_time, head_matches, head_of, tail_matches, tail_of


class Recognised(NamedTuple):
    """Where to go on, which known positions this file has nothing to do with, and the bytes it lost."""

    position: FilePosition
    others: list[FilePosition]
    lost_bytes: int


class Found(NamedTuple):
    """A file that is open here, under this name."""

    fd: int
    inode: int
    size: int
    name: bytes


def recognise(found: Found, stream: int, known: Sequence[FilePosition], *, same_boot: bool) -> Recognised:
    """Find which of the known positions of this inode, if any, is of this file."""
    birth = birth_time(found.fd)
    kin = [each for each in known if None in {each.birth, birth} or each.birth == birth]
    last = max(kin, key=lambda each: each.generation, default=None)
    if last is not None:
        proven = birth is not None and last.birth == birth
        # Without a birth time a head alone proves nothing: files of one kind begin alike.
        if (proven or last.tail or not last.position) and is_intact(
            found.fd, last, read_to=last.reach, tail=last.tail, tail_at=last.position
        ):
            others = [each for each in known if each is not last]
            return Recognised(last, others, 0)
        if not same_boot and proven and _is_cut_off(found, last):
            cut_off = _at_end(found, last)
            return Recognised(cut_off, list(known), last.reach - found.size)
    position = _begin(found, stream, birth, last.generation + 1 if last else 0)
    return Recognised(position, list(known), 0)


def is_intact(fd: int, known: FilePosition, *, read_to: int, tail: bytes, tail_at: int) -> bool:
    """Tell whether a file still is what was read of it: as long at least, with the same head and the same tail."""
    return (
        os.fstat(fd).st_size >= read_to
        and head_matches(fd, known.head, known.head_length)
        and tail_matches(fd, tail, tail_at)
    )


def _is_cut_off(found: Found, last: FilePosition) -> bool:
    """Tell whether a file is the beginning of what it was, and not what a writer that truncated it began anew."""
    if found.size >= last.reach or not last.head_length or not head_matches(found.fd, last.head, last.head_length):
        return False
    return found.size < last.position or tail_matches(found.fd, last.tail, last.position)


def _begin(found: Found, stream: int, birth: int | None, generation: int) -> FilePosition:
    head, length = head_of(found.fd)
    position = FilePosition(
        stream=stream,
        name=found.name,
        inode=found.inode,
        birth=birth,
        head=head,
        head_length=length,
        generation=generation,
        fmt="",
    )
    position.changed = True
    return position


def _at_end(found: Found, last: FilePosition) -> FilePosition:
    """Go on at the end of a file that lost its tail in a power cut.

    As a new generation: what is written there now are new records, which must not have the ids of the lost ones.
    """
    position = _begin(found, last.stream, last.birth, last.generation + 1)
    position.format = last.format
    position.position = min(last.position, found.size)
    position.beyond = [(low, min(high, found.size)) for low, high in last.beyond if low < found.size]
    position.tail = tail_of(found.fd, position.position)
    return position


def next_generation(found: Found, old: FilePosition) -> FilePosition:
    """Begin again with a file that was truncated or rewritten under our eyes."""
    return _begin(found, old.stream, old.birth, old.generation + 1)

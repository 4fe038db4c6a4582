"""Whether a file is one that is known, and where to go on in it.

Owns the rule of identity. Knows nothing of scans, turns or records. In doubt a file is read again from its start:
rather twins than loss.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from weir.core.positions import PACKED, RUNG_HASH_BYTES, FilePosition, Rung
from weir.sources.formats import FILE, JSON, WHOLE
from weir.sources.identity import TAIL_BYTES, birth_time, head_matches, head_of, tail_matches, tail_of
from weir.sources.lines import BLOCK
from weir.sources.packed import Unpacker, is_packed, read_size

_READ_BYTES: Final = 1 << 20


class Recognised(NamedTuple):
    """Where to go on, and which known positions this file has nothing to do with.

    Of a file that lost its end also how many bytes that were, and how many records at most are read once more.
    """

    position: FilePosition
    others: list[FilePosition]
    lost_bytes: int = 0
    twins: int = 0


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
        is_same = (proven or last.tail or not last.position) and is_intact(
            found.fd, last, read_to=last.reach, tail=last.tail, tail_at=last.position
        )
        if is_same and not has_outgrown(found.fd, last, read_to=last.reach, tail=last.tail):
            others = [each for each in known if each is not last]
            return Recognised(last, others)
        if not is_same and not same_boot and last.head_length and head_matches(found.fd, last.head, last.head_length):
            return _after_power_cut(found, last, list(known))
    position = begin(found, stream, birth, last.generation + 1 if last else 0)
    return Recognised(position, list(known))


def is_intact(fd: int, known: FilePosition, *, read_to: int, tail: bytes, tail_at: int) -> bool:
    """Tell whether a file still is what was read of it: as long at least, with the same head and the same tail."""
    return (
        os.fstat(fd).st_size >= read_size(read_to, tail)
        and head_matches(fd, known.head, known.head_length)
        and tail_matches(fd, tail, tail_at)
    )


def has_outgrown(fd: int, known: FilePosition, *, read_to: int, tail: bytes) -> bool:
    """Tell whether a file that was taken as one record is longer than that by now, and so another record."""
    if known.format != FILE or read_to in {0, PACKED} or (is_packed(read_to) and not tail):
        return False
    return os.fstat(fd).st_size != read_size(read_to, tail)


def _after_power_cut(found: Found, last: FilePosition, known: list[FilePosition]) -> Recognised:
    """Go on where the file is proven to be what was read, or at its start where that is nowhere.

    A power cut takes the end of a file that nobody has synced, and its writer may have written on since. But a writer
    may have begun the file anew as well, with the same first line. The rungs tell the two apart. What lies above the
    highest one that holds may be old or new, so it is read, as a new generation: what is written there now are new
    records, which must not have the ids of the lost ones.
    """
    if is_packed(last.position) or last.format in WHOLE:  # one document, or bytes that depend on all before them
        twins = count_all(found, last)
        return Recognised(begin(found, last.stream, last.birth, last.generation + 1), known, 0, twins)
    rungs = [*last.rungs, Rung(last.position, last.tail[:RUNG_HASH_BYTES])] if last.tail else last.rungs
    ats = [rung.at for rung in rungs if rung.at > last.head_length and _holds(found, rung)]
    at = max((at for at in ats if _is_telling(found.fd, at)), default=0)
    # From here on it is not the old one.
    end = min((rung.at for rung in rungs if rung.at > at and rung.at not in ats), default=last.reach)
    position = begin(found, last.stream, last.birth, last.generation + 1)
    twins = _count_settled(found, last, at, min(end, found.size))
    if not at:
        return Recognised(position, known, 0, twins)
    position.format = last.format
    position.position = at
    position.tail = tail_of(found.fd, at)
    position.rungs = [rung for rung in last.rungs if rung.at < at]
    return Recognised(position, known, max(0, last.reach - found.size), twins)


def _holds(found: Found, rung: Rung) -> bool:
    return rung.at <= found.size and tail_of(found.fd, rung.at)[:RUNG_HASH_BYTES] == rung.tail


def _is_telling(fd: int, at: int) -> bool:
    """Tell whether the bytes before a rung are of this place only: a file of nothing but equal lines proves nothing."""
    block = os.pread(fd, BLOCK, max(0, at - BLOCK))[:at]
    return block.find(block[-TAIL_BYTES:]) == max(0, len(block) - TAIL_BYTES)


def _count_settled(found: Found, last: FilePosition, begin: int, end: int) -> int:
    """Count the records in a part of the file of which the known position says that they are accounted for."""
    runs = ((max(low, begin), min(high, end)) for low, high in ((0, last.position), *last.beyond))
    return sum(count_records(found.fd, low, high) for low, high in runs if low < high)


def count_records(fd: int, begin: int, end: int) -> int:
    """Count the lines in a part of a file, with one that has no end yet; blank lines count as well."""
    lines, last = 0, b"\n"
    while begin < end and (data := os.pread(fd, min(_READ_BYTES, end - begin), begin)):
        lines, last = lines + data.count(b"\n"), data[-1:]
        begin += len(data)
    return lines + (last != b"\n")


def count_all(found: Found, last: FilePosition) -> int:
    """Count what may be records in all of a file that was begun already: lines, and what commas part in a document."""
    if last.reach in {0, PACKED}:
        return 0
    if last.format == FILE:
        return 1
    parts, at, unpacker = 1, 0, Unpacker() if is_packed(last.position) else None
    while True:
        if unpacker is None:
            data = os.pread(found.fd, _READ_BYTES, at)
        else:
            while not unpacker.reach(found.fd, at, _READ_BYTES):
                pass
            data = unpacker.read(at, _READ_BYTES)
        if not data:
            return parts
        parts += data.count(b"\n") + (data.count(b",") if last.format == JSON else 0)
        at += len(data)


def begin(found: Found, stream: int, birth: int | None, generation: int) -> FilePosition:
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


def next_generation(found: Found, old: FilePosition) -> FilePosition:
    """Begin again with a file that was truncated or rewritten under our eyes."""
    return begin(found, old.stream, old.birth, old.generation + 1)

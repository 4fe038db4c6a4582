"""Positions that need nothing now, kept small: a hundred thousand files that are done cost some thirty megabytes.

Owns the packed form of a position. Knows nothing of the directory itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from weir.core.positions import RUNG_HASH_BYTES, FilePosition, Rung
from weir.sources.packed import is_packed, read_size

UNSEEN: Final = -1  # as a modification time: not looked at by this process yet

# position, modification time, where the name begins; then: unchanged since, missing since, birth, row, generation,
# head, head length, tail, format, length of the name, number of ranges beyond. Rungs, name and ranges follow.
_FIRST: Final = Struct("<QqH")
_HEADER: Final = Struct("<QqHddqQI17pH17p8pHI")
_TAIL: Final = 10
_RUNG: Final = Struct(f"<Q{RUNG_HASH_BYTES}s")
_NEVER: Final = -1.0
_NO_BIRTH: Final = -(1 << 63)


class Kept(NamedTuple):
    """A position with what the last look at its file showed."""

    position: FilePosition
    mtime: int
    since: float


def pack(position: FilePosition, *, mtime: int = UNSEEN, since: float = 0.0) -> bytes:
    ranges = array("Q", [edge for pair in position.beyond for edge in pair])
    rungs = b"".join(_RUNG.pack(*rung) for rung in position.rungs)
    header = _HEADER.pack(
        position.position,
        mtime,
        _HEADER.size + len(rungs),
        since,
        _NEVER if position.gone_since is None else position.gone_since,
        _NO_BIRTH if position.birth is None else position.birth,
        position.number,
        position.generation,
        position.head,
        position.head_length,
        position.tail,
        position.format.encode(),
        len(position.name),
        len(position.beyond),
    )
    return header + rungs + position.name + ranges.tobytes()


def unpack(entries: bytes, stream: int, inode: int) -> Iterator[Kept]:
    """Give the positions of one inode, in the order they were put here."""
    start = 0
    while start < len(entries):
        (at, mtime, name_at, since, gone, birth, number, generation, head, length, tail, fmt, named, beyond) = (
            _HEADER.unpack_from(entries, start)
        )
        rungs = entries[start + _HEADER.size : start + name_at]
        start += name_at
        position = FilePosition(
            stream=stream,
            name=entries[start : start + named],
            inode=inode,
            birth=None if birth == _NO_BIRTH else birth,
            head=head,
            head_length=length,
            generation=generation,
            fmt=fmt.decode(),
            number=number,
        )
        start += named
        edges = array("Q", entries[start : start + 16 * beyond])
        start += 16 * beyond
        position.position = at
        position.beyond = list(zip(edges[::2], edges[1::2], strict=True))
        position.tail = tail
        position.rungs = [Rung(*rung) for rung in _RUNG.iter_unpack(rungs)]
        position.gone_since = None if gone == _NEVER else gone
        yield Kept(position, mtime, since)


def count(entries: bytes) -> int:
    """Count the positions of one inode, without unpacking them."""
    number = start = 0
    while start < len(entries):
        _, _, name_at, *_, named, beyond = _HEADER.unpack_from(entries, start)
        start += name_at + named + 16 * beyond
        number += 1
    return number


def matches(entry: bytes, name: bytes, size: int, mtime: int) -> bool:
    """Tell, without unpacking, whether this is one position, fully read, and its file looks as it did."""
    if not entry.endswith(name):
        return False
    at, seen, name_at = _FIRST.unpack_from(entry)
    if is_packed(at):
        at = read_size(at, _HEADER.unpack_from(entry)[_TAIL])
    return (at, seen, name_at) == (size, mtime, len(entry) - len(name))


def unchanged_since(entry: bytes) -> float:
    return float(_HEADER.unpack_from(entry)[3])

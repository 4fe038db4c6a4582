"""Positions that need nothing now, kept small: a hundred thousand files that are done cost some fifteen megabytes.

Owns the packed form of a position. Knows nothing of the directory itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from weir.core.positions import RUNG_HASH_BYTES, FilePosition, Rung
from weir.sources.formats import CSV, FILE, JSON, JSONL, LINES
from weir.sources.packed import is_packed, read_size

UNSEEN: Final = -1  # as a modification time: not looked at by this process yet

# position, modification time, where the name begins; then: since when it is unchanged, or gone, birth, row, generation,
# head, head length, tail, what of it there is, format, length of the name, number of ranges beyond. Rungs, name and
# ranges follow.
_FIRST: Final = Struct("<QqH")
_HEADER: Final = Struct("<QqHdqQI16sH16sBBHI")
_SINCE: Final = 3
_TAIL: Final = 9
_IS_GONE: Final = 1
_HAS_TAIL: Final = 2
_FORMATS: Final = ("", JSONL, LINES, CSV, JSON, FILE)
_RUNG: Final = Struct(f"<Q{RUNG_HASH_BYTES}s")
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
        since if position.gone_since is None else position.gone_since,
        _NO_BIRTH if position.birth is None else position.birth,
        position.number,
        position.generation,
        position.head,
        position.head_length,
        position.tail,
        (_IS_GONE if position.gone_since is not None else 0) | (_HAS_TAIL if position.tail else 0),
        _FORMATS.index(position.format),
        len(position.name),
        len(position.beyond),
    )
    return header + rungs + position.name + ranges.tobytes()


def unpack(entries: bytes, stream: int, inode: int) -> Iterator[Kept]:
    """Give the positions of one inode, in the order they were put here."""
    start = 0
    while start < len(entries):
        (at, mtime, name_at, since, birth, number, generation, head, length, tail, flags, fmt, named, beyond) = (
            _HEADER.unpack_from(entries, start)
        )
        rungs = entries[start + _HEADER.size : start + name_at]
        start += name_at
        position = FilePosition(
            stream=stream,
            name=entries[start : start + named],
            inode=inode,
            birth=None if birth == _NO_BIRTH else birth,
            head=head if length else b"",
            head_length=length,
            generation=generation,
            fmt=_FORMATS[fmt],
            number=number,
        )
        start += named
        edges = array("Q", entries[start : start + 16 * beyond])
        start += 16 * beyond
        position.position = at
        position.beyond = list(zip(edges[::2], edges[1::2], strict=True))
        position.tail = tail if flags & _HAS_TAIL else b""
        position.rungs = [Rung(*rung) for rung in _RUNG.iter_unpack(rungs)]
        is_gone = flags & _IS_GONE
        position.gone_since = since if is_gone else None
        yield Kept(position, mtime, 0.0 if is_gone else since)


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
    return float(_HEADER.unpack_from(entry)[_SINCE])

"""A write-ahead log that stands in for a damaged one, so that more can be read with it.

SQLite ends at the first frame whose checksum is wrong, since each one goes on from that of the frame before. As read,
with the checksum that the frame before carries, nearly all frames after a damaged one are whole. The stand-in has them
all, with checksums made anew, and where the pages with the schema are damaged others in their place: of a database of
this version they are always the same.

Owns the form of the log. What stands in is only ever read, and what is read is checked row by row.
"""

from __future__ import annotations

import sqlite3
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from weir.store.schema import PAGE_BYTES as PAGE

HEADER = struct.Struct(">8I")  # magic, version, size of a page, checkpoints, two salts, two sums
FRAME = struct.Struct(">6I")  # page, pages of the database after a commit, two salts, two sums
MAGIC = 0x377F0682  # sums over little-endian words; one more: over big-endian ones
VERSION = 3_007_000

Sums = tuple[int, int]


class Schema(NamedTuple):
    """Where the tables of a database begin, and the pages that say so, by number."""

    roots: dict[str, int]
    pages: dict[int, bytes]


def schema_of(fresh: sqlite3.Connection) -> Schema:
    """Take the schema from a database that was just made, and is not in a log."""
    roots = roots_of(fresh)
    content = Path(fresh.execute("PRAGMA database_list").fetchone()[2]).read_bytes()
    numbers = range(1, len(content) // PAGE + 1)
    return Schema(roots, {n: content[(n - 1) * PAGE : n * PAGE] for n in numbers if n not in roots.values()})


def roots_of(database: sqlite3.Connection) -> dict[str, int]:
    """Say where the tables and indexes begin."""
    return dict(database.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall())


class Frame(NamedTuple):
    """One page as a log has it; `commit` is the size of the database in pages if it is the last of a commit, else 0."""

    page: int
    commit: int
    content: bytes


def stand_in(path: Path, log: Path, graft: Mapping[int, bytes]) -> None:
    """Write a log for the database at `path`: what can be used of its own one, and then the pages to graft."""
    own = Path(f"{path}-wal")
    frames = list(_frames(own.read_bytes())) if own.exists() else []
    pages = max(frames[-1].commit if frames else 0, path.stat().st_size // PAGE)
    if graft:
        frames += [Frame(number, 0, content) for number, content in graft.items()]
        frames[-1] = frames[-1]._replace(commit=pages)
    if frames:
        log.touch(0o600)
        log.write_bytes(b"".join(_written(frames)))


def grafts(schema: Schema, pages: int) -> dict[int, bytes]:
    """Give the pages of the schema for a database of so many pages, of which none is free."""
    first = bytearray(schema.pages[1])
    first[28:32] = pages.to_bytes(4, "big")
    first[32:40] = bytes(8)  # no list of free pages
    first[92:96] = first[24:28]  # the size above is valid
    return {**schema.pages, 1: bytes(first)}


def _frames(content: bytes) -> Iterator[Frame]:
    """Give the frames up to the last commit that is whole, but for those that do not say of which page they are."""
    little = content[:4] != (MAGIC + 1).to_bytes(4, "big")
    salts, sums = _salts(content)
    found: list[Frame] = []
    for start in range(HEADER.size, len(content) - FRAME.size - PAGE + 1, FRAME.size + PAGE):
        page, commit, *of_frame, first, second = FRAME.unpack_from(content, start)
        if tuple(of_frame) != salts:
            continue
        body = content[start + FRAME.size : start + FRAME.size + PAGE]
        whole = _sums(content[start : start + 8] + body, sums, little=little) == (first, second)
        sums = first, second
        if whole or 0 < page <= len(content):
            found.append(Frame(page, commit if whole else 0, body))
        if whole and commit:
            yield from found
            found = []


def _salts(content: bytes) -> tuple[Sums, Sums]:
    """Give the salts of a log and the sums of its header; those of the first frame where the header is damaged."""
    if len(content) < HEADER.size + FRAME.size:
        return (0, 0), (0, 0)
    *_, salt, other, first, second = HEADER.unpack_from(content)
    little = content[:4] != (MAGIC + 1).to_bytes(4, "big")
    if _sums(content[:24], (0, 0), little=little) != (first, second):
        _, _, salt, other, *_ = FRAME.unpack_from(content, HEADER.size)
    return (salt, other), (first, second)


def _written(frames: list[Frame]) -> Iterator[bytes]:
    salts = (1, 2)
    head = HEADER.pack(MAGIC, VERSION, PAGE, 0, *salts, 0, 0)[:24]
    sums = _sums(head, (0, 0), little=True)
    yield head + struct.pack(">2I", *sums)
    for frame in frames:
        start = struct.pack(">2I", frame.page, frame.commit)
        sums = _sums(start + frame.content, sums, little=True)
        yield start + struct.pack(">4I", *salts, *sums) + frame.content


def _sums(content: bytes, sums: Sums, *, little: bool) -> Sums:
    """Go on with the two sums of a log."""
    words = array("I", content)
    if little != (sys.byteorder == "little"):
        words.byteswap()
    first, second = sums
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second

"""How spans, positions and counters lie in rows.

Owns the encoding both ways. Knows nothing of transactions.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from weir.core.accounting import COUNTERS, Counts
from weir.core.changes import SetAside
from weir.core.positions import FilePosition, Rung
from weir.core.span import Span
from weir.store.schema import SEQ_MASK, STREAM_SHIFT

Row = Sequence[Any]


def chunk_id(stream: int, seq: int) -> int:
    """Give the row id of a span."""
    return stream << STREAM_SHIFT | seq


def chunk_row(stream: int, span: Span) -> Row:
    """Give the row of a span: id, n, file, offset, at, crc, ends, extents, body."""
    return (
        chunk_id(stream, span.seq),
        len(span),
        span.file.number if span.file else 0,
        span.offset,
        span.at,
        span.checksum(),
        array("I", span.ends).tobytes(),
        None if span.extents is None else span.extents.tobytes(),
        span.body,
    )


def cut_row(stream: int, span: Span, generation: int) -> Row:
    """Give the row that says what of a span is gone: id, removed, settled, attempts, generation."""
    return (chunk_id(stream, span.seq), span.settled, json.dumps(span.settled_runs()), span.attempts, generation)


def span_of(row: Row, find: Callable[[int], FilePosition | None]) -> Span | None:
    """Make the span of a chunk row joined with its cut; None where the row is not what was written."""
    identity, count, file, offset, at, crc, ends, extents, body, settled, attempts = row
    try:
        span = Span(
            body=body,
            ends=array("Q", array("I", ends)),
            offset=offset,
            at=at,
            file=find(file) if file else None,
            extents=None if extents is None else array("Q", extents),
        )
        span.seq = identity & SEQ_MASK
        if span.checksum() != crc or len(span) != count:
            return None
        span.settle_runs(json.loads(settled) if settled else ())
    except (ValueError, TypeError, IndexError):
        return None
    span.stored = True
    span.counted = span.settled
    span.counted_bytes = span.left_bytes()
    span.attempts = attempts or 0
    return span


def hot_position(file: FilePosition) -> list[Any]:
    """Give what changes often of a position, as it lies in its stream's row."""
    return [file.number, file.position, file.tail.hex(), file.beyond, _rungs(file)]


def set_hot_position(file: FilePosition, hot: Sequence[Any]) -> None:
    """Take over what the stream's row says of a position."""
    _, file.position, tail, beyond, rungs = hot
    file.tail = bytes.fromhex(tail)
    file.beyond = [(low, high) for low, high in beyond]
    _set_rungs(file, rungs)


def _rungs(file: FilePosition) -> list[Any]:
    return [[rung.at, rung.tail.hex()] for rung in file.rungs]


def _set_rungs(file: FilePosition, rungs: Iterable[Sequence[Any]]) -> None:
    file.rungs = [Rung(at, bytes.fromhex(tail)) for at, tail in rungs]


def file_row(file: FilePosition) -> Row:
    """Give the row of a file, without its id."""
    return (
        file.stream,
        file.name,
        file.inode,
        file.birth,
        file.head,
        file.head_length,
        file.generation,
        file.format,
        file.gone_since,
        file.position,
        file.tail,
        json.dumps(file.beyond),
        json.dumps(_rungs(file)),
    )


def file_of(row: Row) -> FilePosition:
    """Make the position of a file row."""
    number, stream, name, inode, birth, head, head_length, generation, fmt, gone, position, tail, beyond, rungs = row
    file = FilePosition(
        stream=stream,
        name=name,
        inode=inode,
        birth=birth,
        head=head,
        head_length=head_length,
        generation=generation,
        fmt=fmt,
        number=number,
    )
    file.gone_since = gone
    file.position, file.tail = position, tail
    file.beyond = [(low, high) for low, high in json.loads(beyond)]
    _set_rungs(file, json.loads(rungs))
    return file


def quarantine_row(stream: int, entry: SetAside, kept: bytes) -> Row:
    """Give the row of a record that was set aside; `kept` is what there is room for of it."""
    reject = entry.reject
    return (
        entry.record,
        stream,
        entry.at,
        reject.reason,
        reject.detail,
        entry.topic,
        reject.file.number if reject.file else 0,
        reject.file.name if reject.file else b"",
        reject.begin,
        reject.size,
        reject.digest,
        zlib.crc32(kept),
        kept,
    )


def counts_of(values: Row) -> Counts:
    """Name the counters of a row, which lie in the order of `COUNTERS`."""
    return dict(zip(COUNTERS, values, strict=True))

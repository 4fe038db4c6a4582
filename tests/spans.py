"""Spans made by hand."""

from __future__ import annotations

from array import array

from weir.core.positions import FilePosition
from weir.core.span import Span


def make_span(
    records: list[bytes],
    *,
    offset: int,
    at: float,
    read_at: float | None = None,
    file: FilePosition | None = None,
    extents: array[int] | None = None,
) -> Span:
    """Build a span from records, as if they had been read one after the other."""
    ends = array("Q")
    total = 0
    for record in records:
        total += len(record) + 1
        ends.append(total)
    body = b"\n".join(records) + b"\n" if records else b""
    return Span(body=body, ends=ends, offset=offset, at=at, read_at=read_at, file=file, extents=extents)

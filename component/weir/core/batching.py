"""Batching: which records share a message, how they are laid out in it, and how well it is filled.

Owns the two layouts, what each can frame, and the estimate of what compression makes of records. Knows nothing of
topics, queues or brokers. A message is made of runs of records as they lie in their spans, so that most of the work is
done for a run and not for each record.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from weir.core.messages import JSON_FORMATS
from weir.core.span import Span

Layout: TypeAlias = Literal["lines", "array"]

LAYOUTS: tuple[Layout, ...] = ("lines", "array")
SEPARATOR_BYTES = 1  # a newline, or a comma
BRACKETS_BYTES = 2
GZIP = 31  # zlib's window bits for a gzip header and trailer; its time stays 0, so that equal records give equal bytes
CAREFUL = 0.95  # of what an estimate promises, since a message that turns out too large is compressed twice
MOST_UNPACKED_BYTES = 2 << 20  # of a message before it is compressed: while it is out its records are in memory
FAST, DENSE = 1, 6  # levels: 2.4 times the CPU time for a sixth fewer bytes

WITHOUT_NEWLINES = frozenset({"jsonl", "lines", "csv"})  # a record of these never holds one


def frames(layout: str, record_format: str, *, enveloped: bool) -> bool:
    """Tell whether a reader can take a message apart again that holds records of this format in this layout.

    An array takes JSON only. Lines take what holds no newline: an envelope writes text and binary data without any,
    but leaves a JSON document as it is.
    """
    if layout == "array":
        return enveloped or record_format in JSON_FORMATS
    return record_format in WITHOUT_NEWLINES or (enveloped and record_format not in JSON_FORMATS)


class Slice(NamedTuple):
    """The records [low, high) of a span."""

    span: Span
    low: int
    high: int


class Gathered(NamedTuple):
    """Records that may share a message, in the order in which they go."""

    slices: list[Slice]
    records: int
    full: bool  # no more may join them


Runs: TypeAlias = Callable[[Span], Iterable[tuple[int, int]]]  # which waiting records of a span may go, in their order


def gather(
    spans: Iterable[Span], runs: Runs, *, most_records: int, most_bytes: int, framed: Callable[[Span], bool]
) -> Gathered:
    """Take records, as many as fit; the first of them always does.

    `most_bytes` is for the records and what separates them. A span that is not `framed` gives a record that is alone.
    """
    slices: list[Slice] = []
    records = size = 0
    for span in spans:
        alone = not framed(span)
        if alone and slices:
            return Gathered(slices, records, full=True)
        for low, end in runs(span):
            begin = span.ends[low - 1] if low else 0
            most = min(end, low + (1 if alone else most_records - records))
            high = bisect_right(span.ends, begin + most_bytes + SEPARATOR_BYTES - size, low, most)
            high = max(high, low + (not slices))
            if high > low:
                slices.append(Slice(span, low, high))
                records += high - low
                size += span.ends[high - 1] - begin
            if alone or high < end or records >= most_records:
                return Gathered(slices, records, full=True)
    return Gathered(slices, records, full=False)


def first(slices: Sequence[Slice], records: int) -> list[Slice]:
    """Give the first so many records of some."""
    chosen: list[Slice] = []
    for span, low, high in slices:
        if records <= 0:
            break
        chosen.append(Slice(span, low, min(high, low + records)))
        records -= high - low
    return chosen


def body(slices: Sequence[Slice], layout: Layout) -> bytes:
    """Lay records out as they are: one a line, without a newline at the end, or as the elements of an array."""
    if layout == "array":
        return array(record for span, low, high in slices for record in span.payloads(low, high))
    return b"\n".join([span.lines(low, high) for span, low, high in slices])


def lines(payloads: Iterable[bytes]) -> bytes:
    """Lay payloads out one a line."""
    return b"\n".join(payloads)


def array(payloads: Iterable[bytes]) -> bytes:
    """Lay JSON payloads out as the elements of an array."""
    return b"[" + b",".join(payloads) + b"]"


def compressed(payload: bytes, level: int) -> bytes:
    """Make one gzip member of a payload."""
    gzip = zlib.compressobj(level, zlib.DEFLATED, GZIP)
    return gzip.compress(payload) + gzip.flush()


class Filling:
    """Says how many bytes of records fill a message, by what compression and envelopes made of those before."""

    _WEIGHT = 0.25  # of the last message in the estimate

    def __init__(self, ratio: float) -> None:
        """Begin with a guess; one that is too large makes a first message that is not quite full."""
        self._ratio = ratio

    def budget(self, most_bytes: int) -> int:
        """Say how many bytes of records to take for a message of so many bytes."""
        return max(1, min(MOST_UNPACKED_BYTES, int(most_bytes * CAREFUL / self._ratio)))

    def fewer(self, records: int, packed: int, most_bytes: int) -> int:
        """Say how many of the first of so many records to try instead, if those came to too many bytes."""
        return max(1, min(records - 1, int(records * CAREFUL * most_bytes / packed)))

    def learn(self, raw: int, packed: int, most_bytes: int) -> None:
        """Take note of what became of one message; where it is more than was thought it counts at once.

        One that is small for the bytes that a message may have, and was not meant to fill it, says little.
        """
        if packed <= most_bytes // 4 and raw < self.budget(most_bytes) // 2:
            return
        ratio = packed / max(1, raw)
        self._ratio = ratio if ratio > self._ratio else self._ratio + self._WEIGHT * (ratio - self._ratio)

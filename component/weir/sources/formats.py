"""Which format a file has, and whether a record is one of it.

Owns the choice by name and by first bytes, and the check of one record. Knows nothing of files, offsets or spans.
A record is checked and never changed here: what passes goes on byte for byte.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

JSONL: Final = "jsonl"
LINES: Final = "lines"
CSV: Final = "csv"
JSON: Final = "json"
FILE: Final = "file"
WHOLE: Final = frozenset({JSON, FILE})  # nothing of such a file is read before it is settled

BLANKS: Final = b" \t\r"  # a line of nothing else is not a record
GZIP_MAGIC: Final = b"\x1f\x8b"

_ROTATED = re.compile(rb"(\.gz|\.[0-9]+|-[0-9]{8})$", re.IGNORECASE)
_BY_SUFFIX: Final = {b".jsonl": JSONL, b".ndjson": JSONL, b".csv": CSV, b".json": JSON}

_decode: Callable[[bytes], Any] = msgspec.json.Decoder(msgspec.Raw).decode
# msgspec's own wording, without the start that says nothing beyond our "malformed".
_PREFIX: Final = "JSON is malformed: "


def by_name(name: bytes) -> str:
    """Choose by the name alone, without what a rotation appends to it. `json` still needs a look at its lines."""
    stem = name
    while (match := _ROTATED.search(stem)) and match.start() > 0:
        stem = stem[: match.start()]
    dot = stem.rfind(b".")
    return _BY_SUFFIX.get(stem[dot:].lower(), LINES) if dot >= 0 else LINES


def is_compressed(start: bytes, *, settled: bool) -> bool | None:
    """Tell by its first bytes whether a file is compressed, whatever its name; None while it is too early to tell."""
    if start.startswith(GZIP_MAGIC):
        return True
    if len(start) < len(GZIP_MAGIC) and GZIP_MAGIC.startswith(start) and not settled:
        return None
    return False


def choose(configured: str, name: bytes, start: bytes, *, settled: bool) -> str | None:
    """Choose the format of a file, given how it (or what it unpacks to) begins; None while it is too early to tell."""
    wanted = by_name(name) if configured == "auto" else configured
    if wanted == JSON and configured == "auto":
        return _lines_or_document(start, settled=settled)
    return wanted


def _lines_or_document(start: bytes, *, settled: bool) -> str | None:
    first, newline, rest = start.lstrip(BLANKS + b"\n").partition(b"\n")
    if newline and rest.strip(BLANKS + b"\n"):
        return JSONL if fault(JSONL, first) is None else JSON
    if newline and fault(JSONL, first) is not None:
        return JSON  # the value goes on after its first line
    return JSON if settled else None  # a second line may still come


def passes(fmt: str, lines: Iterable[bytes], body: bytes) -> bool:
    """Check all records of a block at once, quickly; which one is at fault is then a matter for `fault`."""
    if fmt == LINES:
        return True
    try:
        deque(map(_decode, lines), maxlen=0)
        if not body.isascii():
            body.decode()  # Raw leaves the insides of strings alone, so bytes that are not UTF-8 pass it
    except (ValueError, RecursionError):
        return False
    return True


def fault(fmt: str, record: bytes) -> str | None:
    """Say what is wrong with one record and where, without repeating any of it; None if nothing is."""
    if fmt == LINES:
        return None
    try:
        _decode(record)
        record.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start})"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return str(error).removeprefix(_PREFIX)
    return None

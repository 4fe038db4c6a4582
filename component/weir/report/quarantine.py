"""The quarantine for people and for programs: the document of an entry, its line, and its bytes.

Owns the form. Knows nothing of where the entries come from. Nothing of a record reaches a terminal as it is.
"""

from __future__ import annotations

import base64
import codecs
import os
from collections.abc import Iterable, Iterator
from typing import Any

from weir.core.positions import PACKED
from weir.core.quarantine import Entry
from weir.core.quoting import escaped
from weir.report.times import rfc3339

Document = dict[str, Any]

LONGEST_LINE = 1_000  # characters of a line that says what an entry is
HEX_WIDTH = 16
TEXT_CONTROLS = frozenset("\t\n\r")  # a text may hold these; with any other one the record is shown as binary

HEADER = (
    f"{'id':>7}  {'time':<20}  {'reason':<9}  {'size':>9}  {'kept':>9}  {'replay':<6}  stream  topic  place  detail"
)


def document(entry: Entry) -> Document:
    """Make the document of an entry; `place` is a byte offset, or a number in order for a pipe, None for a replay.

    In a compressed file it is an offset among what that unpacks to.
    """
    return {
        "id": entry.number,
        "record": entry.record.hex(),
        "stream": entry.stream,
        "time": rfc3339(entry.at),
        "reason": entry.reason,
        "detail": entry.detail,
        "topic": entry.topic,
        "file": os.fsdecode(entry.file) or None,
        "place": entry.place % PACKED if entry.place >= 0 else None,
        "unpacked": entry.place >= PACKED,
        "size": entry.size,
        "kept": entry.kept,
        "replayable": entry.obstacle is None,
        "obstacle": entry.obstacle,
    }


def line(entry: Document) -> str:
    """Write an entry as one line below the header."""
    told = (
        f"{entry['id']:>7}  {entry['time']:<20}  {entry['reason']:<9}  {entry['size']:>9}  {entry['kept']:>9}"
        f"  {'yes' if entry['replayable'] else 'no':<6}"
        f"  {entry['stream']}  {entry['topic'] or '-'}  {_place(entry)}  {entry['detail']}"
    )
    return escaped(told, LONGEST_LINE)


def footer(held: Document) -> str:
    """Say how much is held, and what is only counted."""
    if not (held["entries"] or held["notKept"]):
        return "nothing is in quarantine"
    told = f"{held['entries']:,} in quarantine, {held['bytes']:,} bytes"
    if held["notKept"]:
        told += f"; {held['notKept']:,} more were counted but not kept: it was full (state.quarantineMaxBytes)"
    return told


def _place(entry: Document) -> str:
    if entry["place"] is None:
        return "replayed"
    if not entry["file"]:
        return f"record {entry['place']}"
    return f"{entry['file']}:{entry['place']}" + (" unpacked" if entry["unpacked"] else "")


def shown(entry: Document, kept: bytes) -> Iterator[str]:
    """Write an entry in full: what is known of it, then its bytes."""
    names = ("id", "stream", "time", "reason", "detail", "topic")
    for name, value in (*((name, entry[name]) for name in names), ("from", _place(entry)), ("record", entry["record"])):
        yield escaped(f"{name:<8} {value}", LONGEST_LINE)
    yield f"{'size':<8} {entry['size']:,} bytes, {entry['kept']:,} kept"
    yield f"{'replay':<8} {'can be replayed' if entry['replayable'] else 'cannot be replayed: ' + entry['obstacle']}"
    yield ""
    yield from content(kept, whole=entry["kept"] == entry["size"])


def content(kept: bytes, *, whole: bool) -> Iterable[str]:
    """Write bytes as escaped text if that is what they are, else in hexadecimal; the last letter may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(kept, final=whole)
    except UnicodeDecodeError:
        return hexadecimal(kept)
    if any(letter < " " and letter not in TEXT_CONTROLS for letter in text):
        return hexadecimal(kept)
    return (f"  {escaped(part, len(part))}" for part in text.split("\n"))


def hexadecimal(kept: bytes) -> Iterator[str]:
    """Write bytes as offset, hexadecimal and what of it is ASCII."""
    for offset in range(0, len(kept), HEX_WIDTH):
        part = kept[offset : offset + HEX_WIDTH]
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)  # noqa: PLR2004 - ASCII
        yield f"  {offset:08x}  {part.hex(' '):<{3 * HEX_WIDTH - 1}}  {letters}"


def with_bytes(entry: Document, kept: bytes) -> Document:
    """Add what was kept to the document of an entry."""
    return {**entry, "bytes": base64.b64encode(kept).decode()}

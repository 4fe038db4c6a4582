"""The status document, and the tables that people read.

Owns the form of what `weir status` and `weir losses` say. Knows nothing of where the figures come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from weir import __version__
from weir.core import accounting
from weir.core.accounting import BESIDE, DROP_REASONS, DROPPED, MESSAGES, QUARANTINE_REASONS, QUARANTINED, Counts
from weir.core.quoting import escaped
from weir.core.view import StreamView, View
from weir.report.times import duration, rfc3339

LONGEST_MESSAGE = 4_096  # bytes
LONGEST_LINE = 1_000  # characters: what is longer is cut, not wrapped

Document = dict[str, Any]


def totals(view: View) -> Counts:
    """Give the counters of all streams together."""
    counts = accounting.zero()
    for stream in view.streams.values():
        counts = accounting.add(counts, stream.counts)
    return counts


def document(view: View, wall: float) -> Document:
    """Make the status document of the contract."""
    counts = totals(view)
    held = next((stream.held_by for stream in view.streams.values() if stream.held_by), None)
    return {
        "version": __version__,
        "epoch": view.epoch,
        "epochSince": rfc3339(view.epoch_since),
        "running": view.state != "stopped",
        "pid": view.pid,
        "thingName": view.thing_name,
        "state": view.state,
        "heldBy": view.held_by,
        "sourceHeldBy": held,
        "transport": view.transport,
        "updated": rfc3339(view.updated),
        "degraded": [
            {"reason": one.reason, "since": rfc3339(one.since), "remedy": one.remedy} for one in view.degraded
        ],
        "records": _records(counts, sum(stream.in_flight for stream in view.streams.values())),
        "beside": _beside(counts, view),
        "source": {
            "bytesUnread": sum(stream.bytes_unread for stream in view.streams.values()),
            "filesWaiting": sum(stream.files_waiting for stream in view.streams.values()),
        },
        "messages": {name: counts[name] for name in MESSAGES},
        "storeBytesWritten": view.bytes_written,
        "duplicateBound": view.duplicate_bound,
        "oldestPendingSeconds": None if view.oldest_at is None else max(0, round(wall - view.oldest_at)),
        "streams": {name: _stream(stream) for name, stream in view.streams.items()},
    }


def message(status: Document, most: int) -> bytes:
    """Write a status document as a message of at most 4 KB, or of at most `most` bytes if that is less.

    What does not fit is left out, detail first, and `truncated` says so.
    """
    limit = min(LONGEST_MESSAGE, most)
    without_detail = [{**one, "remedy": ""} for one in status["degraded"]]
    made = b""
    shorter: tuple[Document, ...] = ({}, {"streams": {}}, {"streams": {}, "degraded": without_detail})
    for left_out in shorter:
        shown = {**status, **left_out, **({"truncated": True} if left_out else {})}
        made = json.dumps(shown, separators=(",", ":")).encode()
        if len(made) <= limit:
            break
    return made


def _records(counts: Counts, in_flight: int) -> Document:
    dropped = {reason: counts[DROPPED[reason]] for reason in DROP_REASONS}
    quarantined = {reason: counts[QUARANTINED[reason]] for reason in QUARANTINE_REASONS}
    return {
        **{name: counts[name] for name in ("read", "delivered", "unconfirmed", "handedOver", "pending")},
        "inFlight": in_flight,
        "dropped": dropped,
        "quarantined": quarantined,
        "droppedTotal": sum(dropped.values()),
        "quarantinedTotal": sum(quarantined.values()),
        "balanced": accounting.balanced(counts),
    }


def _beside(counts: Counts, view: View) -> Document:
    beside = {name: counts[name] for name in BESIDE}
    beside["possibleTwins"] += view.possible_twins
    return {**beside, "stateLost": view.state_lost}


def _stream(stream: StreamView) -> Document:
    return {
        "records": _records(stream.counts, stream.in_flight),
        "queueRecords": stream.queue_records,
        "queueBytes": stream.queue_bytes,
        "mode": stream.mode,
        "orphaned": stream.orphaned,
    }


def table(status: Document) -> str:
    """Write a status document for a person at a terminal."""
    records = status["records"]
    sign = "=" if records["balanced"] else "≠"
    lines = [
        (
            f"weir {status['version']}  {status['state']}{_because(status)}  thing {status['thingName'] or '-'}"
            f"  epoch {(status['epoch'] or '-')[:8]}"
        ),
        "",
        (
            f"  read {records['read']:,} {sign} delivered {records['delivered']:,}"
            f" + unconfirmed {records['unconfirmed']:,} + handed over {records['handedOver']:,}"
            f" + dropped {records['droppedTotal']:,} + quarantined {records['quarantinedTotal']:,}"
            f" + pending {records['pending']:,}"
        ),
        "",
        *_rows(_stream_rows(status)),
        "",
        *_notes(status),
    ]
    return "\n".join(escaped(line, LONGEST_LINE) for line in lines)


def _because(status: Document) -> str:
    holders = (("gate", "heldBy"), ("source", "sourceHeldBy"))
    held = [f"{name} held by {status[key]}" for name, key in holders if status[key]]
    return f" ({', '.join(held)})" if held else ""


def _stream_rows(status: Document) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("stream", "mode", "read", "delivered", "dropped", "quarantined", "pending", "queued")]
    for name, stream in status["streams"].items():
        records = stream["records"]
        figures = ("read", "delivered", "droppedTotal", "quarantinedTotal", "pending")
        mode = "orphaned" if stream["orphaned"] else stream["mode"] or "-"
        rows.append((name, mode, *(f"{records[key]:,}" for key in figures), f"{stream['queueRecords']:,}"))
    return rows


def _rows(rows: list[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = 2  # the first columns are words, the others figures
    for row in rows:
        cells = (c.ljust(w) if i < text else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  " + "  ".join(cells).rstrip()


def _notes(status: Document) -> Iterable[str]:
    reasons = {**status["records"]["dropped"], **status["records"]["quarantined"]}
    for title, values in (("by reason", reasons), ("beside", status["beside"])):
        told = "  ".join(f"{name} {value:,}" for name, value in values.items() if value)
        if told:
            yield f"  {title}: {told}"
    source = status["source"]
    if source["bytesUnread"]:
        yield f"  not read yet: {source['bytesUnread']:,} bytes in {source['filesWaiting']:,} files"
    if status["oldestPendingSeconds"] is not None:
        yield f"  oldest pending: {duration(status['oldestPendingSeconds'])}"
    for one in status["degraded"]:
        yield f"  degraded: {one['reason']} since {one['since']}: {one['remedy']}"


LOSS_FIELDS = ("stream", "topic", "reason", "first", "last", "records", "bytes")


def losses(rows: Iterable[Sequence[Any]]) -> list[Document]:
    """Make the document of `weir losses`: one entry for each stream, topic and reason."""
    made = []
    for row in rows:
        entry = dict(zip(LOSS_FIELDS, row, strict=True))
        entry["first"], entry["last"] = rfc3339(entry["first"]), rfc3339(entry["last"])
        made.append(entry)
    return made


def losses_table(entries: list[Document]) -> str:
    """Write the losses for a person at a terminal."""
    if not entries:
        return "nothing was dropped"
    rows: list[Sequence[str]] = [LOSS_FIELDS, *(tuple(str(entry[name]) for name in LOSS_FIELDS) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(LOSS_FIELDS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(escaped(line, LONGEST_LINE) for line in lines)

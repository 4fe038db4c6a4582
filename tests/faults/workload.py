"""A short life that goes through every path of the state: overflow, expiry, quarantine, delivery, rotation, archive.

Owns what is fed and how the forwarder is set up for it. What was fed is told from the files themselves, since a power
cut or a full disk may take from them what a producer wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

WINDOW = 10
COMMIT_RECORDS = 20
BOUND = COMMIT_RECORDS + WINDOW
ARCHIVE = ".weir-archive"

Document = dict[str, Any]


class Step(NamedTuple):
    """Something to do, and what the counters say once it has had its effect."""

    action: Callable[[], object]
    reached: Callable[[Document], object]
    what: str


class Workload:
    """Three directories: one overflows while the link is down, one expires, one is archived."""

    def __init__(self, place: Path) -> None:
        """Make the directories in a place."""
        self.place = place
        self.written: list[bytes] = []
        self.prefix = "a"  # of the names of files: a producer that is started anew begins new ones
        self.refused = 0  # writes that failed
        self._number = 0
        self.make_inboxes()

    def make_inboxes(self) -> None:
        """Make what is not there of the directories."""
        for stream in STREAMS:
            self.inbox(stream).mkdir(parents=True, exist_ok=True)

    def inbox(self, stream: str) -> Path:
        return self.place / f"inbox-{stream}"

    def configuration(self) -> Document:
        """Give the configuration, without the connection."""
        streams = {
            name: {"source": {"path": str(self.inbox(name)), "settleSeconds": 0.1, **source}, "queue": queue}
            for name, (source, queue) in STREAMS.items()
        }
        return {
            "thingName": "gateway",
            "streams": streams,
            "gate": {"maxIncomplete": 2 * WINDOW, "maxInFlight": WINDOW},
            "pace": {"publishesPerSecond": "none", "bytesPerSecond": "none"},
            "state": {"commitSeconds": 0.1, "commitRecords": COMMIT_RECORDS, "minFreeBytes": 1},
        }

    # -- what is fed --------------------------------------------------------------------------------------------------

    def feed(self, stream: str, count: int, name: str = "0.jsonl", *, bad: int = 0, synced: bool = False) -> None:
        """Append records, each unlike every other, as far as the disk takes them."""
        lines = [self._line(stream) for _ in range(count)] + [b"not " + self._line(stream) for _ in range(bad)]
        path = self.inbox(stream) / f"{self.prefix}-{name}"
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            for line in lines:
                before = file.tell()
                if not self._append(file.fileno(), line + b"\n"):
                    self.refused += 1
                    file.truncate(before)  # what did not fit as a whole was not written
                    break
                self.written.append(line)
            if synced:
                os.fsync(file.fileno())

    def feed_long(self, stream: str, size: int) -> None:
        """Append one line of so many bytes."""
        line = self._line(stream).ljust(size, b"x")
        with (self.inbox(stream) / f"{self.prefix}-long.jsonl").open("ab") as file:
            file.write(line + b"\n")
        self.written.append(line)

    def _line(self, stream: str) -> bytes:
        self._number += 1
        return json.dumps({"n": self._number, "stream": stream, "pad": "x" * 40}).encode()

    def _append(self, file: int, line: bytes) -> bool:
        try:
            return os.write(file, line) == len(line)
        except OSError:
            return False

    def rotate(self) -> None:
        """Do what logrotate does."""
        for path in self.inbox("overflows").glob(f"{self.prefix}-0.jsonl"):
            with contextlib.suppress(OSError):
                path.rename(path.with_name(f"{self.prefix}-1.jsonl"))

    def outage(self) -> None:
        """Feed what overflows, expires and is set aside while the link is down."""
        self.feed("overflows", 60, bad=3, synced=True)
        self.feed("expires", 8, synced=True)
        self.feed("archived", 30, synced=True)
        self.feed("overflows", 10)

    def more(self) -> None:
        """Feed what goes straight through."""
        self.rotate()
        self.feed("overflows", 30)
        self.feed("archived", 20, "later.jsonl", synced=True)
        self.feed("archived", 10, "later.jsonl")

    def steps(self, link_up: Callable[[], object]) -> list[Step]:
        """List the life."""
        return [
            Step(self.outage, _overflowed, "records overflow, expire and are set aside"),
            Step(link_up, lambda s: s["records"]["delivered"] >= 40, "what waited is delivered"),
            Step(self.more, lambda s: s["records"]["delivered"] >= 90 and _idle(s), "everything is delivered"),
            Step(lambda: None, lambda _: self.archived(), "files are archived"),
        ]

    def archived(self) -> list[Path]:
        """List the files that were archived."""
        archive = self.inbox("archived") / ARCHIVE
        return list(archive.iterdir()) if archive.exists() else []

    # -- what there was to be read ------------------------------------------------------------------------------------

    def survivors(self) -> Iterator[bytes]:
        """Give every line that the files hold now, wherever they were moved to."""
        for stream in STREAMS:
            for path in sorted(self.inbox(stream).rglob("*")):
                if path.is_file():
                    yield from (line for line in path.read_bytes().split(b"\n") if line)

    def evidence(self) -> tuple[list[bytes], list[bytes]]:
        """Give what was fed, and what may or may not have been read: lost by its source, or left in part."""
        there = list(self.survivors())
        written = set(self.written)
        fed = [line for line in there if line in written]
        torn = [line for line in there if line not in written]
        return fed, [*(written - set(fed)), *torn]


STREAMS: dict[str, tuple[Document, Document]] = {
    "overflows": ({"format": "jsonl"}, {"mode": 3, "maxRecords": 20}),
    "expires": ({"format": "jsonl"}, {"mode": 4, "maxAgeSeconds": 0.3}),
    "archived": ({"format": "jsonl", "onDone": "archive", "doneSeconds": 0.1}, {"mode": 4}),
}


def _overflowed(status: Document) -> bool:
    records = status["records"]
    dropped = records["dropped"]
    lost = dropped["queueFullFront"] + dropped["queueFullBack"]
    return bool(lost >= 20 and dropped["expired"] and records["quarantined"]["malformed"] >= 3)


def _idle(status: Document) -> bool:
    streams = status["streams"].values()
    return not (
        status["source"]["bytesUnread"] or any(s["queueRecords"] for s in streams) or status["records"]["inFlight"]
    )

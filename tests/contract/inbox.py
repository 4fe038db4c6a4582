"""A real directory with a source on it, a clock that is moved by hand, and rows as a store would keep them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from weir.core.ports import Reject, SourceCounts
from weir.core.positions import FilePosition
from weir.core.settings import SourceSettings
from weir.core.span import Span
from weir.sources.alert import Watcher
from weir.sources.directory import DirectorySource

NOBODY = 65_534
MADE = ("name", "inode", "birth", "head", "head_length", "generation")
ROW = (*MADE, "position", "beyond", "tail", "rungs", "gone_since")


def source_settings(path: Path, **changed: Any) -> SourceSettings:
    values: dict[str, Any] = {
        "type": "directory",
        "path": str(path),
        "pattern": "*",
        "format": "auto",
        "csv_delimiter": ",",
        "settle_seconds": 2.0,
        "done_seconds": 60.0,
        "on_done": "keep",
        "archive_max_bytes": 1_000_000,
        "max_record_bytes": None,
        "max_document_bytes": 1_000_000,
    }
    return SourceSettings(**(values | changed))


class Inbox:
    """Moves the clock, reads, settles and commits as the loop would."""

    def __init__(
        self, path: Path, *, max_record_bytes: int = 1_000, watcher: Watcher | None = None, **settings: Any
    ) -> None:
        self.path = path
        self.settings = source_settings(path, **settings)
        self.max_record_bytes = max_record_bytes
        self.watcher = watcher
        self.now = 0.0
        self.rows: dict[int, dict[str, Any]] = {}
        self.numbers = 0
        self.spans: list[Span] = []  # read and not settled
        self.rejects: list[Reject] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.pending = False  # the store still holds records of every file
        self.asked = 0  # so often whether it does
        self.counted = SourceCounts()
        self.source = self.open()

    # The source

    def open(self, *, same_boot: bool = True) -> DirectorySource:
        return DirectorySource(
            self.settings,
            stream=1,
            known=[self.load(number) for number in self.rows],
            max_record_bytes=self.max_record_bytes,
            same_boot=same_boot,
            clock=self.wall,
            pending=self.is_pending,
            notice=lambda event, values: self.events.append((event, values)),
            watcher=self.watcher,
            stopwatch=lambda: 0.0,
        )

    def load(self, number: int) -> FilePosition:
        row = self.rows[number]
        position = FilePosition(stream=1, fmt=row["format"], number=number, **{key: row[key] for key in MADE})
        position.position, position.beyond = row["position"], list(row["beyond"])
        position.tail, position.rungs, position.gone_since = row["tail"], list(row["rungs"]), row["gone_since"]
        return position

    def restart(self, *, same_boot: bool = True) -> None:
        """Lose all that was not committed, and begin again."""
        self.source.close()
        self.spans.clear()
        self.source = self.open(same_boot=same_boot)

    def is_pending(self, _file: FilePosition) -> bool:
        self.asked += 1
        return self.pending

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    # What the loop does

    def look(self, seconds: float = 1.0) -> None:
        """Let time pass, in which the directory is looked at."""
        end = self.now + seconds
        due = self.source.advance(self.now)
        while due is not None and due <= end:
            self.now = max(self.now, due)
            due = self.source.advance(self.now)
        self.now = end

    def read(self, limit: int = 256) -> list[bytes]:
        """Read what there is."""
        records: list[bytes] = []
        while (reading := self.source.read(self.now, limit)) is not None:
            if reading.span is not None:
                assert len(reading.span) + len(reading.rejects) <= limit
                self.spans.append(reading.span)
                records.extend(reading.span.payload(index) for index in range(len(reading.span)))
            self.rejects.extend(reading.rejects)
        return records

    def settle(self) -> None:
        for span in self.spans:
            assert span.file is not None
            span.file.account(*span.extent(0, len(span)))
        self.spans.clear()
        for reject in self.rejects:
            assert reject.file is not None
            reject.file.account(reject.begin, reject.end)

    def commit(self) -> None:
        for position in self.source.before_commit():
            if not position.number:
                self.numbers += 1
                position.number = self.numbers
            position.changed = False
            values = {key: getattr(position, key) for key in ROW}
            lists = {"beyond": tuple(position.beyond), "rungs": tuple(position.rungs)}
            self.rows[position.number] = values | lists | {"format": position.format}
        for position in self.source.forgotten():
            del self.rows[position.number]
        self.source.after_commit(self.now)

    def pass_on(self, seconds: float = 1.0) -> list[bytes]:
        """Look, read, settle and commit: a healthy link for so long."""
        records: list[bytes] = []
        end = self.now + seconds
        while self.now < end:
            self.look(1.0)
            records += self.read()
            self.settle()
            self.commit()
        return records

    # What it shows

    def counts(self) -> SourceCounts:
        """Give what was counted since the beginning."""
        self.counted = SourceCounts(*(a + b for a, b in zip(self.counted, self.source.counts(), strict=True)))
        return self.counted

    def positions(self) -> dict[bytes, int]:
        """Give the committed positions of the files that are there."""
        return {row["name"]: row["position"] for row in self.rows.values() if row["gone_since"] is None}

    def skipped(self) -> dict[str, str]:
        return {
            str(values["file"]): str(values["reason"])
            for event, values in self.events
            if event == "source_skipped" and "file" in values
        }

    # The writer

    def write(self, name: str, content: bytes, mode: Literal["wb", "ab", "r+b"] = "wb") -> Path:
        path = self.path / name
        with path.open(mode) as file:
            file.write(content)
        return path

    def append(self, name: str, content: bytes) -> None:
        self.write(name, content, "ab")


def open_descriptors(path: Path) -> list[str]:
    """List what this process holds open below a path."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith(f"{path}/"):
            found.append(target)
    return found


@contextmanager
def unprivileged(*paths: Path) -> Iterator[None]:
    """Be somebody whom permissions bind, who owns these paths."""
    if os.geteuid() != 0:
        yield
        return
    for path in paths:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)

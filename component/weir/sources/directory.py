"""A watched directory as a source of records.

Owns the turns: which file is read now, how far, and when the directory is looked at again. Knows nothing of queues,
brokers or the store, except for what is committed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from weir.core.ports import Reading, SourceCounts
from weir.core.positions import FilePosition
from weir.core.settings import SourceSettings
from weir.sources import documents
from weir.sources.alert import Alert, Watcher
from weir.sources.closing import Closing, Pending
from weir.sources.copies import Taken
from weir.sources.formats import choose, is_compressed
from weir.sources.identity import open_regular
from weir.sources.inventory import Inventory
from weir.sources.lines import BLOCK, NOTHING_YET, Rules
from weir.sources.opening import Opener
from weir.sources.scan import Folder, Seen, look_again, matcher, walk
from weir.sources.skips import Notice, Skips
from weir.sources.taking import Turn, take
from weir.sources.watched import Over, Watched

SCAN_SECONDS: Final = 0.5  # between two scans, at least
SLOW_SCAN_SECONDS: Final = 10.0  # where nothing waits for time to pass, and an alert would tell of a change
SCAN_SHARE: Final = 50  # and so many times as long as a scan took: 2 % of the time
SLICE: Final = 1_000  # directory entries a call looks at
RECALL_WEIGHT: Final = 16  # opening a file costs as much as so many entries
VERIFY_SLICE: Final = 64
VERIFY_PAUSE: Final = 0.02
FINISH_PAUSE: Final = 0.05
TRIES: Final = 64  # files a read may try before it gives the loop back


class DirectorySource:
    """Reads the records of all files of one directory that a pattern asks for, and follows the files as they change."""

    replayable = True

    def __init__(
        self,
        settings: SourceSettings,
        *,
        stream: int,
        known: Iterable[FilePosition],
        max_record_bytes: int,
        same_boot: bool,
        clock: Callable[[], float],
        pending: Pending,
        notice: Notice,
        watcher: Watcher | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take what is known of the directory's files from earlier; nothing is opened yet."""
        self._settings = settings
        self._clock = clock
        self._notice = notice
        self._stopwatch = stopwatch
        self._rules = Rules(
            settings.format,
            max_record_bytes,
            max_document_bytes=settings.max_document_bytes,
            delimiter=settings.csv_delimiter.encode(),
            gaps=True,
        )
        self._wanted = matcher(settings.pattern)
        self._skips = Skips(notice)
        self._files = Inventory(settings, stream=stream, known=known, clock=clock, skips=self._skips)
        self._opener = Opener(self._files, same_boot=same_boot)
        self._closing = Closing(self._files, self._opener, clock=clock, pending=pending, notice=notice)
        self._folder: Folder | None = None
        self._walk: Iterator[Seen | None] | None = None
        self._spent = 0.0
        self._next_scan = self._soon = self._finish_at = 0.0
        self._alert = Alert(watcher, self._hurry)
        self._held_by: str | None = None
        self._turn: Watched | None = None
        self._late_bytes = 0
        self._forgetting = 0
        self._closed = False

    # Looking

    def advance(self, now: float) -> float | None:
        """Look at the directory again if it is time to, a little at a time; say when to be called next."""
        if self._closed:
            return None
        if self._walk is None and now < self._next_scan:
            self._verify(now)
            self._finish_more(now)
            return self._due(now)
        begun = self._stopwatch()
        if self._walk is None:
            self._begin_scan(now)
        going_on = self._walk is not None and self._step(now)
        self._spent += self._stopwatch() - begun
        if going_on:
            return now
        self._walk = None
        self._next_scan = self._soon = now + max(SCAN_SECONDS, SCAN_SHARE * self._spent)
        quiet = self._held_by is None and self._turn is None and self._closing.is_quiet
        if quiet and self._alert.set():
            self._next_scan = max(self._soon, now + SLOW_SCAN_SECONDS)
        return self._due(now)

    def _hurry(self) -> None:
        """Scan as soon as a directory that changes is scanned."""
        self._next_scan = self._soon

    def _due(self, now: float) -> float:
        if not self._files.unverified:
            return min(self._next_scan, self._finish_at) if self._files.due else self._next_scan
        busy = self._turn is not None or self._files.line
        return min(self._next_scan, now + VERIFY_PAUSE) if busy else now

    def _begin_scan(self, now: float) -> None:
        self._spent = 0.0
        try:
            folder = Folder(self._settings.path or ".")
        except (FileNotFoundError, NotADirectoryError):
            self._hold("missing", now)
            return
        except OSError:
            self._hold("unreadable", now)
            return
        self._close_folder()
        self._folder = folder
        self._alert.begin(folder.fd)
        self._files.begin_scan()
        self._walk = walk(folder, self._wanted, self._files.wants)

    def _hold(self, reason: str, now: float) -> None:
        if self._held_by != reason:
            self._notice("source_missing", {"path": self._settings.path, "reason": reason})
        self._held_by = reason
        self._close_folder()
        self._files.miss_all(now)
        self._closing.sweep(None, now)

    def _step(self, now: float) -> bool:
        """Look at the next entries; say whether there are more."""
        if self._walk is None or self._folder is None:
            return False
        weight = 0
        try:
            for seen in self._walk:
                if seen is not None and self._files.meet(seen, now):
                    self._opener.recall(self._folder, seen, now)
                    weight += RECALL_WEIGHT
                weight += 1
                if weight >= SLICE:
                    return True
        except OSError:
            self._hold("unreadable", now)  # the directory itself failed in the middle; what it showed so far is true
            return False
        if self._files.is_hidden:
            self._hold("unreadable", now)
            return False
        self._held_by = None
        self._files.end_scan(now)
        self._opener.ahead(self._folder, now)
        self._closing.sweep(self._folder, now)
        self._closing.audit()
        return False

    def _finish_more(self, now: float) -> None:
        """Finish a few more of the files that the last scan found due: a scan of very many comes seldom."""
        if self._files.due and self._folder is not None and now >= self._finish_at:
            self._finish_at = now + FINISH_PAUSE
            self._closing.go_on(self._folder, now)

    def _verify(self, now: float) -> None:
        """Look into a few files that were done when an earlier process stopped: are they still the same?"""
        waiting = self._files.unverified
        for _ in range(min(VERIFY_SLICE, len(waiting))):
            inode = waiting.pop()
            for kept in self._files.known(self._files.rest.get(inode), inode)[:1]:
                self._verify_one(kept.position, now)

    def _verify_one(self, position: FilePosition, now: float) -> None:
        seen = None if self._folder is None else look_again(self._folder, position.name, position.inode)
        if self._folder is None or seen is None:
            return
        self._opener.recall(self._folder, seen, now)
        file = self._files.live.get(position.inode)
        if file is not None and file.queued:  # it is another one after all, and was there at the start
            self._files.goals.put(position.inode, file.size)

    # Reading

    def read(self, now: float, max_records: int) -> Reading | None:
        """Take the next few records, at most `max_records`; None if there is nothing to take now."""
        if max_records <= 0 or self._closed:
            return None
        for _ in range(TRIES):
            if self._turn is None:
                if not self._files.line:
                    return None
                self._turn = self._begin_turn(self._files.line.take(), now)
                continue
            reading = self._take(self._turn, max_records, now)
            if reading is not None:
                return reading
            self._end_turn(self._turn)
        return NOTHING_YET

    def _begin_turn(self, inode: int, now: float) -> Watched | None:
        file = self._files.live.get(inode)
        if file is None:
            file = self._opener.first(self._folder, inode, now)
        elif not self._opener.again(self._folder, file):
            file.queued = False
            file = None
        if file is None:
            return None
        file.queued = self._is_ready(file, now)
        if not file.queued and not file.size:
            self._files.goals.drop(inode)  # it was emptied since the first scan: there is nothing to reach
        return file if file.queued else None

    def _is_ready(self, file: Watched, now: float) -> bool:
        """Fix how far the turn goes, and make sure that the file has a format we read."""
        try:
            over = file.begin_turn(now)
            self._note_loss(over)
            return bool(file.position.format) or self._choose_format(file)
        except OSError:
            self._fail(file)
            return False

    def _note_loss(self, over: Over) -> None:
        if over.generation is None:
            self._files.truncated_bytes += over.lost_bytes
            return
        self._files.retire_as(Taken(over.generation, over.read_to, over.tail, over.marks))
        self._files.copies.look_for(over.generation.name, self._files.scan, over.lost_bytes)

    def _choose_format(self, file: Watched) -> bool:
        start = os.pread(file.fd, BLOCK, 0)
        settled = self._is_settled(file)
        packed = is_compressed(start, settled=settled)
        if packed is None or (packed and not settled):
            return False
        if packed:
            unpacker = file.unpack()
            unpacker.reach(file.fd, 0, BLOCK)
            start = unpacker.read(0, BLOCK)
        fmt = choose(self._settings.format, file.position.name, start, settled=settled)
        if fmt is None:
            return False
        file.set_format(fmt, packed=packed)
        return True

    def _is_settled(self, file: Watched) -> bool:
        return file.unchanged >= self._settings.settle_seconds

    def _take(self, file: Watched, limit: int, now: float) -> Reading | None:
        if file.fd < 0:
            return None
        rules = self._rules._replace(fmt=file.position.format)
        try:
            return take(file, Turn(limit, rules, self._is_settled(file), self._clock(), now))
        except OSError:
            self._fail(file)
            return None

    def _end_turn(self, file: Watched) -> None:
        self._turn = None
        file.queued = False
        if not file.unread:
            self._note_end(file)
        if file.parted:
            self._late_bytes += max(0, file.taken - file.late)
            file.late = file.taken
        inode = file.position.inode
        goal = min(self._files.goals.get(inode), file.turn_end)  # a file that was cut is read as far as it goes
        if file.taken >= goal and file.long is None and file.tried is not None:  # None: it has to be begun anew
            self._files.goals.drop(inode)

    def _note_end(self, file: Watched) -> None:
        """Say once what is wrong with a file that was read to its end, and let go of what unpacked it."""
        name, inode = file.position.name, file.position.inode
        if file.unpacker is not None and file.unpacker.over:
            if file.unpacker.fault is not None:
                self._skips.add(name, inode, file.unpacker.fault)
            file.unpacker = None
        if file.expects == documents.ELEMENT:
            self._skips.add(name, inode, documents.INCOMPLETE, counts=False)

    def _fail(self, file: Watched) -> None:
        """Close a file that cannot be read now; a later scan tries again."""
        self._files.open.release(file)
        self._files.fail(file.position.name, file.position.inode)

    # Committing

    def before_commit(self) -> list[FilePosition]:
        """Bring the tail hashes up to date and give the positions that differ from their rows."""
        live = [file for file in self._files.live.values() if file.position.changed and file.position.format]
        for file in live:
            self._freshen(file)
        for taken in self._files.retired:
            taken.note_tail()
        retired = [taken.position for taken in self._files.retired if taken.position.changed and taken.position.format]
        return [file.position for file in live] + retired

    def _freshen(self, file: Watched) -> None:
        if file.note_tail():
            return
        fd = file.fd if file.fd >= 0 else self._open_briefly(file)
        if fd < 0:
            return  # it is not there to be looked at
        with contextlib.suppress(OSError):
            file.look_up_tail(fd)
        if fd != file.fd:
            os.close(fd)

    def _open_briefly(self, file: Watched) -> int:
        if file.absent:
            return -1
        try:
            folder = self._folder or Folder(self._settings.path or ".")
            fd = open_regular(folder.fd, file.position.name)
        except OSError:
            return -1
        if os.fstat(fd).st_ino == file.position.inode:
            return fd
        os.close(fd)
        return -1

    def forgotten(self) -> list[FilePosition]:
        """Give the positions whose rows the next commit is to remove."""
        self._forgetting = len(self._closing.forgotten)
        return list(self._closing.forgotten)

    def after_commit(self, now: float) -> None:
        """Do what only a commit allows: finish files whose every byte is committed."""
        self._closing.drop_forgotten(self._forgetting)
        self._forgetting = 0
        if not self._closed:
            self._closing.sweep(self._folder, now)

    # What there is to say

    def counts(self) -> SourceCounts:
        """Give what was noticed since the last call."""
        files = self._files
        counts = SourceCounts(
            files.truncated_bytes, files.vanished_files, self._late_bytes, self._skips.count, files.possible_twins
        )
        files.truncated_bytes = files.vanished_files = self._late_bytes = self._skips.count = files.possible_twins = 0
        return counts

    def unfinished(self) -> dict[int, int]:
        """Give the files of which something is not accounted for, by inode, with the size they had."""
        return self._files.unfinished()

    def expect(self, files: dict[int, int]) -> None:
        """Count those of these files as vanished that the next complete look does not show."""
        self._files.expected.update(files)

    def held_by(self) -> str | None:
        """Say why nothing can be read: `missing`, `unreadable`, or None."""
        if self._held_by is None and self._files.are_all_missing:
            return "missing"  # as where the file system with them is not mounted
        return self._held_by

    def unread(self) -> tuple[int, int]:
        """Count the bytes not read yet and the files they are in."""
        return self._files.unread()

    def exhausted(self) -> bool:
        """Tell whether everything the first scan showed has been read, to the size it had then."""
        if self._walk is not None or not self._files.was_shown:
            return False
        return not (self._files.goals or self._files.unverified or self._turn)

    def close(self) -> None:
        """Stop reading; what was read can still be committed."""
        self._closed = True
        self._turn = None
        self._walk = None
        self._files.close()
        self._alert.close()
        self._close_folder()

    def _close_folder(self) -> None:
        if self._folder is not None:
            self._folder.close()
            self._folder = None

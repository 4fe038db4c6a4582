"""What a commit allows: files that are done are put to rest, archived or deleted, and old positions are forgotten.

Owns when a file is finished. Nothing here happens to a file while any of its bytes is not committed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from weir.core.positions import FilePosition
from weir.sources import shelf
from weir.sources.copies import Taken
from weir.sources.finish import Remover
from weir.sources.identity import is_at, open_for_writing
from weir.sources.inventory import MOST_AWAKE, Inventory
from weir.sources.opening import Opener
from weir.sources.scan import Folder, look_again
from weir.sources.skips import Notice
from weir.sources.watched import Watched

KEPT_GONE_SECONDS: Final = 30 * 86_400.0
MAX_GONE: Final = 100_000
MAX_GONE_EACH: Final = 4  # of one inode: those that came later prove the earlier ones gone for good
AUDIT_STEP: Final = 200  # inodes of files that are gone, looked at after each scan
CLOCK_IS_SET: Final = 1_577_836_800.0  # 2020: a wall clock before that has not been set yet
WAKE_STEP: Final = 128  # files that are finished at a time between two scans
FINISH_STEP: Final = 256  # files that are moved or deleted at once, at most
RETRY_SECONDS: Final = 600.0  # until a file that could not be moved or deleted is tried again

Pending = Callable[[FilePosition], bool]


class Closing:
    """Takes leave of files."""

    def __init__(
        self,
        inventory: Inventory,
        opener: Opener,
        *,
        clock: Callable[[], float],
        pending: Pending,
        notice: Notice,
    ) -> None:
        self._inventory = inventory
        self._opener = opener
        self._settings = inventory.settings
        self._clock = clock
        self._pending = pending
        self._notice = notice
        self._remover = Remover(self._settings.on_done, self._settings.archive_max_bytes)
        self._finished = 0  # in this sweep
        self._audit: Iterator[int] = iter(())
        self._failed: int | None = None  # the error that was said last
        self.forgotten: list[FilePosition] = []

    def go_on(self, folder: Folder, now: float) -> None:
        """Finish some more of the files that the last scan found due, unless too many are at work."""
        inventory = self._inventory
        for _ in range(min(WAKE_STEP, len(inventory.due), MOST_AWAKE - len(inventory.live))):
            inode = inventory.due.pop()
            entry = inventory.rest.get(inode)
            if entry is None:
                continue
            name = inventory.known(entry, inode)[0].position.name
            seen = look_again(folder, name, inode)
            if seen is not None and shelf.matches(entry, name, seen.size, seen.mtime):
                inventory.wake(seen, entry, now)
        self.sweep(folder, now)

    def sweep(self, folder: Folder | None, now: float) -> None:
        """Let go of every file with nothing left to do."""
        self._finished = 0
        for file in list(self._inventory.live.values()):
            if self._is_done(file):
                self._consider(file, folder, now)
        if self._remover.owes_sync and folder is not None:
            self._make_durable(folder)
        still: list[Taken] = []
        for retired in self._inventory.retired:
            if self._is_over(retired):
                self._inventory.bury(retired.position)
            else:
                still.append(retired)
        self._inventory.retired = still

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing waits for time to pass: until a file changes, another scan would find nothing."""
        files = self._inventory
        at_work = files.line or files.again or files.goals or files.unverified or files.expected or files.retired
        to_finish = self._remover.owes_sync or self.forgotten or files.due
        if at_work or to_finish or files.is_in_doubt or len(files.fresh):
            return False
        keeps = self._settings.on_done == "keep"
        return (keeps or not len(files.rest)) and all(keeps and file.is_at_ease for file in files.live.values())

    def _is_done(self, file: Watched) -> bool:
        if file.queued or file.unread or not file.accounted:
            return False
        if not file.position.format:  # it never had a row
            return file.absent and file.fd < 0
        return not file.position.changed

    def _is_over(self, retired: Taken) -> bool:
        return not retired.position.changed and retired.position.position >= retired.read_to

    def _consider(self, file: Watched, folder: Folder | None, now: float) -> None:
        if file.absent:
            self._bid_farewell(file)
            return
        is_old = file.unchanged >= self._settings.done_seconds
        if self._settings.on_done == "keep" or not file.matches:
            if is_old or file.fd < 0:
                self._inventory.settle(file)
        elif is_old and folder is not None:
            if now >= file.again_at and self._finished < FINISH_STEP:
                self._finish(file, folder, now)
        elif file.fd < 0:
            self._inventory.settle(file)

    def _bid_farewell(self, file: Watched) -> None:
        """Part from a file that is not in the directory any more, once it is closed."""
        position = file.position
        if file.fd >= 0 or position.gone_since is None:
            return
        if file.parted:
            if self._pending(position):
                return  # what arrived late
            self._forget(position)
        elif position.format:
            self._inventory.bury(position)
        del self._inventory.live[position.inode]

    def _finish(self, file: Watched, folder: Folder, now: float) -> None:
        """Archive or delete a file, if it is still exactly the one that was read, and nobody writes to it."""
        if self._pending(file.position):
            file.since = now  # so it rests, and is asked about again when it is due again
            self._inventory.settle(file)
            return
        if not self._opener.again(folder, file) or file.position.changed:
            return
        try:
            status = os.fstat(file.fd)
            if status.st_size != file.taken or status.st_mtime_ns != file.mtime:
                return  # the next scan sees that too
            if not (file.is_intact(file.fd) and is_at(folder.fd, file.position.name, file.fd)):
                return
            if open_for_writing(file.fd):
                file.again_at = now + max(1.0, self._settings.done_seconds / 4)
                return
            self._remover.remove(folder, file.position.name, file.size, file.mtime)
        except OSError as error:
            file.again_at = now + RETRY_SECONDS
            self._complain(error, os.fsdecode(file.position.name))
            return
        self._finished += 1
        file.parted = file.absent = file.position.vanished = True
        file.position.gone_since = self._clock()  # for those who ask; its row is removed soon
        file.since = file.looked = now
        file.late = file.taken

    def _make_durable(self, folder: Folder) -> None:
        try:
            self._remover.flush(folder)
            self._failed = None
        except OSError as error:
            self._complain(error, folder.path)

    def _complain(self, error: OSError, path: str) -> None:
        """Say an error once, until it is another one or all is well."""
        if error.errno != self._failed:
            self._failed = error.errno
            reason = errno.errorcode.get(error.errno or 0, "unknown")
            self._notice("source_finish_failed", {"file": path, "action": self._settings.on_done, "reason": reason})

    # Forgetting

    def _forget(self, position: FilePosition) -> None:
        if position.number:
            self.forgotten.append(position)

    def drop_forgotten(self, count: int) -> None:
        """Note that the first so many are forgotten by the store as well."""
        del self.forgotten[:count]

    def audit(self) -> None:
        """Look at some of the files that are gone; forget those that have been for long enough, or are too many."""
        gone = self._inventory.gone
        for first in list(islice(gone, max(0, len(gone) - MAX_GONE))):
            if len(gone) > MAX_GONE:
                self._reconsider(first, by_force=True)
        step = list(islice(self._audit, AUDIT_STEP))
        for inode in step:
            if inode in gone:
                self._reconsider(inode)
        if len(step) < AUDIT_STEP:
            self._audit = iter(list(gone))  # the next round

    def _reconsider(self, inode: int, *, by_force: bool = False) -> None:
        now = self._clock()
        all_kept = self._inventory.known(self._inventory.gone.pop(inode), inode)
        for later, kept in zip(reversed(range(len(all_kept))), all_kept, strict=True):
            position = kept.position
            is_surplus = by_force or later >= MAX_GONE_EACH
            if position.gone_since is None or position.gone_since < CLOCK_IS_SET <= now:
                position.gone_since = now  # noted while the clock was not set: the time begins again
                position.changed = True
                self._inventory.retire(position, 0)
            elif (is_surplus or now - position.gone_since > KEPT_GONE_SECONDS) and not self._pending(position):
                self._forget(position)
            else:
                self._inventory.bury(position, mtime=kept.mtime)

"""Which files there are, as the scans show them: new ones, ones at work, ones at rest, and ones that are gone.

Owns the roll call and the line of files that want a turn. Opens nothing, and decides nothing about a finished file.

A new file is only a name until its turn; a file with something to do is a `Watched`; one that is done is a packed
entry. So a hundred thousand files cost little, and only the few at work are open.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Iterable
from typing import Final

from weir.core.positions import FilePosition
from weir.core.settings import SourceSettings
from weir.sources import shelf
from weir.sources.copies import Copies, Taken
from weir.sources.descriptors import Descriptors
from weir.sources.fresh import Fresh
from weir.sources.goals import Goals
from weir.sources.gone import Gone
from weir.sources.packed import read_size
from weir.sources.roll import Roll
from weir.sources.scan import IO_ERROR, Seen
from weir.sources.shelf import UNSEEN, Kept
from weir.sources.skips import Skips
from weir.sources.turns import Turns
from weir.sources.watched import Watched

FAILED_SCANS: Final = 60  # until a file that could not be read is tried again: a bad disk takes seconds to say so
MAX_FAILED: Final = 10_000  # so many of them are remembered
MAX_STEPS: Final = 2_000  # files that one scan finds gone, at most; the others are in the next ones
MOST_AWAKE: Final = 500  # files at work; beyond that none of those that rest is woken to be finished


class Inventory:
    """All files of one directory, by inode."""

    def __init__(
        self,
        settings: SourceSettings,
        *,
        stream: int,
        known: Iterable[FilePosition],
        clock: Callable[[], float],
        skips: Skips,
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.skips = skips
        self.open = Descriptors()
        self.fresh = Fresh()
        self.live: dict[int, Watched] = {}
        self.rest = Roll()
        self.gone = Gone()
        self.copies = Copies()
        self.retired: list[Taken] = []
        self.line = Turns()
        self.again: dict[int, None] = {}  # new files that were not where the scan saw them
        self.expected: dict[int, int] = {}  # what an earlier source did not finish, and no scan has shown yet
        self._failed: dict[int, int] = {}  # could not be read, and up to which scan they are left alone
        self.goals = Goals()  # of the files the first scan showed: how far they are to be read
        self.unverified = array("Q")  # known files that look done, to be looked at when there is time
        self.due = array("Q")  # files to be finished, beyond those that this scan has woken
        self.scan = 0  # the number of the scan that goes on, or of the last one
        self.was_shown = False  # a scan has come to its end
        self.truncated_bytes = 0
        self.vanished_files = 0
        self.possible_twins = 0
        self._clock = clock
        self._found = False  # this scan shows at least one file
        self._hidden: list[Seen] = []  # this scan shows that they are there, and no more
        self._is_bare = False  # the last one showed none
        for position in known:
            self._shelve(position)

    def _shelve(self, position: FilePosition) -> None:
        if position.gone_since is None:
            self.rest.put(position.inode, (self.rest.get(position.inode) or b"") + shelf.pack(position))
        else:
            self.bury(position, mtime=UNSEEN)

    def bury(self, position: FilePosition, *, mtime: int = 0) -> None:
        """Keep the position of a file that is gone, in case it comes back."""
        self.gone.put(position, mtime)

    def settle(self, file: Watched) -> None:
        """Put a file that is done to rest."""
        self.open.release(file)
        del self.live[file.position.inode]
        self.rest.put(file.position.inode, shelf.pack(file.position, mtime=file.mtime, since=file.since))

    def adopt(self, position: FilePosition, fd: int, *, first_scan: int = 0) -> Watched:
        """Begin to work on a file."""
        file = Watched(position, fd, scan=self.scan)
        file.first_scan = first_scan
        self.live[position.inode] = file
        if fd >= 0:
            self.open.hold(file)
        return file

    def wants(self, name: str, inode: int) -> bool:
        """Tell whether a file matters whose name the pattern does not ask for."""
        return inode in self.live or inode in self.rest or self.copies.seeks(os.fsencode(name))

    def known(self, entries: bytes | None, inode: int) -> list[Kept]:
        return list(shelf.unpack(entries or b"", self.stream, inode))

    def skip(self, name: bytes, inode: int, reason: str) -> None:
        """Leave a file alone, and count that once."""
        self.skips.add(name, inode, reason)
        self.fresh.drop(inode)
        self.goals.drop(inode)
        self.copies.forget(inode)

    def fail(self, name: bytes, inode: int) -> None:
        """Count a file that the disk did not give, and leave it alone for a while."""
        if len(self._failed) < MAX_FAILED:
            self._failed[inode] = self.scan + FAILED_SCANS
        self.skip(name, inode, IO_ERROR)

    # The roll call

    def begin_scan(self) -> None:
        self.scan += 1
        self._found = False
        self._hidden.clear()
        self.unverified, self.due = array("Q"), array("Q")
        self.rest.turn_over()
        self.fresh.turn_over()

    def meet(self, seen: Seen, now: float) -> bool:
        """Take note of one entry of the directory; say whether its file has to be looked into."""
        if self.expected:
            self.expected.pop(seen.inode, None)
        if seen.kind is not None:
            self._meet_unreadable(seen)
            return False
        self._found = self._found or seen.matches
        if self._failed and self._is_left_alone(seen.inode):
            self._pass_by(seen)
            return False
        file = self.live.get(seen.inode)
        if file is not None:
            self._meet_live(file, seen, now)
            return False
        entry = self.rest.confirm(seen.inode)
        if entry is not None:
            return self._meet_resting(seen, entry, now)
        if seen.inode in self.gone:
            self.skips.confirm(seen.name, seen.inode)
            return True
        if self.copies.seeks(seen.name):
            return True
        if seen.matches:
            self.meet_new(seen)
        return False

    def _meet_unreadable(self, seen: Seen) -> None:
        if not seen.is_hidden:
            self.skips.add(seen.name, seen.inode, str(seen.kind))
            return
        if len(self._hidden) < MAX_STEPS:
            self._hidden.append(seen)
        self._pass_by(seen)

    def _is_left_alone(self, inode: int) -> bool:
        if self._failed.get(inode, 0) > self.scan:
            return True
        self._failed.pop(inode, None)
        return False

    def _pass_by(self, seen: Seen) -> None:
        """Note that a file is there, and look no further."""
        self.skips.confirm(seen.name, seen.inode)
        self.rest.confirm(seen.inode)
        self.fresh.confirm(seen.inode)
        file = self.live.get(seen.inode)
        if file is not None:
            file.scan = self.scan

    @property
    def is_hidden(self) -> bool:
        """Tell whether this scan shows files, and none that can be looked at: so it is the directory that cannot."""
        return bool(self._hidden) and not self._found

    def _meet_live(self, file: Watched, seen: Seen, now: float) -> None:
        self.skips.confirm(seen.name, seen.inode)
        if file.scan == self.scan:
            return  # another name of the same file
        file.scan = self.scan
        file.absent = file.parted = file.position.vanished = False
        file.matches = seen.matches
        self.is_here(file.position, seen.name)
        file.look(seen.size, seen.mtime, now)
        self.wish(file)

    def is_here(self, position: FilePosition, name: bytes) -> None:
        if position.name != name or position.gone_since is not None:
            position.name = name
            position.gone_since = None
            position.changed = True

    def wish(self, file: Watched) -> None:
        """Put a file in line, if there is something for it to do there."""
        if file.wants_turn(self.settings.settle_seconds):
            file.queued = True
            self.line.wish(file.first_scan, file.mtime, file.position.name, file.position.inode)

    def _meet_resting(self, seen: Seen, entry: bytes, now: float) -> bool:
        if shelf.matches(entry, seen.name, seen.size, seen.mtime):
            if self._is_due(seen, entry, now):
                self._wake_or_note(seen, entry, now)
            return False
        if shelf.matches(entry, seen.name, seen.size, UNSEEN):
            self.unverified.append(seen.inode)
            return False
        return True

    def _is_due(self, seen: Seen, entry: bytes, now: float) -> bool:
        if self.settings.on_done == "keep" or not seen.matches:
            return False
        return now - shelf.unchanged_since(entry) >= self.settings.done_seconds

    def _wake_or_note(self, seen: Seen, entry: bytes, now: float) -> None:
        if len(self.live) < MOST_AWAKE:
            self.wake(seen, entry, now)
        else:
            self.due.append(seen.inode)

    def wake(self, seen: Seen, entry: bytes, now: float) -> None:
        """Let a file that rests be finished."""
        self.rest.pop(seen.inode)
        kept = self.known(entry, seen.inode)[0]
        file = self.adopt(kept.position, -1)
        file.size, file.mtime, file.since, file.looked = seen.size, seen.mtime, kept.since, now
        file.tried = (seen.size, seen.mtime)

    def meet_new(self, seen: Seen) -> None:
        """Take note of a file that nobody knows."""
        self.skips.confirm(seen.name, seen.inode)
        if not seen.size and self.settings.on_done == "keep":
            return
        if seen.inode not in self.fresh:
            self.line.wish(self.scan, seen.mtime, seen.name, seen.inode)
        self.fresh.meet(seen.inode, seen.name, seen.size)

    def end_scan(self, now: float) -> None:
        """Find who was not called. A scan without any file may be of an unmounted directory: it says nothing."""
        for seen in self._hidden:
            self.skips.add(seen.name, seen.inode, str(seen.kind))
        for file in list(self.live.values()):
            if file.scan != self.scan:
                self._miss(file, now, for_good=self._found)
        if self._found:
            self._miss_expected()
            self._miss_resting()
            self._miss_fresh()
            self.truncated_bytes += self.copies.give_up(self.scan)
            self.skips.end_scan()
            self.line.extend(inode for inode in self.again if inode in self.fresh)
            self.again.clear()
        self.line.line_up()
        if not self.was_shown:
            for inode in self.line:
                self.goals.put(inode, self._size_of(inode))
        self.was_shown, self._is_bare = True, not self._found

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the last scan showed no file, or one that could not be looked at or read."""
        return self._is_bare or bool(self._hidden or self._failed)

    @property
    def are_all_missing(self) -> bool:
        """Tell whether files are to be read, and the last scan did not show any."""
        return self._is_bare and bool(self.goals or len(self.fresh) or self.expected)

    def _size_of(self, inode: int) -> int:
        file = self.live.get(inode)
        return self.fresh.size(inode) if file is None else file.size

    def miss_all(self, now: float) -> None:
        """Note that the directory itself is not there; what is open is read on."""
        for file in list(self.live.values()):
            self._miss(file, now, for_good=False)
        self.line.line_up()

    def _miss(self, file: Watched, now: float, *, for_good: bool) -> None:
        file.absent = file.position.vanished = True
        for_good = not self._has_links(file, now) or for_good or file.parted
        self.wish(file)
        if not for_good:
            return
        if file.position.gone_since is None:
            file.position.gone_since = self._clock()
            file.position.changed = True
        if file.fd < 0:
            self._give_up(file)
        elif not file.queued and file.unchanged >= self._grace(file):
            self.open.release(file)

    def _give_up(self, file: Watched) -> None:
        """Count what nobody will read any more of a file that is gone."""
        self.vanished_files += file.give_up()
        self.goals.drop(file.position.inode)

    def close(self) -> None:
        """Let go of every open file; what was not read yet of those that are gone is lost."""
        self.open.release_all()
        self.truncated_bytes += self.copies.give_up(math.inf)
        for file in self.live.values():
            if file.absent and file.position.gone_since is not None:
                self._give_up(file)

    def _has_links(self, file: Watched, now: float) -> bool:
        """Look at a file through its descriptor; say whether it may still have a name somewhere."""
        if file.fd < 0:
            return True
        try:
            status = os.fstat(file.fd)
        except OSError:
            self.open.release(file)
            return True
        file.look(status.st_size, status.st_mtime_ns, now)
        return status.st_nlink > 0

    def _grace(self, file: Watched) -> float:
        return self.settings.done_seconds if file.parted else self.settings.settle_seconds

    def _miss_expected(self) -> None:
        for inode, size in self.expected.items():
            known = [kept.position for kept in self.known(self.rest.get(inode), inode)]
            is_counted = any(position.beyond for position in known)  # as a file that rested, sooner or later
            self.vanished_files += (
                size > 0 and not is_counted and all(read_size(each.position, each.tail) < size for each in known)
            )
        self.expected.clear()

    def _miss_resting(self) -> None:
        for inode in self.rest.missing()[:MAX_STEPS]:
            for kept in self.known(self.rest.pop(inode), inode):
                self.vanished_files += bool(kept.position.beyond)  # there was something between that nobody took
                self.retire(kept.position, 0)

    def _miss_fresh(self) -> None:
        for inode in self.fresh.missing():
            self.vanished_files += self.fresh.size(inode) > 0
            self.fresh.drop(inode)
            self.goals.drop(inode)
            self.copies.forget(inode)

    def generations(self, inode: int) -> list[Taken]:
        """Give what was read under an inode and is there no more."""
        buried = [kept.position for kept in self.known(self.gone.get(inode), inode)]
        retired = [taken for taken in self.retired if taken.position.inode == inode]
        return [*retired, *(Taken(position, position.position, position.tail) for position in buried)]

    def taken_of(self, inode: int) -> Taken | None:
        """Give how far the file is read that has this inode now."""
        file = self.live.get(inode)
        if file is not None:
            return Taken(file.position, file.read_to, file.tail, file.marks)
        resting = [kept.position for kept in self.known(self.rest.get(inode), inode)]
        return Taken(resting[-1], resting[-1].position, resting[-1].tail) if resting else None

    def retire(self, position: FilePosition, read_to: int) -> None:
        """Let go of a position whose bytes are not there any more; it is kept until all of it is settled."""
        self.retire_as(Taken(position, max(read_to, position.position), position.tail))

    def retire_as(self, taken: Taken) -> None:
        position = taken.position
        position.vanished = True
        if position.gone_since is None:
            position.gone_since = self._clock()
            position.changed = True
        self.retired.append(taken)

    def unfinished(self) -> dict[int, int]:
        """Give the files of which something is not accounted for, by inode, with the size they have."""
        live = {
            inode: max(file.size, file.taken)
            for inode, file in self.live.items()
            if file.position.gone_since is None and (file.unread or file.position.changed or not file.accounted)
        }
        return {**self.expected, **self.fresh.sizes(), **live}

    def unread(self) -> tuple[int, int]:
        """Count the bytes that were not read yet and the files they are in."""
        waiting = [file.unread for file in self.live.values() if file.unread]
        return self.fresh.bytes + sum(waiting), len(self.fresh) + len(waiting)

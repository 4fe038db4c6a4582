"""Opening files: new ones at their turn, known ones to see whether they are still themselves.

Owns the way from a name to an open, recognised file. Knows nothing of records.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import Final

from weir.core.positions import FilePosition
from weir.sources.copies import count_twins, is_copy, may_become_copy, original_of, recognise_copy
from weir.sources.descriptors import MAX_OPEN
from weir.sources.identity import birth_time, open_regular
from weir.sources.inventory import Inventory
from weir.sources.packed import read_size
from weir.sources.recognise import Found, Recognised, recognise
from weir.sources.scan import Folder, Seen
from weir.sources.shelf import UNSEEN, Kept
from weir.sources.watched import Watched

MOST_PATIENCE: Final = 30.0  # seconds until a copy is read as a file of its own though its log was truncated


class Opener:
    """Opens what the inventory lists."""

    def __init__(self, inventory: Inventory, *, same_boot: bool) -> None:
        self._inventory = inventory
        self._same_boot = same_boot

    def recall(self, folder: Folder, seen: Seen, now: float) -> None:
        """Look into a file whose inode is known: is it the one that is known, and is there something to read?"""
        inventory = self._inventory
        known = inventory.known(inventory.rest.get(seen.inode), seen.inode)
        if _is_another_name(folder, seen, known):
            return
        found = self._find(folder, seen.name, seen.inode)
        if found is None:
            return
        known += inventory.known(inventory.gone.get(seen.inode), seen.inode)
        if not known:
            self._take_copy(folder, found, seen, now)
            return
        same_boot = self._same_boot or any(kept.mtime != UNSEEN for kept in known)
        verdict = self._recognise(found, [kept.position for kept in known], same_boot=same_boot)
        if verdict is None:
            return
        inventory.rest.pop(seen.inode)
        inventory.gone.pop(seen.inode)
        self._let_go(verdict, known)
        is_known = any(verdict.position is kept.position for kept in known)
        is_kin = is_known or verdict.position.position or verdict.twins
        if not is_kin and not seen.matches:
            os.close(found.fd)  # another file, which nobody asked for
            return
        self._go_on(found, verdict.position, seen, now)

    def _take_copy(self, folder: Folder, found: Found, seen: Seen, now: float) -> None:
        """Go on in a file if it is the copy that is looked for."""
        position = self._as_copy(folder, found)
        if position is not None:
            self._inventory.fresh.drop(seen.inode)
            self._go_on(found, position, seen, now)
            return
        os.close(found.fd)
        if seen.matches:
            self._inventory.meet_new(seen)

    def _as_copy(self, folder: Folder, found: Found) -> FilePosition | None:
        inventory = self._inventory
        original = original_of(found.name)
        inode = _inode_at(folder, original)
        if original is None or inode is None:
            return None
        try:
            position = recognise_copy(found, inventory.stream, inventory.generations(inode))
        except OSError:
            return None  # who reads it finds out
        if position is not None:
            inventory.truncated_bytes += inventory.copies.found(original, found.size - position.position)
        return position

    def _count_twins(self, folder: Folder, found: Found) -> int:
        """Count what may have been read already, as a log of which the file looks like a copy."""
        inode = _inode_at(folder, original_of(found.name))
        try:
            return 0 if inode is None else count_twins(found, self._inventory.generations(inode))
        except OSError:
            return 0  # who reads it finds out

    def _is_being_copied(self, folder: Folder, found: Found, now: float) -> bool:
        """Tell whether a new file may be the copy of a log that is about to be truncated."""
        inventory = self._inventory
        original = original_of(found.name)
        inode = _inode_at(folder, original)
        taken = None if inode is None else inventory.taken_of(inode)
        if original is None or taken is None:
            return False
        try:
            size = os.stat(original, dir_fd=folder.fd, follow_symlinks=False).st_size
            if not (is_copy(found, taken) or may_become_copy(found, taken.position, taken.read_to)):
                return False
        except OSError:
            return False
        is_cut = size < taken.read_to  # the next scan notices it
        return inventory.copies.grows(found, now, MOST_PATIENCE if is_cut else inventory.settings.settle_seconds)

    def _let_go(self, verdict: Recognised, known: list[Kept]) -> None:
        self._inventory.truncated_bytes += verdict.lost_bytes
        self._inventory.possible_twins += verdict.twins
        mtimes = {id(kept.position): kept.mtime for kept in known}
        for other in verdict.others:
            if other.gone_since is None:
                self._inventory.retire(other, 0)
                self._inventory.copies.look_for(other.name, self._inventory.scan, 0)
            else:
                self._inventory.bury(other, mtime=mtimes[id(other)])

    def _go_on(self, found: Found, position: FilePosition, seen: Seen, now: float) -> None:
        inventory = self._inventory
        inventory.is_here(position, seen.name)
        file = inventory.adopt(position, found.fd)
        file.matches = seen.matches
        status = os.fstat(found.fd)
        file.look(status.st_size, status.st_mtime_ns, now)
        if read_size(position.position, position.tail) == file.size and not position.changed:
            inventory.settle(file)
        else:
            inventory.wish(file)

    def first(self, folder: Folder | None, inode: int, now: float) -> Watched | None:
        """Open a new file, now that its turn has come."""
        inventory = self._inventory
        name = inventory.fresh.name(inode)
        found = None if name is None else self._find(folder, name, inode)
        if found is None or folder is None:
            return None
        position = self._as_copy(folder, found)
        if position is None and self._is_being_copied(folder, found, now):
            os.close(found.fd)
            inventory.again[inode] = None
            return None
        if position is None:
            verdict = self._recognise(found, (), same_boot=True)
            if verdict is None:
                return None
            position = verdict.position
            inventory.possible_twins += self._count_twins(folder, found)
        inventory.fresh.drop(inode)
        inventory.copies.forget(inode)
        file = inventory.adopt(position, found.fd, first_scan=inventory.scan)
        file.queued = True
        status = os.fstat(found.fd)
        file.look(status.st_size, status.st_mtime_ns, now)
        file.turn_end = status.st_size
        return file

    def ahead(self, folder: Folder, now: float) -> None:
        """Open the next new files in line while there is room: what is open can be read though it is deleted."""
        for inode in list(islice(self._inventory.line, MAX_OPEN)):
            if self._inventory.open.has_room() and inode in self._inventory.fresh:
                self.first(folder, inode, now)
                self._inventory.again.pop(inode, None)  # it keeps its place in the line

    def again(self, folder: Folder | None, file: Watched) -> bool:
        """Make sure that a file is open; if another one has its inode now, go on with that one."""
        if file.fd >= 0:
            self._inventory.open.hold(file)
            return True
        found = None if file.absent else self._find(folder, file.position.name, file.position.inode)
        if found is None or not self._is_or_begins(file, found):
            return False
        file.fd = found.fd
        self._inventory.open.hold(file)
        return True

    def _is_or_begins(self, file: Watched, found: Found) -> bool:
        """Tell whether what was found is the file, or can be gone on with; whether it was rewritten its turn tells."""
        old = file.position
        birth = birth_time(found.fd)
        if birth is None or old.birth is None or birth == old.birth:
            return True
        verdict = self._recognise(found, (), same_boot=True)
        if verdict is None:
            return False
        self._inventory.vanished_files += bool(file.lose(max(0, file.turn_end - file.taken)))
        self._inventory.retire(old, file.read_to)
        file.start_over(verdict.position)
        return True

    def _recognise(self, found: Found, known: Sequence[FilePosition], *, same_boot: bool) -> Recognised | None:
        try:
            return recognise(found, self._inventory.stream, known, same_boot=same_boot)
        except OSError:
            os.close(found.fd)
            self._inventory.fail(found.name, found.inode)
            return None

    def _find(self, folder: Folder | None, name: bytes, inode: int) -> Found | None:
        """Open a file by its name, if it is still the one that the scan saw under it."""
        if folder is None:
            self._inventory.again[inode] = None
            return None
        try:
            fd = open_regular(folder.fd, name)
        except PermissionError:
            self._inventory.skip(name, inode, "unreadable")
            return None
        except OSError:
            self._inventory.again[inode] = None  # renamed, gone, or too many files are open: the next scan tells
            return None
        status = os.fstat(fd)
        if status.st_ino == inode:
            return Found(fd, inode, status.st_size, name)
        os.close(fd)
        self._inventory.again[inode] = None
        return None


def _inode_at(folder: Folder, name: bytes | None) -> int | None:
    if name is None:
        return None
    try:
        return os.stat(name, dir_fd=folder.fd, follow_symlinks=False).st_ino
    except OSError:
        return None


def _is_another_name(folder: Folder, seen: Seen, known: list[Kept]) -> bool:
    """Tell whether this is one name more of a file that rests, looks as it did, and keeps the name it is known by."""
    if len(known) != 1 or known[0].position.name == seen.name:
        return False
    position, mtime, _ = known[0]
    if read_size(position.position, position.tail) != seen.size or mtime not in {seen.mtime, UNSEEN}:
        return False
    try:
        return os.stat(position.name, dir_fd=folder.fd, follow_symlinks=False).st_ino == seen.inode
    except OSError:
        return False

"""What the byte limits of a configuration come to on each disk, and whether that fits.

Owns the sum: the queues that lie in the state, the quarantine, the reserve, the archives, and what is to be left free.
Knows nothing of who keeps to the limits. A disk that is not there yet is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from weir.core.modes import MODES
from weir.core.quoting import LONGEST_PATH, escaped
from weir.core.settings import Settings, StreamSettings
from weir.store.directory import RESERVE_BYTES

BLOCK_BYTES = 512  # what st_blocks counts in
LONGEST_LIST = 200

Say = Callable[..., None]


class Quotas(NamedTuple):
    """What may come to lie on one disk, in bytes; a queue that is limited in records alone is not in the sum."""

    path: str  # a directory on it
    queue: int
    quarantine: int
    archive: int
    reserve: int
    keep_free: int
    unlimited: tuple[str, ...]  # streams whose queue has no limit in bytes
    free: int
    held: int  # of the limits so much is in use, and not free any more for that reason

    @property
    def total(self) -> int:
        """Give the sum of the limits."""
        return self.queue + self.quarantine + self.archive + self.reserve

    @property
    def short(self) -> int:
        """Give the bytes that are lacking if all limits are reached; 0 if they fit."""
        return max(0, self.total + self.keep_free - self.held - self.free)

    def fields(self) -> dict[str, object]:
        """Give what a log line says of it."""
        return {
            "path": self.path,
            "total": self.total,
            "queue": self.queue,
            "quarantine": self.quarantine,
            "archive": self.archive,
            "reserve": self.reserve,
            "keepFree": self.keep_free,
            "free": self.free,
            "unlimited": ",".join(self.unlimited) or None,
        }

    def remark(self) -> str:
        """Give what a person is told of it."""
        text = f"quotas below {escaped(self.path, LONGEST_PATH)}: {self.total} bytes, {self.keep_free} to be left free"
        if self.unlimited:
            text += f", and the queue of {escaped(', '.join(self.unlimited), LONGEST_LIST)} without a limit in bytes"
        if not self.short:
            return f"{text}; they fit"  # how much is free is another figure every time
        return f"{text}; {self.free} are free, {self.short} too few: free space, or lower the limits"


def judge(settings: Settings) -> list[Quotas]:
    """Add up the limits for each disk, that of the state first."""
    disks: dict[int, Quotas] = {}
    for path, quotas in _places(settings):
        try:
            device, status = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        free = status.f_bavail * status.f_frsize
        known = disks.get(device)
        disks[device] = quotas._replace(free=free) if known is None else _joined(known, quotas)
    return list(disks.values())


def say(settings: Settings, log: Say) -> None:
    """Log the sum for each disk, and a warning for each that is too small for it. Nothing is refused for that."""
    for quotas in judge(settings):
        log("quotas", **quotas.fields())
        if quotas.short:
            log("quotas_exceed_disk", path=quotas.path, short=quotas.short, remedy="free space, or lower the limits")


def _joined(one: Quotas, other: Quotas) -> Quotas:
    return one._replace(archive=one.archive + other.archive, held=one.held + other.held)


def _places(settings: Settings) -> Iterator[tuple[Path, Quotas]]:
    state = Path(settings.state.path)
    streams = {name: stream for name, stream in settings.streams.items() if stream.enabled}
    stored = {name: stream.queue.max_bytes for name, stream in streams.items() if _is_stored(stream)}
    quotas = Quotas(
        path=str(state),
        queue=sum(size for size in stored.values() if size is not None),
        quarantine=settings.state.quarantine_max_bytes,
        archive=0,
        reserve=RESERVE_BYTES,
        keep_free=settings.state.min_free_bytes,
        unlimited=tuple(name for name, size in stored.items() if size is None),
        free=0,
        held=0,
    )
    yield _nearest(state), quotas._replace(held=min(_held(state), quotas.total))
    for stream in streams.values():
        source = stream.source
        if source.path is not None and source.on_done == "archive":
            held = min(_held(_archive(source.path)), source.archive_max_bytes)
            yield Path(source.path), Quotas(source.path, 0, 0, source.archive_max_bytes, 0, 0, (), 0, held)


def _nearest(path: Path) -> Path:
    """Give the directory, or the one in which it will be made."""
    return next((each for each in (path, *path.parents) if os.access(each, os.F_OK)), path)


def _is_stored(stream: StreamSettings) -> bool:
    """Tell whether what waits lies in the state: in modes 4 and 5 it stays in its directory."""
    return stream.source.type == "stdin" or MODES[stream.queue.mode].cut is not None


def _archive(path: str) -> Path:
    from weir.sources.finish import ARCHIVE  # noqa: PLC0415 - only where there is an archive

    return Path(path) / os.fsdecode(ARCHIVE)


def _held(directory: Path) -> int:
    """Count the bytes that a directory takes; what cannot be seen takes none."""
    try:
        with os.scandir(directory) as entries:
            return sum(entry.stat(follow_symlinks=False).st_blocks for entry in entries) * BLOCK_BYTES
    except OSError:
        return 0

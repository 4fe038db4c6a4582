"""A disk of its own, on which every byte that reaches the device is counted.

An ext4 file system in a file, through a loop device: what the kernel counts there is what a flash chip would be asked
to write, journal and metadata of the file system with it. Needs root; where it cannot be had, `Missing` says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.work import Missing

_SECTOR_BYTES = 512  # the kernel counts in these, whatever the device has
_SECTORS_WRITTEN = 6  # the place of this figure in /sys/block/NAME/stat
_MIB = 1 << 20


class Disk:
    """A mounted file system and the device under it."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self._statistics = Path("/sys/block") / Path(device).name / "stat"

    def bytes_written(self) -> int:
        """Count the bytes that were written to the device, with all that the file system still holds back."""
        _do("sync", "--file-system", str(self.path))
        return int(self._statistics.read_text(encoding="ascii").split()[_SECTORS_WRITTEN]) * _SECTOR_BYTES


@contextmanager
def disk(directory: Path, mebibytes: int) -> Iterator[Disk]:
    """Make a disk of this size, for as long as the block lasts. Raises `Missing`."""
    directory.mkdir(parents=True)
    image, point = directory / "image", directory / "mounted"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(mebibytes * _MIB)
    _do("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    device = _do("losetup", "--find", "--show", str(image))
    try:
        _do("mount", "-o", "noatime", device, str(point))
        try:
            yield Disk(point, device)
        finally:
            _do("umount", str(point))
    finally:
        _do("losetup", "--detach", device)
        image.unlink()


def _do(tool: str, *arguments: str) -> str:
    if os.geteuid():
        raise Missing("a block device of its own to count at can only be made by root")
    program = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise Missing(f"{tool} is not installed: apt-get install e2fsprogs mount")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{tool} failed: {done.stderr.strip()}")
    return done.stdout.strip()

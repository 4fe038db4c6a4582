"""Disks of their own for the tests of faults: a small tmpfs, and ext4 in a file by way of a loop device.

Owns mounting, cutting the power of them, and taking all of it away again; what a killed test left is found by its name
and taken away at the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

PREFIX = "weir-faults-"  # of the directories that are mounted on; the process that made them follows
SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
NO_LOG_FLUSH = 2


def run(*command: str) -> str:
    """Run a tool; raise with what it said where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)}: {done.stderr.strip()}"
        raise OSError(message)
    return done.stdout.strip()


class Disk:
    """A file system that can be taken away; `path` is where it is mounted."""

    def __init__(self, directory: Path, name: str) -> None:
        """Make the place to mount it on."""
        self.path = directory / f"{PREFIX}{os.getpid()}-{name}"
        self.path.mkdir(parents=True)

    def fill(self) -> None:
        """Leave nothing free on it."""
        with (self.path / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while os.write(file.fileno(), bytes(size)):
                        pass

    def make_room(self) -> None:
        """Take away what filled it."""
        (self.path / "ballast").unlink()

    def close(self) -> None:
        """Take it away, whoever still has files open on it."""
        with contextlib.suppress(OSError):
            run("umount", "--lazy", str(self.path))
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextlib.contextmanager
def filled(disk: Disk) -> Iterator[None]:
    """Leave nothing free on a disk for a while."""
    disk.fill()
    yield
    disk.make_room()


class Memory(Disk):
    """A tmpfs."""

    def __init__(self, directory: Path, name: str, size: int) -> None:
        """Mount one of so many bytes."""
        super().__init__(directory, name)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "weir-faults", str(self.path))


class Loop(Disk):
    """ext4 in a file; its power can be cut."""

    def __init__(self, directory: Path, name: str, size: int) -> None:
        """Make one of so many bytes and mount it."""
        super().__init__(directory, name)
        self.image = self.path.with_suffix(".img")
        with self.image.open("wb") as file:
            file.truncate(size)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,nodiscard", str(self.image))
        self.device = self._attach()
        self.mount()

    def _attach(self) -> str:
        for attempt in range(5):  # another process may take the device that was found to be free
            try:
                return run("losetup", "--find", "--show", str(self.image))
            except OSError:
                if attempt == 4:
                    raise
        raise AssertionError

    def mount(self, *options: str) -> None:
        """Mount it; the journal is replayed."""
        run("mount", "-t", "ext4", *options, self.device, str(self.path))

    def cut_power(self) -> None:
        """Lose everything that was not synced."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        finally:
            os.close(descriptor)

    def power_up(self) -> None:
        """Mount it again after its power was cut, as another device."""
        run("umount", str(self.path))
        old, self.device = self.device, ""
        try:
            self.device = self._attach()  # before the old one is free, so that its number differs
        finally:
            run("losetup", "--detach", old)
        self.mount()

    def close(self) -> None:
        """Unmount it, and give up the device and the file."""
        super().close()
        if self.device:
            with contextlib.suppress(OSError):
                run("losetup", "--detach", self.device)
        self.image.unlink(missing_ok=True)


def probe(directory: Path) -> str:
    """Say why there can be no disks of our own here; nothing if there can."""
    if os.geteuid() != 0:
        return "only root mounts file systems"
    try:
        disk = Loop(directory, "probe", 8 << 20)
    except OSError as error:
        return str(error)
    try:
        disk.cut_power()
        disk.power_up()
    except OSError as error:
        return str(error)
    finally:
        disk.close()
    return ""


def sweep() -> None:
    """Take away what tests that were killed have left: mounts first, then the loop devices of their images."""
    for line in Path("/proc/self/mounts").read_text(encoding="ascii").splitlines():
        path = line.split()[1]
        if _is_left(Path(path).name):
            with contextlib.suppress(OSError):
                run("umount", "--lazy", path)
    with contextlib.suppress(OSError):
        for line in run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").splitlines():
            device, _, image = line.partition(" ")
            if _is_left(Path(image.strip().removesuffix(" (deleted)")).name):
                with contextlib.suppress(OSError):
                    run("losetup", "--detach", device)


def _is_left(name: str) -> bool:
    """Tell whether this is ours, and of a process that is not there any more."""
    if not name.startswith(PREFIX):
        return False
    number = name.removeprefix(PREFIX).partition("-")[0]
    return number.isdigit() and not Path(f"/proc/{number}").exists()

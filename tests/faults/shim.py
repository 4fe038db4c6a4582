"""A library that is loaded into a forwarder, and makes one of its system calls go wrong.

Owns how it is made and spoken to; what it does is written in C beside this file. Where there is no compiler, or the
loader takes no library, `probe` says why.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")

KILL, POWER, BEFORE, AFTER = range(4)  # what happens at the call
KINDS = ("write", "sync", "truncate", "unlink", "rename", "allocate", "create")
ALL = (1 << len(KINDS)) - 1
DATA = 0b111  # write, sync and truncate
SYNC = 0b10
_FOREVER = 1 << 31
_FIELDS = ("calls", "fired", "at", "many", "action", "error", "only")


def build(directory: Path) -> Path:
    """Compile the library. Raises `OSError` or `CalledProcessError` where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler: apt-get install gcc")
    library = directory / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class Board:
    """What the library counts, and what it is to do; it can be told anew while the process runs."""

    def __init__(self, path: Path, library: Path) -> None:
        """Make the file that the process and the test share."""
        self.path = path
        self.library = library
        self._under = ""
        with path.open("wb+") as file:
            file.truncate(mmap.PAGESIZE)
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def variables(self, under: Path) -> dict[str, str]:
        """Give the environment of a process of which the calls under this directory are counted."""
        return {"LD_PRELOAD": str(self.library), "FAULT_BOARD": str(self.path), "FAULT_UNDER": str(under)}

    def arm(self, at: int, action: int, *, many: int = 1, error: int = errno.EIO, only: int = ALL) -> None:
        """Count from 0, and let the calls from number `at` go wrong; at 0 none does."""
        values = (0, 0, at, min(many, _FOREVER), action, error, only)
        self._memory[: 4 * len(values)] = struct.pack(f"={len(values)}I", *values)
        size = 4 * len(KINDS)
        self._memory[4 * len(values) : 4 * len(values) + size] = bytes(size)

    def always(self, action: int, *, error: int = errno.EIO, only: int = ALL) -> None:
        """Let every call go wrong from now on."""
        self.arm(1, action, many=_FOREVER, error=error, only=only)

    def _field(self, name: str) -> int:
        return int.from_bytes(self._memory[(at := 4 * _FIELDS.index(name)) : at + 4], sys.byteorder)

    @property
    def calls(self) -> int:
        """Count the calls so far."""
        return self._field("calls")

    @property
    def fired(self) -> int:
        """Count those that went wrong."""
        return self._field("fired")

    def kinds(self) -> dict[str, int]:
        """Count the calls so far by kind."""
        values = struct.unpack_from(f"={len(KINDS)}I", self._memory, 4 * len(_FIELDS))
        return dict(zip(KINDS, values, strict=True))

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()


def probe(directory: Path) -> tuple[Path | None, str]:
    """Give the library, or why there is none here."""
    try:
        library = build(directory)
    except FileNotFoundError as error:
        return None, str(error)
    except subprocess.CalledProcessError as error:
        return None, f"the library does not compile: {error.stderr.decode()[-200:]}"
    board = Board(directory / "probe.board", library)
    board.arm(0, KILL)
    script = f"import os; os.close(os.open({str(directory / 'probe')!r}, os.O_CREAT | os.O_WRONLY))"
    variables = {**os.environ, **board.variables(directory)}
    subprocess.run([sys.executable, "-c", script], env=variables, check=True)
    counted = board.kinds()["create"]
    board.close()
    return (library, "") if counted else (None, "the loader of this machine takes no library of ours")

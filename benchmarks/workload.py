"""What is sent: records of one size."""

from __future__ import annotations

from pathlib import Path
from typing import IO

RECORD_BYTES = 200
_AT_ONCE = 10_000


def record(number: int) -> bytes:
    """Make a JSON record of exactly RECORD_BYTES, each a different one."""
    head = b'{"sequence":"%010d","sensor":"inlet-7","unit":"kPa","value":%d.%d,"note":"' % (
        number,
        90 + number % 21,
        number % 10,
    )
    return head + b"x" * (RECORD_BYTES - len(head) - 2) + b'"}'


def write_records(path: Path, count: int) -> None:
    """Write so many records as JSON Lines."""
    with path.open("wb") as file:
        for begin in range(0, count, _AT_ONCE):
            _write(file, range(begin, min(begin + _AT_ONCE, count)))


def _write(file: IO[bytes], numbers: range) -> None:
    file.write(b"".join(record(number) + b"\n" for number in numbers))

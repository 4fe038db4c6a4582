"""A pipe as a source of records: standard input, read by one thread into a bounded queue.

Owns the thread and the rejoining of lines. What was read from a pipe cannot be read again, so no more is read ahead
than the queue holds. Knows nothing of what happens to a record.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from weir.core.digest import sha256
from weir.core.ports import Reading, Reject, SourceCounts
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.sources.formats import BLANKS
from weir.sources.lines import BLOCK, NOTHING_YET, Bad, Cut, LongLine, Rules, cut

BLOCKS: Final = 8  # read ahead, at most
LINE_SECONDS: Final = 0.5  # at a stop, for the rest of a line of which a part was read
JOIN_SECONDS: Final = LINE_SECONDS + 0.5

Wake = Callable[[], None]


class _Reader(threading.Thread):
    """Reads blocks ahead. It takes a slot before it reads, so a block in its hand always has a place to go."""

    def __init__(self, fd: int, wake: Wake) -> None:
        super().__init__(name="weir-stdin", daemon=True)
        self.blocks: deque[bytes] = deque()  # an empty one says that the input is over
        self.hungry = False  # the loop found nothing, and may be waiting
        self.at_end = False  # the input ended, rather than we stopped
        self.bytes_read = 0
        # Our own descriptor, made before any other: the number of a closed one goes to whatever is opened next.
        self._fd = _duplicate(fd)
        self._wake = wake
        self._slots = threading.Semaphore(BLOCKS)
        self._stopping = False
        self._in_line = False  # what was read last is not the end of a line
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        block = self._next()
        while block:
            self._put(block)
            block = self._next()
        if self._in_line and not self.at_end:
            self._finish_line()
        if self._fd >= 0:
            os.close(self._fd)
        self._put(b"")

    def _put(self, block: bytes) -> None:
        self.bytes_read += len(block)
        self._in_line = not block.endswith(b"\n")
        self.blocks.append(block)
        if self.hungry:
            self.hungry = False
            self._wake()

    def _next(self) -> bytes:
        self._slots.acquire()
        poll = select.poll()
        poll.register(self._stop_read, select.POLLIN)
        try:
            poll.register(self._fd, select.POLLIN)
            while not self._stopping:
                poll.poll()
                if not self._stopping:
                    with contextlib.suppress(BlockingIOError):  # somebody else made it so, or read before us
                        block = os.read(self._fd, BLOCK)
                        self.at_end = not block
                        return block
        except (OSError, ValueError):
            self.at_end = True  # closed, or a terminal that went away: nothing more comes
        return b""

    def _finish_line(self) -> None:
        """Read the rest of a line that a stop, or our own block, has cut in two, and nothing of the next one.

        Whoever reads the pipe after us would take the rest for a record. A pipe cannot be looked into, so that is byte
        by byte; what is written in one piece is there already, and for a writer in the middle of a line we wait.
        """
        rest = bytearray()
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        deadline = time.monotonic() + LINE_SECONDS
        with contextlib.suppress(OSError):
            while not rest.endswith(b"\n") and poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
                byte = os.read(self._fd, 1)
                self.at_end = not byte
                if self.at_end:
                    break
                rest += byte
        if rest:
            self._put(bytes(rest))

    def take(self) -> bytes | None:
        """Take the next block; None if there is none now."""
        if not self.blocks:
            self.hungry = True
            if not self.blocks:  # the thread may have put one before it saw that we are hungry
                return b"" if self._stopping else None
            self.hungry = False
        self._slots.release()
        return self.blocks.popleft()

    def stop(self) -> None:
        """Let the thread end, without waiting for more input than the rest of a line of which a part was read."""
        if self._stopping:
            return
        self._stopping = True
        self._slots.release()
        os.write(self._stop_write, b"\n")
        self.join(JOIN_SECONDS)
        if not self.is_alive():
            os.close(self._stop_read)
            os.close(self._stop_write)


def _duplicate(fd: int) -> int:
    try:
        return os.dup(fd)
    except OSError:
        return -1  # closed: an input of nothing


class PipeSource:
    """Reads records from a descriptor that can be read only once. They are numbered in the order they come."""

    replayable = False

    def __init__(
        self,
        fd: int,
        *,
        fmt: Literal["lines", "jsonl"],
        max_record_bytes: int,
        clock: Callable[[], float],
        wake: Wake,
        first_sequence: int,
    ) -> None:
        """Begin to read ahead at once."""
        self._clock = clock
        self._rules = Rules(fmt, max_record_bytes)
        self._sequence = first_sequence
        self._rest = b""  # taken from the thread and not cut yet
        self._cut_bytes = 0  # what was cut so far; a byte order mark is one only at 0
        self._long: LongLine | None = None
        self._over = False  # the rest is all there is
        self._reader = _Reader(fd, wake)
        self._reader.start()

    def go_by(self, fmt: Literal["lines", "jsonl"], max_record_bytes: int) -> None:
        """Judge by other rules what is cut from now on."""
        self._rules = Rules(fmt, max_record_bytes)

    def read(self, now: float, max_records: int) -> Reading | None:
        """Take the next few records, at most `max_records`; None if there is nothing to take now."""
        if max_records <= 0:
            return None
        came = self._gather()
        if self._long is not None:
            return self._pass_by(self._long) or (NOTHING_YET if came else None)
        result = cut(self._rest[:BLOCK], self._cut_bytes, max_records, self._rules, final=self._is_all_of(BLOCK))
        if result.end == self._cut_bytes:
            return self._take_longer(now)
        return self._give(result, now)

    def _gather(self) -> bool:
        """Take blocks from the thread until there is one full one."""
        came = False
        while not self._over and len(self._rest) < BLOCK:
            block = self._reader.take()
            if block is None:
                break
            came = True
            self._over = not block
            self._rest += block
        return came

    def _is_all_of(self, limit: int) -> bool:
        """Tell whether the rest ends a record where it ends: at the end of the input, but not at a stop."""
        return self._over and self._reader.at_end and len(self._rest) <= limit

    def _take_longer(self, now: float) -> Reading | None:
        """Take one record that does not fit a block, or begin to pass by one that is too long."""
        newline = self._rest.find(b"\n") + 1
        if newline:
            return self._give(cut(self._rest[:newline], self._cut_bytes, 1, self._rules), now)
        if len(self._rest) >= self._rules.max_record_bytes + 2:
            self._long = LongLine(self._cut_bytes, self._rules)
            return self._pass_by(self._long) or NOTHING_YET
        if not self._over:
            return self._gather_more()
        if self._reader.at_end:
            return self._give(cut(self._rest, self._cut_bytes, 1, self._rules, final=True), now) if self._rest else None
        return self._give_up_rest()

    def _gather_more(self) -> Reading | None:
        """Take one block more, for a record that is longer than one."""
        block = self._reader.take()
        if block is None:
            return None
        self._over = not block
        self._rest += block
        return NOTHING_YET

    def _pass_by(self, line: LongLine) -> Reading | None:
        """Let a line that is too long pass; give its reject at its end."""
        newline = self._rest.find(b"\n")
        passing = self._rest if newline < 0 else self._rest[:newline]
        line.feed(passing)
        self._drop(len(passing) + (newline >= 0))
        if newline < 0 and not self._over:
            return None
        self._long = None
        bad = line.finish(self._cut_bytes)
        return NOTHING_YET if bad is None else Reading(None, (self._number(bad),))

    def _give_up_rest(self) -> Reading | None:
        """Set aside the part of a line that was there when reading was stopped: the writer's other half is unknown."""
        rest = self._rest
        self._drop(len(rest))
        if not rest.strip(BLANKS):
            return None
        digest = sha256(rest).digest()
        return Reading(None, (self._number(Bad("malformed", "unterminated at stop", 0, 0, len(rest), rest, digest)),))

    def _give(self, result: Cut, now: float) -> Reading:
        self._drop(result.end - self._cut_bytes)
        span = None
        if result.run is not None:
            body, ends, _ = result.run
            span = Span(body=body, ends=ends, offset=self._sequence, at=self._clock(), read_at=now)
            self._sequence += len(ends)
        return Reading(span, tuple(map(self._number, result.bad)))

    def _drop(self, count: int) -> None:
        self._rest = self._rest[count:]
        self._cut_bytes += count

    def _number(self, bad: Bad) -> Reject:
        number = self._sequence
        self._sequence += 1
        return Reject(bad.reason, bad.detail, None, number, number, bad.size, bad.kept, bad.digest)

    def advance(self, now: float) -> float | None:  # noqa: ARG002 - part of the port; the thread looks by itself
        return None

    def before_commit(self) -> list[FilePosition]:
        return []

    def forgotten(self) -> list[FilePosition]:
        return []

    def after_commit(self, now: float) -> None:
        """Do nothing: a pipe has no files to finish."""

    def counts(self) -> SourceCounts:
        return SourceCounts()

    def unfinished(self) -> dict[int, int]:
        return {}

    def expect(self, files: dict[int, int]) -> None:
        """Do nothing: there are no files that could vanish."""

    def held_by(self) -> str | None:
        return None

    def unread(self) -> tuple[int, int]:
        """Count the bytes that were read ahead."""
        ahead = self._reader.bytes_read - self._cut_bytes
        return ahead, int(ahead > 0)

    def exhausted(self) -> bool:
        """Tell whether the input is over and every record of it was taken."""
        return self._over and not self._rest and self._long is None

    def close(self) -> None:
        """Take no more from the pipe; what was taken can still be read."""
        self._reader.stop()

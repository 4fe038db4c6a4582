"""What reaches the flash: bytes written to a block device that carries nothing but the state.

With the link up a commit writes counters and positions; with the link down also the records, where the source cannot
give them again; and what waited is drained at last. Byte counts are not disturbed by what else the machine does, so a
figure of these needs few rounds.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.disk import Disk, disk
from benchmarks.figures import RATIO, Figure
from benchmarks.gateway import PIPE, Gateway
from benchmarks.processes import TIMEOUT_SECONDS
from benchmarks.work import Work
from benchmarks.workload import RECORD_BYTES, record
from tests.broker import Broker

FLASH = "flash"
RATE = 10  # records a second, link up
_DISK_MIB = 1024
_KIB = 1024
_TICK_SECONDS = 0.1
_SETTLING_SECONDS = 3.0  # after a start, until all is as it stays
_COMMITS = 20
_COMMITTED = (10, 100, 500, 1_000, 5_000)  # records a commit, link down
_ENOUGH = 500  # records a commit from which on the aim holds


class Cost(NamedTuple):
    """What a while of running wrote."""

    bytes: int
    commits: int
    seconds: float


def measure(work: Work) -> list[Figure]:
    """Measure each case once a round; a round more than two tells nothing new."""
    with work.broker() as broker, disk(work.directory / "disk", _DISK_MIB) as device:
        return _Flash(work, broker, device).measure()


class _Flash:
    def __init__(self, work: Work, broker: Broker, device: Disk) -> None:
        self._work = work
        self._broker = broker
        self._disk = device
        self._runs = 0
        self._rounds = min(2, work.sizes.rounds)
        self._commits = max(2, min(_COMMITS, int(work.sizes.seconds)))

    def measure(self) -> list[Figure]:
        return [*self._link_up(), *self._link_down_pipe(), *self._link_down_directory()]

    # -- link up ------------------------------------------------------------------------------------------------------

    def _link_up(self) -> list[Figure]:
        figures: list[Figure] = []
        for seconds in (1, 10):
            costs = [self._trickle(seconds, link=True) for _ in range(self._rounds)]
            name = f"link up, {RATE} records/s, commitSeconds {seconds}"
            commit = [cost.bytes / _KIB / max(1, cost.commits) for cost in costs]
            a_second = [cost.bytes / _KIB / cost.seconds for cost in costs]
            figures += [
                Figure(FLASH, f"{name}: a commit", "KiB", commit, "at most 16" if seconds == 1 else ""),
                Figure(FLASH, f"{name}: a second", "KiB", a_second, "at most 2.5" if seconds == 10 else ""),
            ]
            self._work.say(f"{FLASH}: {name}: {commit[-1]:.1f} KiB a commit, {a_second[-1]:.2f} KiB a second")
        return figures

    def _trickle(self, commit_seconds: int, *, link: bool) -> Cost:
        """Write records into a watched file at a steady rate; measure once all has become steady."""
        with self._gateway({"state.commitSeconds": commit_seconds}) as gateway:
            inbox = gateway.directory / "inbox"
            inbox.mkdir()
            with (inbox / "telemetry.jsonl").open("ab") as file, gateway.running(["--watch", inbox], link=link):
                begun = time.monotonic()
                feed = _Feed(file, RATE)
                feed.go_on(_SETTLING_SECONDS + commit_seconds)
                return self._over(gateway, lambda: feed.go_on(max(self._work.sizes.seconds, 3 * commit_seconds)), begun)

    def _over(self, gateway: Gateway, run: Callable[[], None], begun: float) -> Cost:
        written, commits, begun = self._disk.bytes_written(), _commits(gateway.state), time.monotonic()
        run()
        seconds = time.monotonic() - begun
        return Cost(self._disk.bytes_written() - written, _commits(gateway.state) - commits, seconds)

    # -- link down ----------------------------------------------------------------------------------------------------

    def _link_down_pipe(self) -> list[Figure]:
        figures: list[Figure] = []
        for records in _COMMITTED:
            found = [self._hold(records) for _ in range(self._rounds)]
            told = [all_told for *_, all_told in found]
            name = f"link down, {records:,} records a commit"
            aim = "at most 2.6" if records >= _ENOUGH else ""
            figures += [
                Figure(FLASH, f"{name}: against the payload", "x", [held for held, *_ in found], aim),
                Figure(
                    FLASH,
                    f"{name}: to drain it",
                    "x",
                    [drained for _, drained, _ in found],
                    "at most 0.5" if aim else "",
                ),
                Figure(FLASH, f"{name}: the device against storeBytesWritten", RATIO, told),
            ]
            self._work.say(f"{FLASH}: {name}: {found[-1][0]:.2f} x payload, {found[-1][1]:.2f} x to drain")
        return figures

    def _hold(self, records: int) -> tuple[float, float, float]:
        """Take records from a pipe while there is no broker, and then drain them; give what that wrote, by payload.

        Give also how much it was all together by what the status says.
        """
        with self._gateway({}) as gateway:
            given = records * self._commits
            gateway.begin_empty()
            made = gateway.status()["storeBytesWritten"]
            before = self._disk.bytes_written()
            with gateway.running(PIPE, link=False, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None  # noqa: S101 - as it was asked for
                self._write_by_the_second(gateway, process.stdin, records)
                process.send_signal(signal.SIGTERM)
                process.wait(TIMEOUT_SECONDS)
            held = self._disk.bytes_written()
            if gateway.status()["records"]["pending"] != given:
                raise RuntimeError(f"not all of {given} records are held: {gateway.status()['records']}")
            held_after_status = self._disk.bytes_written()
            gateway.drain_backlog(given)
            drained = self._disk.bytes_written() - held_after_status
            payload = given * RECORD_BYTES
            told = gateway.status()["storeBytesWritten"] - made
            return (held - before) / payload, drained / payload, (held - before + drained) / told

    def _write_by_the_second(self, gateway: Gateway, pipe: IO[bytes], records: int) -> None:
        """Write so many records at a time, each time when those before are committed."""
        for number in range(self._commits):
            first = number * records
            pipe.write(b"".join(record(first + index) + b"\n" for index in range(records)))
            pipe.flush()
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while _pending(gateway.state) < first + records:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{first + records} records did not come in")
                time.sleep(_TICK_SECONDS)

    def _link_down_directory(self) -> list[Figure]:
        costs = [self._trickle(1, link=False) for _ in range(self._rounds)]
        name = "link down, a directory in mode 4: a second"
        return [Figure(FLASH, name, "KiB", [cost.bytes / _KIB / cost.seconds for cost in costs], "at most 0.1")]

    @contextmanager
    def _gateway(self, settings: dict[str, object]) -> Iterator[Gateway]:
        """Make a gateway whose state, and nothing else, lies on the disk that is counted."""
        self._runs += 1
        directory = self._work.directory / f"flash-{self._runs}"
        state = self._disk.path / f"state-{self._runs}"
        try:
            yield Gateway(directory, self._broker, state=state, settings=settings)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            shutil.rmtree(state, ignore_errors=True)


class _Feed:
    """Writes records at a steady rate."""

    def __init__(self, file: IO[bytes], rate: int) -> None:
        self._file = file
        self._pause = 1 / rate
        self._number = 0
        self._due = time.monotonic()

    def go_on(self, seconds: float) -> None:
        """Write for so long."""
        end = self._due + seconds
        while self._due < end:
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._file.write(record(self._number) + b"\n")
            self._file.flush()
            self._number += 1
            self._due += self._pause


def _commits(state: Path) -> int:
    return _look(state, "SELECT coalesce(max(commits), 0) FROM stream")


def _pending(state: Path) -> int:
    return _look(state, "SELECT coalesce(sum(pending), 0) FROM stream")


def _look(state: Path, statement: str) -> int:
    """Ask a copy of the store: the one that is in use belongs to another process, and asking it would write."""
    with tempfile.TemporaryDirectory(prefix="weir-") as directory:
        for name in ("weir.db", "weir.db-wal"):
            if (state / name).exists():
                shutil.copyfile(state / name, Path(directory) / name)
        with closing(sqlite3.connect(Path(directory) / "weir.db")) as database:
            try:
                return int(database.execute(statement).fetchone()[0])
            except sqlite3.Error:  # it was not there yet, or was just being written
                return 0

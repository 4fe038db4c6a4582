"""The disk is full, fails, or may only be read; and the process runs out of descriptors or memory.

Whatever fails, the process stays, says so, and goes on by itself once it can.
"""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.disks import Loop, run
from tests.faults.frame import LONG, Tally, Trial
from tests.faults.shim import AFTER, ALL, BEFORE, DATA, SYNC, Board
from tests.faults.test_crash import begin_counted, calls_of_a_life
from tests.faults.test_power import come_up_again
from tests.faults.workload import BOUND, Document

Begin = Callable[..., Trial]
SMALL = 20 << 20
SHARDS = 8 if LONG else 1
ERRORS = {
    "EIO (write fails)": (BEFORE, DATA, errno.EIO),
    "EIO (write is made and fails)": (AFTER, DATA, errno.EIO),
    "EIO (sync fails)": (BEFORE, SYNC, errno.EIO),
    "EIO (sync is made and fails)": (AFTER, SYNC, errno.EIO),
    "EIO (file is not made, moved or removed)": (BEFORE, ALL & ~DATA, errno.EIO),
    "ENOSPC (write fails)": (BEFORE, DATA, errno.ENOSPC),
}


def judged(trial: Trial, fault: str, *, reread: bool = False) -> None:
    """Judge a life in which the store failed: each time as much may arrive twice as after a kill."""
    tally = Tally(fault)
    trial.interrupted = BOUND * trial.log_of("recovered")
    tally.add(trial.judge(reread=reread), log=trial.log())
    tally.close()


def failing(status: Document) -> bool:
    return any("store" in str(reason).lower() for reason in status["degraded"])


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("how", ERRORS)
def test_an_error_at_a_call_is_got_over_without_a_restart(begin: Begin, board: Board, how: str, shard: int) -> None:
    tally = Tally(how)
    (action, only, error), struck = ERRORS[how], 0
    calls = range(1 + shard, calls_of_a_life(begin, board, only) + 1, SHARDS) if LONG else (2, 14)
    for at in calls:
        trial = begin_counted(begin, board)
        board.arm(at, action, only=only, error=error)
        trial.start()
        process = trial.forwarder.process
        for step in trial.steps:
            trial.do(step)
        trial.finish(clean=False)
        assert trial.forwarder.process is process
        trial.interrupted = BOUND * board.fired
        struck += board.fired
        tally.add(trial.judge(), f"call {at}", trial.log())
    assert struck, "none of the calls came"
    tally.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_goes_on_failing_is_waited_for(begin: Begin, board: Board, error: int) -> None:
    trial = begin_counted(begin, board)
    board.arm(0, BEFORE)
    trial.start()
    trial.do(next(trial.steps))
    board.always(BEFORE, error=error, only=DATA)
    trial.link_up()
    trial.until(failing, "it says that its store fails")
    board.arm(0, BEFORE)
    trial.until(lambda status: not failing(status), "it recovers", 60)
    trial.finish(clean=False)
    judged(trial, f"disk fails for a while ({errno.errorcode[error]})")


def test_a_disk_that_may_only_be_read_is_waited_for(begin: Begin, make_disk: Callable[..., Loop]) -> None:
    disk = make_disk(Loop, SMALL)
    trial = begin(disk.path)
    trial.start()
    trial.do(next(trial.steps))
    run("mount", "-o", "remount,abort", str(disk.path))
    trial.link_up()
    trial.until(failing, "it says that its store fails")
    trial.forwarder.kill()
    trial.kills += 1
    come_up_again(trial, disk, "the next")  # nothing else makes it writable: what was not synced is gone
    trial.finish()
    judged(trial, "read-only disk", reread=True)


@contextlib.contextmanager
def limited(trial: Trial, kind: int, limit: int) -> Iterator[None]:
    """Give the running process less of something."""
    before = resource.prlimit(trial.forwarder.pid, kind)
    resource.prlimit(trial.forwarder.pid, kind, (limit, before[1]))
    yield
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(trial.forwarder.pid, kind, before)


def test_without_a_free_descriptor_it_waits(begin: Begin) -> None:
    trial = begin()
    trial.start()
    trial.do(next(trial.steps))
    open_now = len(list(Path(f"/proc/{trial.forwarder.pid}/fd").iterdir()))
    with limited(trial, resource.RLIMIT_NOFILE, open_now):
        trial.link_up()
        for number in range(5):
            trial.workload.feed("archived", 3, f"more-{number}.jsonl")
        assert trial.forwarder.process is not None
        with contextlib.suppress(AssertionError):
            trial.until(lambda status: status["records"]["delivered"] > 200, "a while goes by", 3)
    trial.finish()
    judged(trial, "no descriptor free")


def test_with_little_memory_a_line_of_any_length_does_no_harm(begin: Begin) -> None:
    trial = begin()
    trial.start()
    trial.do(next(trial.steps))
    pages = Path(f"/proc/{trial.forwarder.pid}/statm").read_text(encoding="ascii").split()[0]
    size = int(pages) * resource.getpagesize()
    with limited(trial, resource.RLIMIT_AS, size + (48 << 20)):
        trial.workload.feed_long("archived", 100 << 20)
        trial.until(lambda status: status["records"]["quarantined"]["tooLarge"], "the long line is set aside")
    trial.finish()
    judged(trial, "little memory")

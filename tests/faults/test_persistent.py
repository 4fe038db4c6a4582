"""A fault that is there when the process starts, and stays: it must be waited for, since a supervisor that sees the
process end again and again gives it up.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator

import pytest

from tests.conditions import eventually
from tests.faults.disks import Disk, Memory, run
from tests.faults.frame import Trial
from tests.faults.shim import BEFORE, Board
from tests.faults.test_crash import begin_counted
from tests.faults.test_disk import SMALL, filled, judged

Begin = Callable[..., Trial]
Fault = Callable[[Disk], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def read_only(disk: Disk) -> Iterator[None]:
    """Let nothing be written to a disk on which nothing is open."""
    run("mount", "-o", "remount,ro", str(disk.path))
    yield
    run("mount", "-o", "remount,rw", str(disk.path))


FAULTS: dict[str, Fault] = {"full": filled, "read-only": read_only}


def outlasts(trial: Trial) -> None:
    """Start it, and see that it stays: it says what is wrong, or it can work all the same."""
    trial.start()
    process = trial.forwarder.process
    assert process is not None
    said = ("event=degraded reason=storeFailing", "event=started")
    eventually(
        lambda: process.poll() is not None or any(what in trial.log() for what in said), what="it says how it is"
    )
    assert process.poll() is None, trial.log()


def comes_back(trial: Trial) -> None:
    """Go on to the end without another start."""
    process = trial.forwarder.process
    trial.finish(clean=False)
    assert trial.forwarder.process is process


@pytest.mark.parametrize("lived", [False, True], ids=["first start", "later start"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_takes_nothing_from_the_start_is_waited_for(
    begin: Begin, make_disk: Callable[..., Disk], fault: str, *, lived: bool
) -> None:
    disk = make_disk(Memory, SMALL)
    trial = begin(disk.path)
    if lived:
        trial.start()
        trial.do(next(trial.steps))
        trial.forwarder.kill()
        trial.kills += 1
    else:
        next(trial.steps).action()
    with FAULTS[fault](disk):
        outlasts(trial)
    comes_back(trial)
    judged(trial, f"{fault} disk from the start")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_calls_that_all_fail_from_the_start_are_waited_for(begin: Begin, board: Board, error: int) -> None:
    trial = begin_counted(begin, board)
    board.always(BEFORE, error=error)
    next(trial.steps).action()
    outlasts(trial)
    board.arm(0, BEFORE)
    comes_back(trial)
    judged(trial, f"every call fails from the start ({errno.errorcode[error]})")

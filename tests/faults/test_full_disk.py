"""A disk on which nothing is free: it must still be possible to count and to shrink on it, and to start."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.faults.disks import Disk, Loop, Memory, filled
from tests.faults.frame import LONG, Ended, Tally, Trial
from tests.faults.shim import KILL, Board
from tests.faults.test_crash import begin_counted
from tests.faults.test_disk import SMALL, judged
from tests.faults.test_persistent import comes_back, outlasts

Begin = Callable[..., Trial]
SHARDS = 4 if LONG else 1
POINTS = range(1, 41) if LONG else (5,)  # calls on the full disk at which the process is killed


@pytest.mark.parametrize("kind", [Memory, Loop])
def test_a_full_disk_still_counts_and_shrinks(begin: Begin, make_disk: Callable[..., Disk], kind: type[Disk]) -> None:
    disk = make_disk(kind, SMALL)
    trial = begin(disk.path)
    trial.start()
    trial.do(next(trial.steps))
    reserve = trial.forwarder.state / "reserve"
    assert reserve.exists()
    with filled(disk):
        trial.do(next(trial.steps))  # what waited is delivered, and that is committed
        assert not reserve.exists()  # which took what was kept for it
        trial.workload.feed("archived", 10)  # which does not fit
    trial.finish()
    assert reserve.exists()  # it is kept again for the next time
    judged(trial, f"full disk ({kind.__name__})")


@pytest.mark.parametrize("spent", [False, True], ids=["with its reserve", "without a reserve"])
@pytest.mark.parametrize("kind", [Memory, Loop])
def test_a_process_that_is_killed_on_a_full_disk_comes_back_on_it(
    begin: Begin, make_disk: Callable[..., Disk], kind: type[Disk], *, spent: bool
) -> None:
    disk = make_disk(kind, SMALL)
    trial = begin(disk.path)
    trial.start()
    trial.do(next(trial.steps))
    reserve = trial.forwarder.state / "reserve"
    with filled(disk):
        if spent:
            trial.do(next(trial.steps))
            assert not reserve.exists()
        trial.forwarder.kill()
        trial.kills += 1
        disk.fill()  # with what its end has set free
        trial.start()
        if not spent:
            trial.do(next(trial.steps))  # it counts, and shrinks
            assert not reserve.exists()
        else:
            trial.until(lambda status: status["state"] == "online", "it is back")
        trial.workload.feed("archived", 10)  # which does not fit
        process = trial.forwarder.process
    trial.finish()
    assert trial.forwarder.process is process
    judged(trial, f"killed on a full disk ({kind.__name__})")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_a_call_on_a_full_disk_breaks_no_promise(
    begin: Begin, board: Board, make_disk: Callable[..., Disk], shard: int
) -> None:
    tally, disk, struck = Tally("SIGKILL at a call on a full disk"), make_disk(Memory, SMALL), 0
    for at in POINTS[shard::SHARDS]:
        trial = begin_counted(begin, board, disk.path)
        board.arm(0, KILL)
        trial.start()
        trial.do(next(trial.steps))
        with filled(disk):
            board.arm(at, KILL)
            try:
                trial.do(next(trial.steps))
            except Ended:
                struck += 1
                assert trial.ended() == -signal.SIGKILL, trial.log()
                disk.fill()
                board.arm(0, KILL)
                trial.start()
                trial.until(lambda status: status["state"] == "online", "it is back")
        trial.finish()
        tally.add(trial.judge(), f"call {at}", trial.log())
    assert struck, "none of the calls came"
    tally.close()


def test_a_damaged_state_on_a_full_disk_waits_for_room_and_is_then_begun_anew(
    begin: Begin, make_disk: Callable[..., Disk]
) -> None:
    disk = make_disk(Memory, SMALL)
    trial = begin(disk.path)
    trial.start()
    trial.do(next(trial.steps))
    trial.forwarder.kill()
    trial.kills += 1
    with (trial.forwarder.state / "weir.db").open("rb+") as database:
        database.write(bytes(4096))
    (trial.forwarder.state / "reserve").unlink()
    with filled(disk):
        outlasts(trial)
    comes_back(trial)
    tally = Tally("damaged state on a full disk")
    tally.add(trial.judge(may_lose_state=True), log=trial.log())
    tally.close()

"""The power is cut before a call that changes the disk: what was not synced is gone, from the sources too.

The file system is mounted again as another device, as after a start of the machine.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.faults.disks import Loop
from tests.faults.frame import LONG, Tally, Trial
from tests.faults.shim import POWER, Board
from tests.faults.test_crash import SHARDS, begin_counted, calls_of_a_life, points

Begin = Callable[..., Trial]
DISK_BYTES = 64 << 20


def come_up_again(trial: Trial, disk: Loop, boot: str) -> None:
    """Start the machine: another device number, another boot, and no directory whose making was not synced."""
    disk.power_up()
    trial.forwarder.launch = ["-m", "tests.faults.launcher"]
    trial.forwarder.variables = {**trial.forwarder.variables, "FAULT_BOOT": boot}
    trial.workload.make_inboxes()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_power_cut_before_a_call_that_changes_the_disk_breaks_no_promise(
    begin: Begin, board: Board, make_disk: Callable[..., Loop], shard: int
) -> None:
    tally = Tally("power cut at a write-class call")
    disk = make_disk(Loop, DISK_BYTES)
    last, struck = calls_of_a_life(lambda _place: begin(disk.path), board), 0
    for at in points(shard, last):
        trial = begin_counted(begin, board, disk.path)
        board.arm(at, POWER)
        trial.start()
        if not trial.live():
            struck += 1
            assert trial.ended() == -signal.SIGKILL, trial.log()
            before = disk.path.stat().st_dev
            come_up_again(trial, disk, "the next")
            assert disk.path.stat().st_dev != before
        trial.finish()
        tally.add(trial.judge(reread=True), f"call {at} of {last}", trial.log())
    assert struck, "none of the calls came"
    tally.close()


@pytest.mark.parametrize("start", range(7, 47, 10) if LONG else [17])
def test_power_cuts_one_after_the_other_break_no_promise(
    begin: Begin, board: Board, make_disk: Callable[..., Loop], start: int
) -> None:
    tally = Tally("power cuts in a row")
    disk = make_disk(Loop, DISK_BYTES)
    for first in range(start, start + 10, 2) if LONG else [start]:
        trial = begin_counted(begin, board, disk.path)
        for again in range(3):
            board.arm(first + 9 * again, POWER)
            trial.start()
            if not trial.live():
                trial.ended()
                come_up_again(trial, disk, str(again))
            trial.workload.prefix = f"c{again}"
        trial.finish()
        tally.add(trial.judge(reread=True), f"cuts at {first}", trial.log(), trials=3)
    tally.close()

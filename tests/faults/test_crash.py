"""The process is killed at a call that changes the disk: at every one in the long form, at some in the short one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.frame import LONG, Tally, Trial
from tests.faults.shim import ALL, KILL, Board

SHARDS = 16 if LONG else 2  # none takes longer than a test may
SAMPLES = 6  # of each shard, in the short form
Begin = Callable[..., Trial]


def begin_counted(begin: Begin, board: Board, place: Path | None = None) -> Trial:
    trial = begin(place)
    trial.forwarder.variables = board.variables(trial.workload.place)
    return trial


def test_the_workload_reaches_every_path_of_the_state(begin: Begin, board: Board) -> None:
    trial = begin_counted(begin, board)
    board.arm(0, KILL)
    trial.start()
    assert trial.live(), trial.log()
    status = trial.look()
    records = status["records"]
    assert records["dropped"]["queueFullFront"] + records["dropped"]["queueFullBack"] > 0
    assert records["dropped"]["expired"] > 0
    assert records["quarantined"]["malformed"] == 3
    assert records["delivered"] >= 90
    assert trial.workload.archived()
    assert list(trial.workload.inbox("overflows").glob("*-1.jsonl"))
    assert all(board.kinds().values()), board.kinds()
    assert not trial.judge().violations


def points(shard: int, last: int) -> range:
    """Choose the calls to try: the shards share all of them, of which the short form takes some that lie far apart."""
    every = SHARDS if LONG else max(SHARDS, last // SAMPLES)
    return range(1 + shard if LONG else 1 + shard * every // SHARDS, last + 1, every)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_a_call_that_changes_the_disk_breaks_no_promise(begin: Begin, board: Board, shard: int) -> None:
    tally = Tally("SIGKILL at a write-class call")
    last, struck = calls_of_a_life(begin, board), 0
    for at in points(shard, last):
        trial = begin_counted(begin, board)
        board.arm(at, KILL, only=ALL)
        trial.start()
        if not trial.live():
            struck += 1
            assert trial.ended() == -signal.SIGKILL, trial.log()
            if at % 2:
                look_if_there_is_a_state(trial)
        trial.finish()
        tally.add(trial.judge(), f"call {at} of {last}", trial.log())
    assert struck, "none of the calls came"
    tally.close()


def look_if_there_is_a_state(trial: Trial) -> None:
    answer = trial.forwarder.ask("status", "--json")
    if answer.returncode == 0:
        trial.look()


def calls_of_a_life(begin: Begin, board: Board, only: int = ALL) -> int:
    trial = begin_counted(begin, board)
    board.arm(0, KILL, only=only)
    trial.start()
    assert trial.live(), trial.log()
    return board.calls

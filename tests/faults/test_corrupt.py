"""The state is damaged while nobody runs: bits flip, files end early, pages turn to zeros.

Afterwards everything is accounted for, or it is said that the state was lost, and the damaged one lies beside the new.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damage import DAMAGES, damage_one
from tests.faults.frame import LONG, Tally, Trial

SHARDS = 9 if LONG else 2
ROUNDS = 4 if LONG else 1  # of the kinds of damage, in each shard
Begin = Callable[..., Trial]


def state_files(state: Path) -> list[Path]:
    return sorted(path for path in state.iterdir() if path.is_file() and path.name not in {"lock", "reserve"})


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_after_damage_everything_is_accounted_for_or_the_state_is_said_to_be_lost(
    begin: Begin, shard: int, *, killed: bool
) -> None:
    tally = Tally("corrupt state")
    for number in range(ROUNDS * len(DAMAGES)):
        seed = number * SHARDS + shard
        dice = random.Random(seed)
        trial = begin()
        trial.start()
        for _ in range(1 + number % 2):  # with rows of a backlog, or with most of it delivered
            trial.do(next(trial.steps))
        if killed:
            trial.forwarder.kill()
            trial.kills += 1
        else:
            assert trial.forwarder.terminate() in {0, 3}, trial.log()
        what = f"seed {seed}: {damage_one(state_files(trial.forwarder.state), DAMAGES[number % len(DAMAGES)], dice)}"
        try:
            status = trial.finish()
        except AssertionError as error:
            tally.broken.append(f"{what}: {str(error)[:3_000]}")
            continue
        if status["beside"]["stateLost"]:
            assert list(trial.forwarder.state.glob("weir.db.corrupt-*")), what
        tally.add(trial.judge(may_lose_state=True), what, trial.log())
    tally.close()

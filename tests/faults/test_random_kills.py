"""SIGKILL at random moments, one process after the other on the same state, with a link that comes and goes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.faults.frame import LONG, Tally, Trial
from tests.faults.workload import WINDOW, Document

LIVES = 20 if LONG else 1
KILLS = 25 if LONG else 6  # of each life
Begin = Callable[..., Trial]


def looks(trial: Trial, most: int, dice: random.Random) -> None:
    """Wait until the process has answered a random number of times, feeding some more now and then."""
    goal, answers = dice.randint(1, most), 0

    def often_enough(_status: Document) -> bool:
        nonlocal answers
        answers += 1
        if answers % 5 == 1:
            trial.workload.feed(dice.choice(["overflows", "expires", "archived"]), dice.randint(1, 30))
        return answers >= goal

    trial.until(often_enough, f"{goal} answers")


@pytest.mark.parametrize("life", range(LIVES))
def test_kills_at_random_moments_break_no_promise(begin: Begin, life: int) -> None:
    tally = Tally("SIGKILL at random")
    dice = random.Random(life)
    trial = begin()
    for number in range(KILLS):
        trial.workload.prefix = f"r{number}"
        trial.start()
        looks(trial, 40, dice)
        if dice.random() < 0.4:
            if trial.broker.running:
                trial.broker.stop()
                trial.interrupted += WINDOW
            else:
                trial.broker.start()
            looks(trial, 80, dice)
        trial.forwarder.kill()
        trial.kills += 1
        if dice.random() < 0.3:
            trial.look()
    trial.finish()
    tally.add(trial.judge(), f"seed {life}", trial.log(), trials=KILLS)
    tally.close()

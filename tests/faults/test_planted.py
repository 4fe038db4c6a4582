"""The checker against wrong versions of the product: it must catch every one, and nothing where there is no bug."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.conditions import eventually
from tests.faults.disks import Loop
from tests.faults.frame import Ended, Tally, Trial
from tests.faults.planted import BUGS, SHOWN_BY
from tests.faults.test_power import DISK_BYTES, come_up_again

Begin = Callable[..., Trial]
BY_POWER = {"not_synced"}  # what only a power cut shows
BY_BROKER = {"sent_counted_as_delivered"}  # what shows only if the broker dies with what it has not taken yet


def lived(trial: Trial, bug: str) -> Trial:
    """Live up to an unclean stop in the middle of it, and on to the end, with a bug planted."""
    trial.strict = not bug
    trial.patience = 60 if not bug else 12
    trial.forwarder.launch = ["-m", "tests.faults.launcher"]
    trial.forwarder.variables = {"FAULT_BUG": bug}
    trial.start()
    for step in trial.steps:
        if not reached(trial, step.action, step.reached, step.what) or "delivered" in step.what:
            break
    return trial


def reached(trial: Trial, action: Callable[[], object], condition: Callable[..., object], what: str) -> bool:
    action()
    with contextlib.suppress(AssertionError):
        trial.until(condition, what, trial.patience)
        return True
    return False


def go_on(trial: Trial, bug: str) -> None:
    trial.forwarder.variables = {"FAULT_BUG": bug, "FAULT_AGAIN": "1", **trial.forwarder.variables}
    if bug:
        trial.patience = 6  # some never come to an end, and that tells enough
    try:
        trial.finish(clean=False)
    except AssertionError:
        if trial.strict:
            raise
        trial.forwarder.close()  # with some bugs it does not come to an end: what is there is judged
        trial.look()


def caught(trial: Trial, bug: str, *, reread: bool = False) -> None:
    """Check that the judge says of this bug what it must, and nothing where there is none."""
    found = trial.judge(reread=reread)
    tally = Tally("planted bugs, all caught" if bug else "no bug planted")
    named = {violation.name for violation in found.violations}
    assert "Error:" not in trial.log(), trial.log()  # a bug that fits nowhere any more is none
    if bug:
        assert named & SHOWN_BY[bug], (found, trial.log())
        found = found._replace(lost=0, unaccounted=0, violations=[])  # they were to be found
    tally.add(found, log=trial.log())
    tally.close()


@pytest.mark.parametrize("bug", ["", *sorted(BUGS.keys() - BY_POWER - BY_BROKER)])
def test_a_planted_bug_is_caught_and_no_bug_is_not(begin: Begin, bug: str) -> None:
    trial = begin()
    with contextlib.suppress(Ended):  # some die where a kill would hit them in the end
        lived(trial, bug)
    assert trial.looks, trial.log()
    trial.forwarder.close()
    trial.kills += 1
    go_on(trial, bug)
    caught(trial, bug)


@pytest.mark.parametrize("bug", ["", *sorted(BY_POWER)])
def test_a_planted_bug_that_only_a_power_cut_shows_is_caught(
    begin: Begin, make_disk: Callable[..., Loop], bug: str
) -> None:
    disk = make_disk(Loop, DISK_BYTES)
    trial = lived(begin(disk.path), bug)
    disk.cut_power()
    trial.forwarder.close()
    trial.kills += 1
    come_up_again(trial, disk, "the next")
    go_on(trial, bug)
    caught(trial, bug, reread=True)


@pytest.mark.parametrize("bug", ["", *sorted(BY_BROKER)])
def test_a_planted_bug_that_shows_when_the_broker_dies_too_is_caught(begin: Begin, bug: str) -> None:
    trial = lived(begin(), bug)
    fed = len(trial.workload.written)
    settled = trial.until(lambda s: s["records"]["read"] - s["records"]["pending"] >= fed, "all of it is settled")
    delivered = settled["records"]["delivered"]
    eventually(lambda: len(set(trial.received())) >= delivered, what="the observer has what was delivered")
    trial.broker.freeze()
    trial.workload.feed("archived", 8, "late.jsonl", synced=True)
    trial.until(lambda s: s["records"]["inFlight"] >= 8 or s["records"]["delivered"] >= delivered + 8, "they are sent")
    trial.forwarder.close()
    trial.kills += 1
    trial.broker.kill()
    go_on(trial, bug)
    caught(trial, bug)

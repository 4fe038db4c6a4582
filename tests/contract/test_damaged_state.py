"""A state is damaged while nobody uses it: bits flip, files end early, pages turn to zeros.

Whatever happens, opening it ends, and either all is as it was committed (but for rows that are told to be damaged), or
it is said that the state was lost: a new epoch, in which the law holds and nothing is there that never was.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.lives import FOLDER, PIPE, Found, Left, Life, find
from tests.contract.shelf import describe
from tests.damage import DAMAGES, damage_one
from weir.store.directory import ASIDE, DATABASE

LONG = os.environ.get("FAULTS") == "long"
SHARDS = 4
ROUNDS = 120 if LONG else 5  # of the three kinds of damage, on every state, in each shard


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Left]]:
    """Give states that were left in the middle: most of it in the log, in both, and all of it in the database."""
    place = tmp_path_factory.mktemp("left")
    life = Life(place / "life", 1)
    for _ in range(12):
        life.commit()
    found = {"log": life.leave(place / "log")}
    life.end_run()
    for _ in range(6):
        life.commit()
    found["both"] = life.leave(place / "both")
    life.end_run()
    found["database"] = life.leave(place / "database")
    yield found
    life.close()


def state_files(path: Path) -> list[Path]:
    return [file for file in (path / DATABASE, path / f"{DATABASE}-wal") if file.exists()]


def judge(was: Left, now: Found) -> Iterator[str]:
    """List what is wrong with what was found."""
    if now.law:
        yield f"the law is broken: {now.law}"
    for name, state in now.states.items():
        if state.counts["pending"] != len(now.waiting[name]) + sum(left for _, left in now.damaged[name]):
            yield f"{name}: {state.counts['pending']} pending, {len(now.waiting[name])} there, {now.damaged[name]}"
        if Counter(now.waiting[name]) - Counter(was.ever[name]):
            yield f"{name}: there are records that never were"
    yield from _judge_same(was, now) if now.epoch == was.epoch else _judge_new(was, now)


def _judge_same(was: Left, now: Found) -> Iterator[str]:
    for name, state in now.states.items():
        if state.counts != was.counts[name]:
            yield f"{name}: other counters, {set(state.counts.items()) ^ set(was.counts[name].items())}"
        if {file.name: describe(file) for file in state.files} != was.files[name]:
            yield f"{name}: other positions"
        gone = Counter(was.waiting[name]) - Counter(now.waiting[name])
        if gone.total() != sum(left for _, left in now.damaged[name]):
            yield f"{name}: {gone.total()} gone, {now.damaged[name]} are said to be damaged"
    if set(now.states) != set(was.counts):
        yield f"other streams: {set(now.states)}"


def _judge_new(was: Left, now: Found) -> Iterator[str]:
    if not now.lost:
        yield "a new epoch, and no state was lost"
    positions = {file.name: file.position for file in now.states[FOLDER].files}
    for record in set(was.waiting[FOLDER]) - set(now.waiting[FOLDER]):
        name, place = was.places[record]
        if positions.get(name, 0) > place:
            yield f"a record of {name!r} at {place} is gone, and will not be read again"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_after_any_damage_all_is_as_it_was_or_the_state_is_said_to_be_lost(
    left: dict[str, Left], tmp_path: Path, shard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shard % 2:  # as in a large one: what is wrong turns out when it is met
        monkeypatch.setattr("weir.store.inspection.SMALL_BYTES", 0)
    wrong = []
    tally: Counter[str] = Counter()
    for number in range(ROUNDS * len(DAMAGES)):
        for kind, was in left.items():
            seed = number * SHARDS + shard
            dice = random.Random(f"{kind} {seed}")
            path = tmp_path / "state"
            shutil.copytree(was.path, path)
            what = f"{kind}, seed {seed}: {damage_one(state_files(path), DAMAGES[number % len(DAMAGES)], dice)}"
            now = find(path)
            faults = list(judge(was, now))
            if now.lost and not list(path.glob(f"{ASIDE}*")):
                faults.append("nothing was set aside")
            wrong += [f"{what} ({now.reason}): {fault}" for fault in faults]
            again = find(path)  # whatever was done about it, it is done with
            if (again.epoch, again.lost, again.reason) != (now.epoch, now.lost, None):
                wrong.append(f"{what}: lost again, {again.reason}")
            tally[f"{kind}: {'lost' if now.lost else 'the same'}"] += 1
            if now.lost:
                tally["pipe records"] += len(was.waiting[PIPE])
                tally["pipe records saved"] += len(set(was.waiting[PIPE]) & set(now.waiting[PIPE]))
            shutil.rmtree(path)
    print(dict(tally))  # noqa: T201 - how much is saved is a figure for people
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])


def test_without_damage_all_is_as_it_was(left: dict[str, Left], tmp_path: Path) -> None:
    for kind, was in left.items():
        shutil.copytree(was.path, tmp_path / kind)
        now = find(tmp_path / kind)
        assert (list(judge(was, now)), now.epoch, now.lost) == ([], was.epoch, 0), kind

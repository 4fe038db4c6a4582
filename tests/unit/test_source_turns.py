"""The line of files that want a turn."""

from __future__ import annotations

import random

import pytest

from weir.sources.turns import Turns


@pytest.mark.parametrize("count", [3, 4_096, 20_000])
def test_turns_go_by_scan_then_by_age_then_by_name_however_many_ask(count: int) -> None:
    chance = random.Random(count)
    wishes = [(chance.randrange(2), chance.randrange(-9, 99), b"%d" % chance.randrange(count), n) for n in range(count)]
    turns = Turns()
    turns.extend([count])
    for first_scan, mtime, name, inode in wishes:
        turns.wish(first_scan, mtime, name, inode)
    assert len(turns) == 1
    turns.line_up()
    assert [turns.take() for _ in range(len(turns))] == [count, *(wish[3] for wish in sorted(wishes))]
    turns.line_up()
    assert len(turns) == 0

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from weir.core.positions import MOST_RUNGS, RUNG_BYTES, RUNG_HASH_BYTES, FilePosition

SIZE = 60
ranges = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


def position() -> FilePosition:
    return FilePosition(stream=1, name=b"a.log", inode=7, birth=None)


@given(st.lists(ranges, max_size=30))
def test_accounting_agrees_with_a_set_of_bytes(accounted: list[tuple[int, int]]) -> None:
    file = position()
    model: set[int] = set()
    for start, end in accounted:
        file.account(start, end)
        model.update(range(start, end))
        assert covered(file) == model
        assert_canonical(file)
    assert file.reach == max(model, default=-1) + 1
    assert file.changed == bool(model)


def covered(file: FilePosition) -> set[int]:
    return set(range(file.position)).union(*(range(low, high) for low, high in file.beyond))


def assert_canonical(file: FilePosition) -> None:
    edges = [-1, file.position, *(edge for pair in file.beyond for edge in pair)]
    assert edges == sorted(set(edges)), "ranges touch, overlap or are out of order"


@given(st.lists(ranges, max_size=12), st.integers(0, SIZE))
def test_what_is_not_accounted_is_found_from_any_offset(accounted: list[tuple[int, int]], offset: int) -> None:
    file = position()
    for low, high in accounted:
        file.account(low, high)
    begin, end = file.unaccounted_from(offset)
    known = covered(file)
    open_bytes = [byte for byte in range(offset, SIZE + 2) if byte not in known]
    assert begin == open_bytes[0]
    if end is None:
        assert not known.intersection(range(begin, SIZE + 2))
    else:
        assert end in known
        assert not known.intersection(range(begin, end))


def test_nothing_is_accounted_by_an_empty_range() -> None:
    file = position()
    file.account(5, 5)
    file.account(9, 3)
    assert (file.position, file.beyond, file.changed) == (0, [], False)


def test_a_tail_is_of_the_position_or_there_is_none() -> None:
    file = position()
    file.account(0, 10)
    file.tail = b"hash of the bytes before 10"
    file.account(20, 30)
    file.account(5, 10)
    assert file.tail, "the position is still the same"
    file.account(10, 20)
    assert (file.position, file.tail) == (30, b"")


@given(st.lists(st.integers(1, 40_000), max_size=200))
def test_rungs_are_earlier_positions_few_and_apart_and_the_nearest_is_near(steps: list[int]) -> None:
    file = position()
    file.head_length = 500
    hashed = {}
    for step in steps:
        file.account(file.position, file.position + step)
        file.tail = file.position.to_bytes(16, "little")
        hashed[file.position] = file.tail[:RUNG_HASH_BYTES]
        ats = [500, *(rung.at for rung in file.rungs)]
        assert len(file.rungs) <= MOST_RUNGS
        assert all(high - low >= RUNG_BYTES for low, high in pairwise(ats))
        assert all(hashed[rung.at] == rung.tail for rung in file.rungs)
        assert file.position - ats[-1] <= RUNG_BYTES + 500 + 40_000


def test_rungs_lie_ever_farther_apart_and_reach_far_back() -> None:
    file = position()
    for number in range(10_000):
        file.account(file.position, 1_000 * number)
        file.tail = bytes(16)
    back = [file.position - rung.at for rung in file.rungs]
    assert back == sorted(back, reverse=True)
    assert back[0] > file.position / 10
    assert back[-1] < 4 * RUNG_BYTES
    assert all(far < 50 * near for far, near in pairwise(back))


def test_a_position_that_nobody_hashed_is_no_rung() -> None:
    file = position()
    for end in range(5_000, 50_000, 5_000):
        file.account(file.position, end)
    assert file.rungs == []

"""The roll call against a dictionary and a set, step by step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weir.sources.roll import Roll

# Numbers that follow each other, as inodes do, and some that are far apart.
KEYS = st.one_of(st.integers(0, 40), st.integers(0, (1 << 64) - 1))
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "pop", "confirm", "turn over", "forget"]), KEYS), max_size=300
)


@given(STEPS)
def test_it_keeps_what_a_dictionary_would_and_knows_who_was_not_seen(steps: list[tuple[str, int]]) -> None:
    roll = Roll()
    kept: dict[int, bytes] = {}
    seen: set[int] = set()
    for number, (step, key) in enumerate(steps):
        value = b"%d" % number * (number % 3)
        if step == "put":
            roll.put(key, value)
            kept[key] = value
            seen.add(key)
        elif step == "pop":
            assert roll.pop(key) == kept.pop(key, None)
            seen.discard(key)
        elif step == "confirm":
            assert roll.confirm(key) == kept.get(key)
            seen |= {key} & kept.keys()
        elif step == "turn over":
            roll.turn_over()
            seen.clear()
        else:
            roll.forget_missing()
            kept = {key: kept[key] for key in seen}
            seen.clear()
        assert (key in roll, roll.get(key), len(roll)) == (key in kept, kept.get(key), len(kept))
        assert sorted(roll.missing()) == sorted(kept.keys() - seen)
    assert {key: roll.get(key) for key in roll} == kept


def test_many_entries_come_and_go() -> None:
    roll = Roll()
    for key in range(20_000):
        roll.put(key << 20, b"%d" % key)
    assert all(roll.pop(key << 20) == b"%d" % key for key in range(0, 20_000, 2))
    assert (len(roll), roll.get(3 << 20), roll.get(4 << 20)) == (10_000, b"3", None)
    assert all(roll.pop(key << 20) for key in range(1, 20_000, 2))
    assert list(roll) == []

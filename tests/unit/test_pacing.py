"""The pace under adversarial demand: in no second more than the limit, and never a dead end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weir.core.pacing import Pace

# Steps in 1/64 s, which floats hold exactly: what is asserted is the window, not rounding.
demand = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3000)), max_size=120)


@given(publishes=st.none() | st.integers(1, 12), size=st.none() | st.integers(100, 6000), demand=demand)
def test_in_no_second_is_more_published_than_the_limits_allow(
    publishes: int | None, size: int | None, demand: list[tuple[int, int]]
) -> None:
    pace, now, sent = Pace(publishes, size), 0.0, list[tuple[float, int]]()
    for steps, wanted in demand:
        now += steps / 64
        while pace.admits(now, wanted) and len(sent) < 400:
            pace.spend(now, wanted)
            sent.append((now, wanted))
    for begin, _ in sent:
        window = [wanted for at, wanted in sent if begin <= at < begin + 1.0]
        assert publishes is None or len(window) <= publishes
        assert size is None or sum(window) <= size or len(window) == 1


@given(publishes=st.integers(1, 5), wanted=st.integers(1, 3000), size=st.integers(1, 2000))
def test_when_the_window_frees_something_at_least_one_goes(publishes: int, wanted: int, size: int) -> None:
    pace, now = Pace(publishes, size), 0.0
    for _ in range(20):
        while pace.admits(now, wanted):
            pace.spend(now, wanted)
        free_at = pace.free_at()
        assert free_at is not None
        assert free_at > now
        now = free_at
        assert pace.admits(now, wanted) or size < wanted


def test_what_the_client_sends_again_after_a_reconnect_is_charged() -> None:
    pace = Pace(10, None)
    pace.spend(0.0, 500, count=10)
    assert not pace.admits(0.5, 1)
    assert pace.admits(1.0, 1)


def test_without_limits_everything_goes_and_nothing_is_remembered() -> None:
    pace = Pace(None, None)
    for _ in range(1000):
        assert pace.admits(0.0, 10**9)
        pace.spend(0.0, 10**9)
    assert pace.free_at() is None


def test_a_pace_below_one_a_second_is_kept() -> None:
    pace, sent = Pace(0.5, None), 0
    for now in range(100):
        if pace.admits(float(now), 10):
            pace.spend(float(now), 10)
            sent += 1
    assert sent == 50


def test_other_limits_hold_at_once_and_what_was_spent_stays_spent() -> None:
    pace = Pace(10, None)
    for _ in range(4):
        pace.spend(0.0, 100)
    pace.limit(4, None)
    assert not pace.admits(0.5, 100)
    pace.limit(5, None)
    assert pace.admits(0.5, 100)
    pace.limit(None, 450)
    assert not pace.admits(0.5, 100)
    assert pace.admits(1.0, 100)

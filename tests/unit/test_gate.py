"""The gate under adversarial statistics: never above a limit, never shut for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weir.core.gate import GateLimits, LeakWatch, Outstanding, opening
from weir.core.ports import Statistics

NOTHING = Statistics(0, 0, 0, 0)

limits = st.builds(
    GateLimits,
    incomplete=st.none() | st.integers(1, 20),
    in_flight=st.none() | st.integers(1, 20),
    incomplete_bytes=st.none() | st.integers(1, 5000),
    in_flight_bytes=st.none() | st.integers(1, 5000),
)


@st.composite
def statistics(draw: st.DrawFn) -> Statistics:
    """Statistics as the client has them: what is unacked is a part of what is incomplete."""
    incomplete = draw(st.integers(0, 30))
    size = draw(st.integers(0, 8000)) if incomplete else 0
    unacked = draw(st.integers(0, incomplete))
    return Statistics(incomplete, size, unacked, draw(st.integers(0, size)) if unacked else 0)


outstanding = st.builds(
    lambda operations, size, part: Outstanding(
        operations, size if operations else 0, min(part, operations), size // 2 if operations else 0
    ),
    st.integers(0, 30),
    st.integers(0, 8000),
    st.integers(0, 30),
)


@given(statistics(), outstanding, limits, st.lists(st.integers(1, 3000), max_size=30), st.integers(0, 30))
def test_letting_many_through_is_the_same_as_asking_for_each(
    now: Statistics, ours: Outstanding, limits: GateLimits, sizes: list[int], most: int
) -> None:
    at_once, singly = opening(now, ours, limits), opening(now, ours, limits)
    count, held_by = 0, None
    for size in sizes:
        held_by = singly.refuses(size)
        if held_by is not None or count >= most:
            break
        singly.spend(size)
        count += 1
    assert at_once.let_through(sizes, most) == (count, held_by)
    assert (at_once.operations, at_once.bytes, at_once.refuses(2_000)) == (
        singly.operations,
        singly.bytes,
        singly.refuses(2_000),
    )


@given(limits=limits, seen=statistics(), ours=outstanding, sizes=st.lists(st.integers(1, 3000), max_size=40))
def test_whatever_is_demanded_no_limit_is_exceeded(
    limits: GateLimits, seen: Statistics, ours: Outstanding, sizes: list[int]
) -> None:
    gate = opening(seen, ours, limits)
    count, total = 0, 0
    for size in sizes:
        if gate.refuses(size) is not None:
            break
        gate.spend(size)
        count += 1
        total += size
    busy = max(seen.incomplete, ours.operations) > 0 or seen.unacked > 0
    if not count or (count == 1 and not busy):
        return  # one operation may go where nothing at all is outstanding, whatever its size
    for limit, used in (
        (limits.incomplete, max(seen.incomplete, ours.operations) + count),
        (limits.in_flight, max(seen.unacked, ours.acknowledged_operations) + count),
        (limits.incomplete_bytes, max(seen.incomplete_bytes, ours.bytes) + total),
        (limits.in_flight_bytes, max(seen.unacked_bytes, ours.acknowledged_bytes) + total),
    ):
        assert limit is None or used <= limit


@given(limits=limits, size=st.integers(1, 200_000))
def test_with_nothing_outstanding_one_operation_goes_whatever_its_size(limits: GateLimits, size: int) -> None:
    assert opening(NOTHING, Outstanding(), limits).refuses(size) is None


@given(limits=limits, seen=statistics(), ours=outstanding)
def test_the_gate_says_why_it_holds_exactly_when_it_holds(
    limits: GateLimits, seen: Statistics, ours: Outstanding
) -> None:
    gate = opening(seen, ours, limits)
    assert gate.refuses(1) == gate.held_by


def test_statistics_that_lag_behind_do_not_open_the_gate() -> None:
    """With MQTT 5 all statistics rise later than publish returns: our own count stands in for them."""
    gate = opening(NOTHING, Outstanding(5, 500, 5, 500), GateLimits(5, None, None, None))
    assert (gate.refuses(1), gate.held_by) == ("incomplete", "incomplete")


def test_what_is_sent_and_not_counted_as_unacked_yet_is_in_flight() -> None:
    gate = opening(Statistics(5, 500, 0, 0), Outstanding(5, 500, 5, 500), GateLimits(100, 5, None, None))
    assert (gate.refuses(1), gate.held_by) == ("inFlight", "inFlight")


def test_operations_of_others_above_a_limit_hold_the_gate_in_their_name() -> None:
    gate = opening(Statistics(20, 2000, 20, 2000), Outstanding(), GateLimits(20, None, None, None))
    assert (gate.refuses(1), gate.held_by) == ("others", "others")


def test_bytes_hold_the_gate_in_their_own_name() -> None:
    limits = GateLimits(100, 50, 1000, 600)
    gate = opening(Statistics(1, 500, 1, 500), Outstanding(1, 500, 1, 500), limits)
    assert (gate.refuses(100), gate.refuses(101), gate.held_by) == (None, "inFlightBytes", None)


def test_a_leak_is_statistics_that_stay_though_nothing_of_ours_is_out() -> None:
    watch = LeakWatch(90)
    stuck = Statistics(7, 70, 7, 70)
    assert not watch.leaks(0, stuck, 0, connected=True)
    assert not watch.leaks(89, stuck, 0, connected=True)
    assert watch.leaks(90, stuck, 0, connected=True)


def test_statistics_that_move_or_an_offline_client_or_something_of_ours_are_no_leak() -> None:
    watch = LeakWatch(90)
    stuck = Statistics(7, 70, 7, 70)
    watch.leaks(0, stuck, 0, connected=True)
    assert not watch.leaks(100, Statistics(6, 60, 6, 60), 0, connected=True)
    assert not watch.leaks(150, Statistics(6, 60, 6, 60), 1, connected=True)
    assert not watch.leaks(300, Statistics(6, 60, 6, 60), 0, connected=True)
    assert not watch.leaks(350, stuck, 0, connected=False)
    assert not watch.leaks(360, stuck, 0, connected=True)
    assert not watch.leaks(700, NOTHING, 0, connected=True)

"""The wait before the next attempt: bounds, growth, spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.transports.backoff import delay


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 2), (2, 4), (3, 8), (6, 64), (7, 120), (100_000, 120)],
)
def test_the_longest_wait_doubles_up_to_the_maximum(failures: int, longest: float) -> None:
    assert delay(failures, 1, 120, 1.0) == longest


def test_the_whole_range_is_used() -> None:
    assert [delay(3, 1, 120, fraction) for fraction in (0.0, 0.5, 1.0)] == [1, 4.5, 8]


@given(
    failures=st.integers(1, 10**9),
    minimum=st.integers(1, 3_600),
    more=st.integers(0, 3_600),
    fraction=st.floats(0, 1),
)
def test_no_wait_is_outside_the_bounds(failures: int, minimum: int, more: int, fraction: float) -> None:
    maximum = minimum + more
    assert minimum <= delay(failures, minimum, maximum, fraction) <= maximum + 1e-6

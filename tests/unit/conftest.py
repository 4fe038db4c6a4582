"""What tests of the operation queue begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.connection import FakeConnection
from tests.queue_rig import Told


@pytest.fixture
def connection() -> FakeConnection:
    """Give a connection in memory."""
    return FakeConnection()


@pytest.fixture
def started() -> Iterator[list[Told]]:
    """Stop what a test has started, whatever comes of the test."""
    told: list[Told] = []
    yield told
    for one in told:
        one.queue.stop(0)

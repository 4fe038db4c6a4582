"""A pipe whose writer is faster than the link, in the modes that drop: what the link can carry arrives all the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loop import Loop
from tests.model.queue import DROP_MODES, REASONS
from weir.core import accounting

TURN_SECONDS = 0.01  # what the work of a turn takes
SECONDS = 1


@contextmanager
def flooded(mode: int, limit: int, **changes: Any) -> Iterator[Loop]:
    batch = changes.pop("batch", {})
    stream = {"queue": {"mode": mode, "maxRecords": limit}, "batch": batch}
    with tempfile.TemporaryDirectory() as path:
        loop = Loop(Path(path), {"a": stream}, pipe=True, **changes)
        yield loop
        loop.close()


def flood(loop: Loop, per_turn: int, acks_per_turn: int) -> None:
    """Let more come in every turn than there were answers for."""
    loop.transport.hold_acks = True
    number = 0
    for _ in range(round(SECONDS / TURN_SECONDS)):
        loop.write("a", *(f"r{number + index}".encode() for index in range(per_turn)))
        number += per_turn
        loop.forwarder.turn()
        loop.forwarder.wait()
        loop.inbox.now += TURN_SECONDS
        loop.transport.ack(acks_per_turn)


def balances(loop: Loop, mode: int) -> None:
    """Let the rest go, and compare what was dropped with what did not arrive."""
    loop.transport.hold_acks = False
    loop.run(3)
    counts, written = loop.counts("a"), len(loop.tapes["a"].records)
    assert loop.ledger.store.law() == []
    assert (counts["read"], counts["pending"]) == (written, 0)
    assert counts["delivered"] == len(set(loop.received)) == len(loop.received)
    assert counts[accounting.DROPPED[REASONS[mode]]] == written - counts["delivered"]


@pytest.mark.parametrize("mode", DROP_MODES)
@settings(max_examples=5)
@given(limit=st.integers(20, 200), turnovers=st.integers(1, 3), acks=st.integers(1, 3))
def test_a_flood_is_delivered_as_fast_as_the_link_goes(mode: int, limit: int, turnovers: int, acks: int) -> None:
    with flooded(mode, limit, gate={"maxInFlight": 20, "maxIncomplete": 20}) as loop:
        flood(loop, turnovers * limit, acks)
        possible = acks * SECONDS / TURN_SECONDS
        assert len(loop.received) >= 0.8 * possible
        balances(loop, mode)


@pytest.mark.parametrize("mode", DROP_MODES)
def test_a_flood_is_delivered_as_fast_as_the_pace_allows(mode: int) -> None:
    with flooded(mode, 100, pace={"publishesPerSecond": 90, "bytesPerSecond": None}) as loop:
        flood(loop, 200, 100)
        assert len(loop.received) >= 0.8 * 90 * SECONDS
        balances(loop, mode)


@pytest.mark.parametrize("mode", DROP_MODES)
def test_a_flood_fills_its_batches(mode: int) -> None:
    with flooded(mode, 100, batch={"maxRecords": 10}, gate={"maxInFlight": 5, "maxIncomplete": 5}) as loop:
        flood(loop, 200, 1)
        messages = loop.received
        assert len(messages) >= 0.8 * SECONDS / TURN_SECONDS
        assert sum(message.count(b"\n") + 1 for message in messages) >= 9 * len(messages)

"""Batches with everything against them: gaps, a store that fails, links that break, records that nobody takes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.loop import Loop
from weir.core.accounting import balanced
from weir.core.errors import StoreFailed
from weir.forwarder import batches, queue, stream

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["a", "a", "b", "lose", "replace", "fail before", "fail after", "hold", "not taken", "give up"]
        ),
        st.integers(1, 60),
    ),
    max_size=14,
)


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nearly all of a line lie in the store, and check that nothing is sent before it is durable."""
    monkeypatch.setattr(stream, "RESIDENT_BYTES", 2_000)
    monkeypatch.setattr(stream, "KEEP_BYTES", 1_000)
    monkeypatch.setattr(queue, "LOAD_SPANS", 1)
    take = batches.Batches.take

    def checked(self: batches.Batches, draft: batches.Draft) -> None:
        assert all(span.durable and span.waits(low, high) for span, low, high in draft.slices)
        take(self, draft)

    monkeypatch.setattr(batches.Batches, "take", checked)


def fail_next_commit(loop: Loop, *, made: bool) -> None:
    """Let the next commit fail, after it was made or before."""
    store: Any = loop.ledger.store
    commit = store.commit

    def failing(*given: Any, **named: Any) -> None:
        if made:
            commit(*given, **named)
        raise StoreFailed("a test wants it")

    store.commit = failing


def go_wrong(loop: Loop, step: str, number: int) -> None:
    if step == "lose":
        loop.transport.interrupt()
        loop.run(number / 10)
        loop.transport.resume(session_present=True)
    elif step == "replace":
        loop.forwarder.link.replace("a test wants it")
    elif step.startswith("fail") and not loop.ledger.failing:
        fail_next_commit(loop, made=step == "fail after")
    elif step == "hold":
        loop.transport.hold_acks = not loop.transport.hold_acks
    elif step == "not taken":
        loop.transport.turn_away("later", 0.1)
    elif step == "give up":
        loop.transport.give_up(number % 3)


@pytest.mark.usefixtures("_little_memory")
@given(
    mode=st.integers(0, 5),
    pipe=st.booleans(),
    batch=st.fixed_dictionaries(
        {
            "maxRecords": st.integers(2, 30),
            "maxBytes": st.sampled_from([None, 60, 400]),
            "lingerMs": st.sampled_from([0, 700]),
        }
    ),
    units=st.integers(0, 3),
    bad=st.sets(st.integers(0, 120), max_size=3),
    steps=STEPS,
)
@effort(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_record_arrives_or_is_counted_as_something_else(  # noqa: PLR0917 - as hypothesis draws them
    mode: int,
    pipe: bool,  # noqa: FBT001 - as above
    batch: dict[str, Any],
    units: int,
    bad: set[int],
    steps: list[tuple[str, int]],
    tmp_path_factory: Any,
) -> None:
    one: dict[str, Any] = {
        "queue": {"mode": mode, "maxRecords": 60},
        "batch": batch,
        "source": {"path": "/a", "format": "jsonl"},
        "topic": "a/{record.unit}" if units else "a",
    }
    other: dict[str, Any] = {"source": {"path": "/b", "format": "jsonl"}, "batch": batch, "topic": "b", "priority": 5}
    loop = Loop(
        tmp_path_factory.mktemp("hard"), {"a": one, "b": other}, pipe=pipe, gate={"maxInFlight": 3, "maxIncomplete": 3}
    )
    loop.transport.hangs_up_on = lambda payload: b"bad" in payload
    fed: dict[str, list[bytes]] = {"a": [], "b": []}
    for step, number in steps:
        if step in fed:
            known = fed[step]
            for n in range(len(known), len(known) + number):
                word = b"bad" if step == "a" and n in bad else b"good"
                known.append(b'{"unit":%d,"%s":"%s %d"}' % (n % max(1, units), step.encode(), word, n))
            loop.write(step, *known[-number:])
        else:
            go_wrong(loop, step, number)
        loop.run(number / 20)
        assert loop.ledger.failing or all(balanced(loop.counts(name)) for name in fed)
    loop.transport.hold_acks = False
    loop.run(1_500)
    arrived = Counter(record for message in loop.received for record in message.split(b"\n"))
    assert not any(row[1] or row[2] for row in loop.ledger.store.law())
    for name, records in fed.items():
        counts = loop.counts(name)
        dropped = counts["dropped.queueFullFront"] + counts["dropped.queueFullBack"]
        assert (counts["read"], counts["pending"]) == (len(records), 0)
        assert counts["delivered"] + dropped + counts["quarantined.refused"] == len(records)
        assert counts["quarantined.refused"] <= sum(b"bad" in record for record in records)
        assert len([record for record in records if arrived[record]]) >= counts["delivered"]
    assert set(arrived) <= {*fed["a"], *fed["b"]}
    twins = sum(arrived.values()) - len(arrived)
    assert twins <= sum(loop.counts(name)["possibleTwins"] for name in fed) + loop.ledger.store.state().possible_twins
    assert not loop.forwarder.suspicion.has_aside
    loop.close()

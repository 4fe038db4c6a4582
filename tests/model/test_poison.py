"""A message that the broker hangs up on: it is found, set aside alone, and the rest flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.loop import Loop
from weir.core.accounting import balanced

HOLD = {"a": {"queue": {"mode": 4}}}


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path, HOLD, gate={"maxInFlight": 20, "maxIncomplete": 20})
    loop.transport.hangs_up_on = lambda payload: payload.startswith(b"poison")
    yield loop
    if not loop.transport.closed:
        loop.close()


def records(*poison: int, count: int = 60) -> list[bytes]:
    return [b"%s %d" % (b"poison" if number in poison else b"record", number) for number in range(count)]


def good(fed: list[bytes]) -> list[bytes]:
    return [record for record in fed if not record.startswith(b"poison")]


@pytest.mark.parametrize("poison", [(0,), (30,), (59,), (10, 11), (10, 30), (0, 1, 2, 3), (5, 25, 45)], ids=str)
def test_it_is_set_aside_alone_and_the_rest_flows(loop: Loop, poison: tuple[int, ...]) -> None:
    fed = records(*poison)
    loop.write("a", *fed)
    loop.run(400)
    counts = loop.counts("a")
    assert (counts["delivered"], counts["quarantined.refused"]) == (60 - len(poison), len(poison))
    assert sorted(set(loop.received)) == sorted(good(fed))
    assert len(loop.received) - len(good(fed)) <= counts["possibleTwins"]
    before = loop.transport.attempts
    loop.run(120)
    assert loop.transport.attempts == before  # the link stays up now
    assert not loop.forwarder.suspicion.one_at_a_time


def test_the_only_message_there_is_can_be_at_fault(loop: Loop) -> None:
    loop.write("a", b"poison")
    loop.run(200)
    assert loop.counts("a")["quarantined.refused"] == 1
    loop.write("a", *records(count=10))
    loop.run(10)
    assert loop.counts("a")["delivered"] == 10


def test_what_was_only_there_when_a_bad_link_broke_is_not_blamed(loop: Loop) -> None:
    loop.transport.hangs_up_on = lambda _: True  # it breaks whatever is sent
    fed = records(count=30)
    loop.write("a", *fed)
    loop.run(300)
    assert loop.counts("a")["quarantined.refused"] == 0
    loop.transport.hangs_up_on = lambda _: False
    loop.run(700)
    counts = loop.counts("a")
    assert (counts["delivered"], counts["quarantined.refused"]) == (30, 0)


def test_where_nothing_goes_at_all_it_is_tried_ever_more_rarely(loop: Loop) -> None:
    loop.transport.hangs_up_on = lambda _: True
    loop.write("a", *records(count=30))
    loop.run(600)
    early = len(loop.told("interrupted"))
    loop.run(600)
    assert len(loop.told("interrupted")) - early < early
    assert loop.counts("a")["quarantined.refused"] == 0


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 5])
def test_in_every_mode(tmp_path: Path, mode: int) -> None:
    loop = Loop(tmp_path, {"a": {"queue": {"mode": mode, "maxRecords": 100}}}, pipe=True)
    loop.transport.hangs_up_on = lambda payload: payload.startswith(b"poison")
    loop.write("a", *records(7, 8, count=40))
    loop.run(400)
    counts = loop.counts("a")
    assert (counts["delivered"], counts["quarantined.refused"]) == (38, 2)
    loop.close()


def test_a_stop_in_the_middle_leaves_everything_pending_and_counted(loop: Loop) -> None:
    loop.write("a", *records(3))
    for _ in range(2_000):
        loop.turn()
        if loop.forwarder.suspicion.has_aside:
            break
    assert loop.forwarder.suspicion.has_aside
    assert not loop.forwarder.drained
    ledger = loop.ledger
    loop.forwarder.stop()
    assert balanced(ledger.streams[0].books.committed)
    ledger.store.close()
    loop.directory.close()
    loop.inbox.close()


@given(
    poison=st.sets(st.integers(0, 29), max_size=4),
    breaks=st.lists(st.integers(1, 40), max_size=6),
)
@effort(max_examples=30)
def test_with_a_link_that_breaks_by_itself_as_well(poison: set[int], breaks: list[int], tmp_path_factory: Any) -> None:
    loop = Loop(tmp_path_factory.mktemp("poison"), HOLD, gate={"maxInFlight": 8, "maxIncomplete": 8})
    loop.transport.hangs_up_on = lambda payload: payload.startswith(b"poison")
    fed = records(*poison, count=30)
    loop.write("a", *fed)
    for pause in breaks:
        loop.run(pause)
        loop.transport.interrupt()
        loop.transport.resume(session_present=True)
    loop.run(900)
    counts = loop.counts("a")
    loop.close()
    assert (counts["delivered"], counts["quarantined.refused"]) == (30 - len(poison), len(poison))
    assert sorted(set(loop.received)) == sorted(good(fed))


@pytest.mark.parametrize("most", [1, 16, 64])
def test_a_link_that_breaks_for_good_while_something_is_on_trial_condemns_few(tmp_path: Path, most: int) -> None:
    stream = HOLD["a"] | {"batch": {"maxRecords": most}}
    loop = Loop(tmp_path, {"a": stream}, gate={"maxInFlight": 4, "maxIncomplete": 4})
    loop.transport.hangs_up_on = lambda payload: b"poison" in payload
    loop.write("a", *records(30, count=200))
    for _ in range(2_000):
        loop.turn()
        if on_trial(loop):
            break
    assert on_trial(loop)
    loop.transport.hangs_up_on = lambda _: True
    loop.run(600)
    loop.transport.hangs_up_on = lambda payload: b"poison" in payload
    loop.run(900)
    counts = loop.counts("a")
    assert counts["pending"] == 0
    assert 1 <= counts["quarantined.refused"] <= 6
    loop.close()


def on_trial(loop: Loop) -> bool:
    return bool(loop.forwarder.suspicion._breaker._on_trial)  # noqa: SLF001 - nothing else is to happen before

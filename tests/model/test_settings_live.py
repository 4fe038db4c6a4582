"""Queue, gate and pace change while records are on their way, and every record is accounted for all the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loop import HERE, Loop
from weir.core.accounting import DROPPED, balanced
from weir.core.configuration import effective, parse
from weir.core.settings import Settings

Document = dict[str, Any]
UNLIMITED = {"publishesPerSecond": None, "bytesPerSecond": None}


def changed(loop: Loop, **sections: Document) -> Settings:
    """Give the settings of a loop with some keys changed, in every stream."""
    document = effective(loop.settings)
    for name, section in sections.items():
        places = document["streams"].values() if name == "queue" else [document]
        for place in places:
            place[name] = place[name] | section
    return parse(document, HERE)


def apply(loop: Loop, **sections: Document) -> None:
    loop.settings = changed(loop, **sections)
    loop.forwarder.apply(loop.settings)


write = st.tuples(st.just("write"), st.integers(1, 40))
wait = st.tuples(st.just("run"), st.sampled_from([0.1, 1.5, 12]))
link = st.tuples(st.just("link"), st.booleans())
hold = st.tuples(st.just("hold"), st.booleans())
queue = st.tuples(
    st.just("queue"), st.tuples(st.integers(0, 5), st.integers(1, 30), st.sampled_from([None, 900, 3000]))
)
gate = st.tuples(st.just("gate"), st.integers(1, 20))
steps = st.lists(st.one_of(write, wait, link, hold, queue, gate), min_size=4, max_size=25)


def step(loop: Loop, action: str, value: Any, fed: list[bytes]) -> None:
    match action:
        case "write":
            records = [b"record %d" % (len(fed) + index) for index in range(value)]
            loop.write("a", *records)
            fed += records
        case "run":
            loop.run(value)
        case "link":
            loop.transport.resume() if value else loop.transport.interrupt()
        case "hold":
            loop.transport.hold_acks = value
        case "queue":
            mode, records, size = value
            apply(loop, queue={"mode": mode, "maxRecords": records, "maxBytes": size or "none"})
        case _:
            apply(loop, gate={"maxIncomplete": value, "maxInFlight": value})


@pytest.mark.parametrize("pipe", [False, True])
@given(actions=steps)
@settings(max_examples=60)
def test_whatever_changes_and_whenever_every_record_is_accounted_for(
    pipe: bool,  # noqa: FBT001 - a parameter of the test
    actions: list[tuple[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        loop, fed = Loop(Path(directory), {"a": {"queue": {"mode": 4, "maxRecords": 20}}}, pipe=pipe), list[bytes]()
        for action, value in actions:
            step(loop, action, value, fed)
            assert balanced(loop.counts("a"))
        loop.transport.hold_acks = False
        loop.transport.resume()
        loop.run(30)
        counts, received = loop.counts("a"), loop.received
        loop.close()
    dropped = sum(counts[name] for name in DROPPED.values())
    assert counts["read"] == len(fed) == counts["delivered"] + dropped
    assert len(set(received)) >= counts["delivered"]
    assert set(received) <= set(fed)
    assert len(received) - len(set(received)) <= counts["possibleTwins"]


def test_a_lower_limit_drops_nothing_by_itself_and_holds_for_what_arrives(tmp_path: Path) -> None:
    loop = Loop(tmp_path, {"a": {"queue": {"mode": 4, "maxRecords": 100}}}, pipe=True, reachable=False)
    loop.write("a", *[b"%d" % number for number in range(60)])
    loop.run(2)
    apply(loop, queue={"mode": 3, "maxRecords": 10})
    loop.run(2)
    assert (loop.counts("a")["pending"], loop.stream("a").line.records) == (60, 60)
    loop.write("a", b"the last straw")
    loop.run(2)
    assert (loop.counts("a")["pending"], loop.counts("a")[DROPPED["queueFullFront"]]) == (10, 51)
    loop.close()


def test_a_mode_that_changes_is_the_one_that_a_stopped_state_shows(tmp_path: Path) -> None:
    loop = Loop(tmp_path, {"a": {"queue": {"mode": 4}}})
    loop.run(1)
    apply(loop, queue={"mode": 1}, gate={"maxInFlight": 90})
    loop.run(1)
    [stream] = loop.ledger.store.streams()
    assert (stream.mode, loop.ledger.store.state().duplicate_bound) == ("front/drop-back", 5_090)
    loop.close()


def test_the_gate_opens_wider_at_once(tmp_path: Path) -> None:
    loop = Loop(tmp_path, {"a": {}}, gate={"maxInFlight": 5, "maxIncomplete": 5}, pace=UNLIMITED)
    loop.transport.hold_acks = True
    loop.write("a", *[b"%d" % number for number in range(100)])
    loop.run(1)
    assert len(loop.transport.operations) == 5
    apply(loop, gate={"maxInFlight": 20, "maxIncomplete": 20})
    loop.run(1)
    assert len(loop.transport.operations) == 20
    loop.close()

"""What the loop says is wrong: each reason comes with its cause, names what to do, and goes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loop import Loop
from weir.core.events import ConnectFailed

Make = Callable[..., Loop]
HOLD = {"queue": {"mode": 4}}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    loops: list[Loop] = []

    def begin(**changes: Any) -> Loop:
        loops.append(Loop(tmp_path, {"a": HOLD}, **changes))
        loops[-1].run(3)
        return loops[-1]

    yield begin
    for loop in loops:
        if not loop.transport.closed:
            loop.close()


def wrong(loop: Loop) -> dict[str, str]:
    return {one.reason: one.remedy for one in loop.forwarder.health.degraded}


def told(loop: Loop) -> list[tuple[str, object]]:
    return [(event, fields["reason"]) for event, fields in loop.events if event in {"degraded", "recovered"}]


def be_pushed_out(loop: Loop, after: float) -> None:
    """Let somebody take the connection once it has lasted so long, and give it back."""
    loop.run(after)
    loop.transport.interrupt("AWS_ERROR_MQTT_UNEXPECTED_HANGUP")
    loop.run(1)
    loop.transport.resume()
    loop.turn()


# -- the client id ----------------------------------------------------------------------------------------------------


def test_a_client_that_is_pushed_out_again_and_again_has_an_id_that_somebody_else_has(make: Make) -> None:
    loop = make()
    for turn in range(5):
        assert wrong(loop) == {}
        loop.write("a", f"r{turn}".encode())
        be_pushed_out(loop, 40 if turn == 0 else 2)  # that which lasted is not the first of the series
    assert wrong(loop) == {}
    be_pushed_out(loop, 2)
    loop.run(2)
    assert loop.settings.client_id in wrong(loop)["clientIdConflict"]
    loop.run(35)
    assert wrong(loop) == {}
    assert told(loop) == [("degraded", "clientIdConflict"), ("recovered", "clientIdConflict")]


def test_it_is_told_even_where_nothing_is_sent(make: Make) -> None:
    loop = make()
    for _ in range(5):
        be_pushed_out(loop, 1)
    loop.run(2)
    assert set(wrong(loop)) == {"clientIdConflict"}


def test_a_link_that_is_lost_now_and_then_is_no_conflict(make: Make) -> None:
    loop = make()
    for _ in range(20):
        be_pushed_out(loop, 40)
        be_pushed_out(loop, 2)
    assert told(loop) == []


# -- the policy -------------------------------------------------------------------------------------------------------


def test_a_broker_that_hangs_up_on_every_message_and_acknowledges_none_allows_no_such_topic(make: Make) -> None:
    loop = make()
    loop.transport.hangs_up_on = lambda _: True
    loop.write("a", *[b"not allowed %d" % number for number in range(30)])
    loop.run(200)
    assert "topics in the policy" in wrong(loop)["refusedByPolicy"]
    loop.transport.hangs_up_on = lambda _: False
    loop.run(700)
    assert wrong(loop) == {}
    assert loop.counts("a")["delivered"] == 30


def test_a_broker_that_says_no_to_three_attempts_refuses_the_client(make: Make) -> None:
    loop = make(reachable=False)
    assert wrong(loop) == {}  # nothing listens there: that is the network
    for _ in range(3):
        loop.inbox.post(ConnectFailed(1, "AWS_ERROR_MQTT_PROTOCOL_ERROR (the broker refused)", turned_away=True))
        loop.run(2)
    remedy = wrong(loop)["refusedByPolicy"]
    assert loop.settings.client_id in remedy
    assert "AWS_ERROR_MQTT_PROTOCOL_ERROR" in remedy
    loop.transport.reachable = True
    loop.run(5)
    assert wrong(loop) == {}


# -- acknowledgements -------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_for_long_is_told_until_it_is(make: Make) -> None:
    loop = make()
    loop.transport.hold_acks = True
    loop.write("a", b"r")
    loop.run(29)
    assert wrong(loop) == {}
    loop.run(4)
    assert set(wrong(loop)) == {"noAck"}
    loop.transport.hold_acks = False
    loop.run(2)
    assert wrong(loop) == {}


def test_a_connection_that_is_replaced_meanwhile_does_not_make_it_well(make: Make) -> None:
    loop = make(connection={"operationTimeoutSeconds": 12})
    loop.transport.hold_acks = True
    loop.write("a", b"r")
    loop.run(100)
    assert loop.transport.generation > 4
    assert told(loop) == [("degraded", "noAck")]


def test_a_slow_link_that_acknowledges_something_now_and_then_is_none_without_acknowledgement(make: Make) -> None:
    loop = make()
    loop.transport.hold_acks = True
    loop.write("a", *(f"r{number}".encode() for number in range(20)))
    for _ in range(10):
        loop.run(20)
        loop.transport.ack(1)
    assert told(loop) == []


def test_an_outage_is_no_missing_acknowledgement(make: Make) -> None:
    loop = make()
    loop.transport.hold_acks = True
    loop.write("a", b"r")
    loop.run(2)
    loop.transport.interrupt()
    loop.run(100)
    assert told(loop) == []


# -- sources and the disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held_by", "reason"), [("missing", "sourceMissing"), ("unreadable", "sourceUnreadable")])
def test_a_directory_that_cannot_be_read_for_more_than_ten_seconds_is_told_with_its_path(
    make: Make, held_by: str, reason: str
) -> None:
    loop = make()
    source = loop.stream("a").source
    source.held_by = lambda: held_by  # type: ignore[method-assign]  # what a directory says of itself
    loop.run(8)
    assert wrong(loop) == {}
    loop.run(6)
    assert loop.settings.streams["a"].source.path in wrong(loop)[reason]  # type: ignore[operator]  # it has a path
    source.held_by = lambda: None  # type: ignore[method-assign]  # it is back
    loop.run(2)
    assert told(loop) == [("degraded", reason), ("recovered", reason)]


def test_low_disk_is_told_and_what_to_do_about_it(make: Make) -> None:
    loop = make()
    loop.free_bytes = 0
    loop.run(2)
    assert "free space" in wrong(loop)["diskLow"]
    loop.free_bytes = 1 << 40
    loop.run(2)
    assert told(loop) == [("degraded", "diskLow"), ("recovered", "diskLow")]


# -- notes beside the records -----------------------------------------------------------------------------------------


def test_a_note_goes_through_the_gate_and_is_a_message_but_no_record(make: Make) -> None:
    loop = make()
    loop.forwarder.beside.offer("status/loop", b"{}")
    loop.run(3)
    assert [(one.topic, one.payload) for one in loop.transport.received] == [("status/loop", b"{}")]
    counts = loop.counts("a")
    assert (counts["published"], counts["acknowledged"], counts["bytes"]) == (1, 1, 13)
    assert (counts["read"], counts["delivered"], loop.forwarder.window.outstanding().operations) == (0, 0, 0)


def test_a_note_counts_for_the_gate_while_it_is_out(make: Make) -> None:
    loop = make(gate={"maxInFlight": 1, "maxIncomplete": 1})
    loop.transport.hold_acks = True
    loop.forwarder.beside.offer("status", b"{}")
    loop.run(1)
    loop.write("a", b"r")
    loop.run(1)
    assert (loop.received, loop.forwarder.held_by) == ([b"{}"], "inFlight")
    loop.transport.hold_acks = False
    loop.run(1)
    assert loop.received == [b"{}", b"r"]


def test_a_note_that_waits_is_replaced_by_the_newer_one(make: Make) -> None:
    loop = make(reachable=False)
    for number in range(3):
        loop.forwarder.beside.offer("status", b"%d" % number)
        loop.run(1)
    loop.transport.reachable = True
    loop.run(5)
    assert loop.received == [b"2"]


def test_a_note_waits_while_a_person_has_paused_the_forwarder(make: Make) -> None:
    loop = make()
    loop.forwarder.paused = True
    loop.forwarder.beside.offer("status", b"{}")
    loop.run(5)
    assert loop.received == []
    loop.forwarder.paused = False
    loop.run(2)
    assert loop.received == [b"{}"]


def test_a_note_keeps_to_the_pace(make: Make) -> None:
    loop = make(pace={"publishesPerSecond": 1, "bytesPerSecond": None})
    loop.write("a", b"r0", b"r1")
    loop.forwarder.beside.offer("status", b"{}")
    loop.turn()
    loop.turn()
    assert loop.received == [b"{}"]
    loop.run(3)
    assert loop.received == [b"{}", b"r0", b"r1"]


def test_a_note_without_an_answer_replaces_the_connection_as_a_record_does_and_is_not_sent_again(make: Make) -> None:
    loop = make(connection={"operationTimeoutSeconds": 20})
    loop.transport.hold_acks = True
    loop.forwarder.beside.offer("status", b"{}")
    loop.run(30)
    assert (loop.transport.generation, loop.received) == (2, [b"{}"])
    loop.write("a", b"r")
    loop.transport.hold_acks = False
    loop.run(5)
    assert loop.received == [b"{}", b"r"]
    assert loop.counts("a")["possibleTwins"] == 0


def test_a_note_that_is_lost_with_its_connection_is_no_possible_twin_and_leaves_nothing_behind(make: Make) -> None:
    loop = make()
    loop.transport.hold_acks = True
    loop.forwarder.beside.offer("status", b"{}")
    loop.run(1)
    loop.transport.interrupt()
    loop.run(1)
    loop.transport.hold_acks = False
    loop.transport.resume()
    loop.run(3)
    assert loop.counts("a")["possibleTwins"] == 0
    assert loop.forwarder.window.outstanding().operations == 0


def test_a_note_that_the_client_will_never_send_is_told_and_forgotten(make: Make) -> None:
    loop = make()
    loop.forwarder.beside.offer("#", b"{}")
    loop.run(3)
    assert len(loop.told("publish_failed")) == 1
    assert not loop.forwarder.window.has_note

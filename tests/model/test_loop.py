"""What the loop does over time: fairness, holds, stalls that must not be, and links of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loop import Loop
from weir.core.accounting import balanced
from weir.core.ports import Reading
from weir.forwarder import books

Make = Callable[..., Loop]
FRONT, ROLLING, HOLD = {"queue": {"mode": 1}}, {"queue": {"mode": 3, "maxRecords": 100}}, {"queue": {"mode": 4}}


def numbered(count: int, name: str = "r") -> list[bytes]:
    return [f"{name}{number}".encode() for number in range(count)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    loops: list[Loop] = []

    def begin(streams: dict[str, dict[str, Any]], **changes: Any) -> Loop:
        loops.append(Loop(tmp_path, streams, **changes))
        return loops[-1]

    yield begin
    for loop in loops:
        if not loop.transport.closed:
            loop.close()


# -- whose turn it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_second", [1, 7, 15, 16, 90])
def test_streams_of_one_priority_share_the_pace(make: Make, per_second: int) -> None:
    loop = make({"a": HOLD, "b": HOLD}, pace={"publishesPerSecond": per_second, "bytesPerSecond": None})
    for name in ("a", "b"):
        loop.write(name, *numbered(1_000))
    loop.run(40)
    ours, theirs = len(loop.received_of("a")), len(loop.received_of("b"))
    assert ours + theirs >= 40 * per_second - per_second or ours + theirs == 2_000
    assert abs(ours - theirs) <= (ours + theirs) / 8 + 2


def test_a_full_queue_is_refilled_a_spanful_at_a_time_and_up_to_its_limit_once_nothing_leaves(make: Make) -> None:
    loop = make({"a": {"queue": {"mode": 4, "maxRecords": 1_000}}}, gate={"maxInFlight": 10, "maxIncomplete": 10})
    loop.write("a", *numbered(20_000))
    loop.run(0)
    stream = loop.stream("a")
    sizes: list[int] = []
    read = stream.source.read

    def counted(now: float, max_records: int) -> Reading | None:
        reading = read(now, max_records)
        sizes.append(len(reading.span) if reading and reading.span else 0)
        return reading

    stream.source.read = counted  # type: ignore[method-assign]  # a look at what is asked for
    while len(loop.received) < 5_000:
        loop.turn()
    flowing = sizes[8:]  # after it was filled for the first time
    assert len(flowing) > 10
    assert min(flowing) >= 250
    loop.transport.hold_acks = True
    loop.run(3)
    assert (stream.line.records, stream.held_by) == (1_000, "queueFull")


@pytest.mark.parametrize("per_second", [1, 7, 16, 90])
def test_a_higher_priority_goes_first_and_the_lowest_has_every_sixteenth_turn(make: Make, per_second: int) -> None:
    pace = {"publishesPerSecond": per_second, "bytesPerSecond": None}
    loop = make({"low": HOLD, "high": {**HOLD, "priority": 5}, "low2": HOLD}, pace=pace)
    for name in ("low", "high", "low2"):
        loop.write(name, *numbered(2_000))
    loop.run(64 if per_second < 90 else 10)
    total = len(loop.received)
    lows = [len(loop.received_of(name)) for name in ("low", "low2")]
    assert abs(sum(lows) - total / 16) <= 1
    assert abs(lows[0] - lows[1]) <= 1


# -- what must not be held up -----------------------------------------------------------------------------------------


def test_what_a_commit_made_durable_goes_at_once(make: Make) -> None:
    loop = make({"a": HOLD}, pipe=True)
    loop.run(3)
    loop.write("a", *numbered(600))
    begin = loop.inbox.now
    while not loop.received:
        loop.turn()
    assert loop.inbox.now - begin <= 0.2


def test_a_flood_that_is_dropped_keeps_nobody_from_connecting_or_from_being_heard(make: Make) -> None:
    loop = make({"a": ROLLING}, pipe=True, reachable=False)
    loop.run(1)
    attempts, waits = loop.transport.attempts, loop.inbox.waits
    loop.write("a", *numbered(50_000))
    for _ in range(200):
        loop.inbox.now += 0.1  # the work takes time, though the loop never waits
        loop.turn()
    assert loop.inbox.waits == waits + 200
    assert loop.transport.attempts >= attempts + 10
    assert loop.counts("a")["dropped.queueFullFront"] == 49_900


def test_the_backlog_goes_on_while_the_freshest_records_wait_for_their_commit(make: Make) -> None:
    loop = make({"a": FRONT}, pipe=True, reachable=False, commit_seconds=10)
    loop.write("a", *numbered(2_000))
    loop.run(11)
    assert loop.counts("a")["pending"] == 2_000
    loop.transport.reachable = True
    loop.write("a", b"fresh")
    loop.run(3)
    assert len(loop.received) > 1_000


def test_an_idle_loop_hardly_wakes(make: Make) -> None:
    loop = make({"a": HOLD, "b": ROLLING})
    loop.run(5)
    waits = loop.inbox.waits
    loop.run(100)
    assert loop.inbox.waits - waits <= 210


# -- holds ------------------------------------------------------------------------------------------------------------


def test_a_full_window_that_moves_is_not_a_hold_and_one_that_does_not_is_told_once(make: Make) -> None:
    loop = make({"a": HOLD}, gate={"maxInFlight": 5}, pace={"publishesPerSecond": 5, "bytesPerSecond": None})
    loop.write("a", *numbered(500))
    loop.run(30)
    assert not loop.told("held")
    loop.transport.hold_acks = True
    loop.run(40)
    assert [told["reason"] for told in loop.told("held")] == ["inFlight"]
    loop.transport.hold_acks = False
    loop.transport.ack_all()
    loop.run(5)
    assert [told["reason"] for told in loop.told("released")] == ["inFlight"]


def test_a_pause_holds_what_goes_out_and_costs_a_directory_nothing(make: Make) -> None:
    loop = make({"a": ROLLING})
    loop.run(1)
    loop.forwarder.paused = True
    loop.write("a", *numbered(1_000))
    loop.run(60)
    assert (loop.forwarder.held_by, loop.received) == ("paused", [])
    loop.forwarder.paused = False
    loop.run(10)
    assert loop.received == numbered(1_000)
    assert loop.counts("a")["dropped.queueFullFront"] == 0


def test_operations_of_others_hold_the_gate_and_it_looks_again_by_itself(make: Make) -> None:
    loop = make({"a": HOLD}, gate={"maxIncomplete": 20, "maxInFlight": 20})
    loop.run(1)
    loop.transport.others_publish(20)
    loop.write("a", *numbered(10))
    loop.run(1)
    assert (loop.forwarder.held_by, loop.received) == ("others", [])
    loop.transport.others_settle()
    loop.run(0.3)
    assert len(loop.received) == 10
    assert loop.transport.generation == 1


# -- links ------------------------------------------------------------------------------------------------------------


def test_a_link_with_nothing_to_carry_for_long_drops_nothing_of_a_large_file(make: Make) -> None:
    loop = make({"a": ROLLING})
    loop.run(60)
    loop.write("a", *numbered(5_000))
    loop.run(10)
    assert loop.received == numbered(5_000)


def test_while_the_first_connection_is_being_made_a_directory_waits(make: Make) -> None:
    loop = make({"a": ROLLING})
    loop.transport.online = False
    loop.write("a", *numbered(5_000))
    loop.run(10)
    assert loop.received == numbered(5_000)


def test_a_link_that_carries_nothing_for_ten_seconds_makes_room_by_the_mode(make: Make) -> None:
    loop = make({"a": ROLLING})
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(5_000))
    loop.run(9)
    assert loop.counts("a")["dropped.queueFullFront"] == 0
    loop.run(5)
    assert loop.counts("a")["dropped.queueFullFront"] == 5_000 - 100 - 50  # what is in flight is not the queue's


def test_an_operation_that_never_has_an_outcome_costs_the_connection_object_and_no_record(make: Make) -> None:
    loop = make({"a": HOLD}, connection={"operationTimeoutSeconds": 20})
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(10))
    loop.run(25)
    assert loop.transport.generation == 2
    loop.run(3)
    assert loop.counts("a")["timedOut"] == 10
    loop.transport.hold_acks = False
    loop.run(30)
    assert loop.counts("a")["delivered"] == 10
    assert sorted(set(loop.received)) == sorted(numbered(10))
    assert len(loop.received) - 10 <= loop.counts("a")["possibleTwins"]


def test_what_is_not_taken_waits_again_is_no_twin_and_goes_once_it_is_taken(make: Make) -> None:
    loop = make({"a": HOLD})
    loop.run(0.1)
    loop.transport.hold_writes = True
    loop.write("a", *numbered(10))
    loop.run(0.1)
    loop.transport.turn_away("the spool is full", retry_seconds=3)
    loop.run(2.5)
    assert (loop.stream("a").line.records, loop.forwarder.held_by) == (10, "offline")
    loop.transport.hold_writes = False
    loop.run(5)
    assert loop.received == numbered(10)
    assert loop.counts("a")["possibleTwins"] == 0
    [told] = loop.told("publish_failed")[:1]
    assert told["reason"] == "the spool is full"


def test_that_nothing_is_taken_for_long_is_told_with_the_reason(make: Make) -> None:
    loop = make({"a": HOLD})
    loop.run(0.1)
    loop.transport.hold_writes = True
    loop.write("a", *numbered(10))
    for _ in range(20):
        loop.run(1)
        loop.transport.turn_away("accessControl allows no telemetry/x", retry_seconds=0.5)
    [degraded] = loop.forwarder.health.degraded
    assert (degraded.reason, degraded.remedy) == ("publishRefused", "accessControl allows no telemetry/x")
    loop.transport.hold_writes = False
    loop.run(5)
    assert (loop.received, loop.forwarder.health.degraded) == (numbered(10), [])


def test_what_somebody_else_took_on_is_counted_as_handed_over(make: Make) -> None:
    loop = make({"a": HOLD, "b": {**HOLD, "qos": 0}}, pace={"publishesPerSecond": 90, "bytesPerSecond": None})
    loop.transport.hands_over = True
    loop.write("a", *numbered(10))
    loop.write("b", *numbered(5))
    loop.run(3)
    assert [loop.counts(name)[word] for name in "ab" for word in ("handedOver", "delivered", "acknowledged")] == [
        *(10, 0, 0),
        *(5, 0, 0),
    ]


def test_messages_made_of_records_go_by_their_topics_and_what_has_none_is_set_aside(make: Make) -> None:
    topic = "t/{record.unit}"
    loop = make({"a": {**HOLD, "topic": topic, "source": {"format": "jsonl"}}}, pipe=True)
    good = [b'{"unit":"u%d"}' % (number % 3) for number in range(50)]
    bad = [b'{"unit":"/"}', b"[]"] * 1_500
    loop.write("a", *good, *bad, *good)
    loop.run(10)
    counts = loop.counts("a")
    assert (counts["delivered"], counts["quarantined.badTopic"], counts["pending"]) == (100, 3_000, 0)
    assert [message.topic for message in loop.transport.received][:4] == ["t/u0", "t/u1", "t/u2", "t/u0"]
    assert balanced(counts)


def test_an_envelope_that_a_message_cannot_carry_is_set_aside_and_the_rest_flows(make: Make) -> None:
    loop = make({"a": {**HOLD, "envelope": "json"}})
    loop.transport.message_bytes = 400
    loop.write("a", b"1", b"x" * 300, b"3")
    loop.run(3)
    assert [json.loads(payload)["data"] for payload in loop.received] == ["1", "3"]
    assert loop.counts("a")["quarantined.tooLarge"] == 1


def test_made_messages_keep_to_gate_and_pace(make: Make) -> None:
    pace = {"publishesPerSecond": 10, "bytesPerSecond": None}
    loop = make({"a": {**HOLD, "envelope": "json"}}, pace=pace, gate={"maxInFlight": 4, "maxIncomplete": 4})
    loop.transport.hold_acks = True
    loop.write("a", *numbered(100))
    loop.run(1)
    assert (len(loop.transport.operations), loop.forwarder.held_by) == (4, "inFlight")
    loop.transport.hold_acks = False
    loop.run(5)
    assert 40 <= len(loop.received) <= 64


def test_no_more_is_handed_to_a_transport_than_it_takes_at_a_time(make: Make) -> None:
    loop = make({"a": HOLD}, most_outstanding=7)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(100))
    loop.run(2)
    assert (len(loop.transport.operations), loop.forwarder.held_by) == (7, "inFlight")


def test_after_long_offline_the_certificates_are_read_again_by_a_new_object(make: Make) -> None:
    loop = make({"a": HOLD})
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(10))
    loop.run(1)
    loop.transport.interrupt()
    loop.run(599)
    assert loop.transport.generation == 1
    loop.run(3)
    assert loop.transport.generation == 2
    loop.transport.hold_acks = False
    loop.transport.resume()
    loop.run(130)
    assert loop.counts("a")["delivered"] == 10
    assert len(loop.received) - 10 <= loop.counts("a")["possibleTwins"]


def test_what_is_in_flight_at_a_stop_is_told_as_possible_twins_and_sent_by_the_next_run(make: Make) -> None:
    loop = make({"a": HOLD}, pipe=True)
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(10))
    loop.run(2)
    loop.close()
    loop = make({"a": HOLD}, pipe=True, tapes=loop.tapes)
    assert loop.counts("a")["possibleTwins"] == 10
    assert loop.ledger.state.possible_twins == 0  # it was a stop in order
    loop.run(3)
    assert loop.received == numbered(10)


def test_a_stop_ends_though_the_books_are_crowded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make({"a": ROLLING}, pipe=True, reachable=False)
    loop.run(1)
    monkeypatch.setattr(books, "MOST_TOUCHED", 2)
    loop.write("a", *numbered(5_000))
    loop.turn()
    taken = loop.tapes["a"].taken
    loop.close()
    loop = make({"a": ROLLING}, pipe=True, reachable=False)
    counts = loop.counts("a")
    assert 0 < taken == counts["read"] == counts["dropped.queueFullFront"] + counts["pending"]
    assert loop.ledger.store.law() == []


@pytest.mark.parametrize("pipe", [False, True])
def test_what_a_stop_left_unanswered_and_the_next_run_drops_is_told_as_dropped_after_an_attempt(
    make: Make, *, pipe: bool
) -> None:
    small = {"a": {"queue": {"mode": 3, "maxRecords": 5}}}
    loop = make(small, pipe=pipe)
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(5))
    loop.run(3)
    assert len(loop.received) == 5
    loop.close()
    tapes = loop.tapes
    loop = make(small, pipe=pipe, reachable=False, tapes=tapes)
    loop.write("a", *numbered(20, "late"))
    loop.run(3)
    counts = loop.counts("a")
    assert counts["dropped.queueFullFront"] == 20
    assert counts["droppedAfterAttempt"] == 5


# -- age, disk, and streams that are gone -----------------------------------------------------------------------------


def test_what_waits_too_long_expires_and_what_is_in_flight_does_not(make: Make) -> None:
    loop = make({"a": {"queue": {"mode": 4, "maxAgeSeconds": 30}}}, gate={"maxInFlight": 5, "maxIncomplete": 5})
    loop.run(1)
    loop.transport.hold_acks = True
    loop.write("a", *numbered(20))
    loop.run(29)
    assert loop.counts("a")["dropped.expired"] == 0
    loop.run(5)
    assert loop.counts("a")["dropped.expired"] == 15
    loop.transport.hold_acks = False
    loop.transport.ack_all()
    loop.run(3)
    assert loop.counts("a")["delivered"] == 5


def test_a_stored_backlog_of_another_run_expires_by_the_wall_clock(make: Make) -> None:
    aged = {"a": {"queue": {"mode": 3, "maxAgeSeconds": 100}}}
    loop = make(aged, pipe=True, reachable=False)
    loop.write("a", *numbered(10_000))
    loop.run(50)
    assert loop.counts("a")["pending"] == 10_000
    now = loop.inbox.now
    loop.close()
    loop = make(aged, pipe=True, reachable=False, now=now + 60)
    loop.run(5)
    assert loop.counts("a")["dropped.expired"] == 10_000
    assert loop.ledger.store.law() == []


def test_a_low_disk_is_a_full_queue(make: Make) -> None:
    loop = make({"a": {"queue": {"mode": 3, "maxRecords": 1_000}}}, pipe=True, reachable=False)
    loop.write("a", *numbered(50))
    loop.run(2)
    loop.free_bytes = 0
    loop.run(2)
    loop.write("a", *numbered(200, "late"))
    loop.run(2)
    counts = loop.counts("a")
    assert (counts["pending"], counts["dropped.queueFullFront"]) == (50, 200)
    assert [one.reason for one in loop.forwarder.health.degraded] == ["diskLow"]
    loop.free_bytes = 1 << 40
    loop.write("a", *numbered(200, "later"))
    loop.run(2)
    assert loop.counts("a")["pending"] == 250
    assert loop.forwarder.health.degraded == []


def test_with_a_low_disk_a_directory_holds_in_every_mode(make: Make) -> None:
    loop = make({"a": ROLLING, "b": HOLD}, reachable=False)
    loop.free_bytes = 0
    loop.run(2)
    for name in ("a", "b"):
        loop.write(name, *numbered(300))
    loop.run(5)
    assert [loop.stream(name).held_by for name in ("a", "b")] == ["diskLow", "diskLow"]
    assert loop.counts("a")["dropped.queueFullFront"] == 0


def test_a_stream_that_the_settings_do_not_name_keeps_its_records_until_it_is_back(make: Make) -> None:
    loop = make({"a": HOLD, "b": HOLD}, pipe=True, reachable=False)
    loop.write("a", *numbered(10))
    loop.run(3)
    loop.close()
    loop = make({"b": HOLD}, pipe=True)
    loop.run(3)
    view = loop.ledger.views({})["a"]
    assert (view.orphaned, view.counts["pending"], loop.received) == (True, 10, [])
    loop.close()
    loop = make({"a": HOLD}, pipe=True)
    loop.run(3)
    assert loop.received == numbered(10)
    assert loop.ledger.store.law() == []

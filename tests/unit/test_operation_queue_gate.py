"""The operation queue on a connection in memory: what it hands over when, and for whom it waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes.connection import FakeConnection
from tests.queue_rig import Told, balance, publish, start
from weir.operation_queue import MqttOperationQueue, Publish

# -- the gate ---------------------------------------------------------------------------------------------------------


def test_no_more_is_out_than_the_limits_say(connection: FakeConnection, started: list[Told]) -> None:
    told = start(started, connection, max_in_flight=3, max_incomplete=3)
    publish(told.queue, 10)
    told.until(lambda: len(told.sent) == 3, "the window is full")
    for acknowledged in range(1, 8):
        connection.ack()
        told.until(lambda: len(told.sent) == 3 + acknowledged, "one more goes for each answer")  # noqa: B023 - called here
        assert connection.get_stats().incomplete_operation_count == 3
    assert told.queue.held_by in {None, "inFlight"}


def test_byte_limits_hold_and_one_of_any_size_goes_alone(connection: FakeConnection, started: list[Told]) -> None:
    told = start(started, connection, max_in_flight_bytes=50, max_incomplete_bytes=50)
    told.queue.publish("topic", b"x" * 100, 1)
    told.queue.publish("topic", b"x" * 20, 1)
    told.queue.publish("topic", b"x" * 20, 1)
    told.until(lambda: told.queue.held_by == "inFlightBytes", "the large one is alone")
    assert len(connection.packets) == 1
    connection.ack()
    told.until(lambda: len(told.sent) == 2, "the next one goes")
    small = Publish("t", b"", 1)
    told.queue.insert(0, small)
    told.until(lambda: small in told.sent, "a smaller one at the front is noticed and fits")
    assert len(told.sent) == 3


def test_statistics_that_rise_late_do_not_let_too_many_go(started: list[Told]) -> None:
    connection = FakeConnection(late_statistics=True)
    told = start(started, connection, max_in_flight=5, max_incomplete=5)
    publish(told.queue, 20)
    told.until(lambda: told.queue.held_by == "inFlight", "the window is full")
    assert len(connection.packets) == 5
    for _ in range(4):
        connection.ack(5)
        told.until(lambda: len(connection.out) == min(5, told.queue.account().outstanding), "the next ones go")
        assert len(connection.out) <= 5
    connection.acks_at_once = True
    connection.ack(5)
    told.until_settled()


def test_while_the_connection_is_down_nothing_goes_and_its_event_wakes_the_queue(
    connection: FakeConnection, started: list[Told]
) -> None:
    connection.acks_at_once = True
    connection.lose()
    told = start(started, connection)
    publish(told.queue, 3, qos=0)
    told.until(lambda: told.queue.held_by == "offline", "it knows")
    assert not connection.packets
    connection.resume()
    told.until_settled()
    assert told.queue.account().unconfirmed == 3


def test_operations_of_others_hold_it_and_it_looks_again_by_itself(
    connection: FakeConnection, started: list[Told]
) -> None:
    connection.others_publish(4)
    told = start(started, connection, max_in_flight=4, max_incomplete=4)
    publish(told.queue, 2)
    told.until(lambda: told.queue.held_by == "others", "the others hold it")
    assert not connection.packets
    connection.others_settle()
    told.until(lambda: len(told.sent) == 2, "they go without anybody waking the queue")


def test_an_idle_queue_does_not_tick(connection: FakeConnection, started: list[Told]) -> None:
    looks = 0
    read = connection.get_stats

    def counted() -> object:
        nonlocal looks
        looks += 1
        return read()

    connection.get_stats = counted  # type: ignore[method-assign,assignment]
    told = start(started, connection, max_in_flight=1, max_incomplete=1)
    publish(told.queue, 5)
    told.until(lambda: len(told.sent) == 1, "the window is full")
    told.until(lambda: told.queue.held_by == "inFlight", "it is held by its own window")
    seen = looks
    assert not threading.Event().wait(0.3)  # nothing happens here that could be waited for
    assert looks - seen <= 2


# -- QoS 0 ------------------------------------------------------------------------------------------------------------


def test_qos_0_is_written_and_forgotten_and_never_counts_as_acknowledged(
    connection: FakeConnection, started: list[Told]
) -> None:
    told = start(started, connection, max_in_flight=2, max_incomplete=2)
    operations = publish(told.queue, 3, qos=0)
    told.until(lambda: len(told.sent) == 2, "no more than the gate lets through")
    assert told.queue.account().outstanding == 2
    connection.write()
    told.until(lambda: told.queue.account().unconfirmed == 2, "they were written")
    connection.linger_no_more()
    told.until(lambda: len(told.sent) == 3, "and the next one goes")
    connection.write()
    told.until_settled()
    account = told.queue.account()
    assert (account.unconfirmed, account.acknowledged, account.failed) == (3, 0, 0)
    assert told.acknowledged == []
    assert told.sent == operations


# -- failures ---------------------------------------------------------------------------------------------------------


def test_what_could_not_be_performed_is_told_and_counted_and_the_rest_goes_on(
    connection: FakeConnection, started: list[Told]
) -> None:
    connection.acks_at_once = True
    told = start(started, connection)
    refused = told.queue.publish("no/+/topic", b"", 1)
    connection.subscribe = None  # type: ignore[assignment,method-assign]  # so that the call itself raises
    raising = told.queue.subscribe("filter", 1)
    good = told.queue.publish("topic", b"", 1)
    told.until_settled()
    told.until(lambda: told.acknowledged == [good], "the good one was told")
    assert [operation for operation, _ in told.failed] == [refused, raising]
    assert told.queue.account().failed == 2
    balance(told.queue.account())


def test_statistics_that_cannot_be_read_lose_nothing_and_are_said_once(
    connection: FakeConnection, started: list[Told], caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable() -> Any:
        raise RuntimeError("no statistics today")

    connection.get_stats = unreadable  # type: ignore[method-assign]
    told = start(started, connection, max_in_flight=2, max_incomplete=2)
    operations = publish(told.queue, 6)
    for done in (2, 4, 6):
        told.until(lambda: len(told.sent) == done, "the queue goes by its own count")  # noqa: B023 - called here
        connection.ack(2)
    told.until(lambda: told.acknowledged == operations, "all are acknowledged")
    assert [record.message for record in caplog.records] == [
        "the connection's statistics cannot be read; the queue goes by its own count"
    ]


def test_a_leak_is_found_told_and_worked_around(started: list[Told]) -> None:
    connection = FakeConnection(clean_session=True)
    told = start(started, connection, max_in_flight=4, max_incomplete=4, leak_after_seconds=0.2)
    publish(told.queue, 6)
    told.until(lambda: len(told.sent) == 4, "the window is full")
    connection.lose()
    told.until(lambda: len(told.failed) == 4, "what was out is told")
    connection.acks_at_once = True
    connection.resume()
    assert connection.get_stats().incomplete_operation_count == 4
    told.until_settled()
    told.until(lambda: bool(told.leaks), "it was told")
    assert [leak.incomplete for leak in told.leaks] == [4]
    account = told.queue.account()
    assert (account.failed, account.acknowledged) == (4, 2)


# -- two queues -------------------------------------------------------------------------------------------------------


def test_two_queues_are_within_the_limit_together_and_take_turns(
    connection: FakeConnection, started: list[Told]
) -> None:
    one = start(started, connection, max_in_flight=1, max_incomplete=1)
    other = start(started, connection, max_in_flight=1, max_incomplete=1)
    publish(one.queue, 20)
    publish(other.queue, 20)
    for done in range(1, 41):
        one.until(lambda: len(connection.out) == 1, "one of them has the place")
        assert connection.get_stats().incomplete_operation_count == 1
        connection.ack()
        sizes = (one.queue.size, other.queue.size)
        if done > 2 and min(sizes):
            assert abs(sizes[0] - sizes[1]) <= 4
    one.until_settled()
    other.until_settled()


def test_a_slow_callback_of_one_queue_does_not_hold_the_other(connection: FakeConnection, started: list[Told]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def linger(*_: object) -> None:
        entered.set()
        leave.wait(DEADLINE_SECONDS)

    slow = MqttOperationQueue(
        connection=connection, events=connection.events, max_in_flight=2, max_incomplete=2, on_acknowledged=linger
    )
    publish(slow, 5)
    slow.start()
    eventually(lambda: len(connection.out) == 2, what="the slow one has the window")
    connection.ack()
    assert entered.wait(DEADLINE_SECONDS)
    connection.acks_at_once = True
    connection.ack(2)
    other = start(started, connection, max_in_flight=2, max_incomplete=2)
    publish(other.queue, 10)
    other.until_settled()
    leave.set()
    assert not any(slow.stop(DEADLINE_SECONDS, drain=True))

"""The operation queue on a connection in memory: its threads, its callbacks, and whom it waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes.connection import FakeConnection
from tests.queue_rig import Told, balance
from weir.core.modes import MODE_NAMES
from weir.operation_queue import MqttOperationQueue, Operation, Publish, QueueFull, Subscribe
from weir.operation_queue.settings import mode_of


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def started() -> Iterator[list[Told]]:
    """Stop what a test has started, whatever comes of the test."""
    told: list[Told] = []
    yield told
    for one in told:
        one.queue.stop(0)


def publish(queue: MqttOperationQueue, count: int, *, qos: int = 1) -> list[Operation]:
    return [queue.publish("topic", b"%d" % number, qos) for number in range(count)]


def start(started: list[Told], connection: FakeConnection, **settings: Any) -> Told:
    told = Told(connection, connection.events, **settings)
    started.append(told)
    told.queue.start()
    return told


# -- settings ---------------------------------------------------------------------------------------------------------


def test_a_mode_is_a_number_a_name_or_two_halves() -> None:
    for number, name in enumerate(MODE_NAMES):
        insert, overflow = name.split("/")
        halves = mode_of(None, insert, overflow)  # type: ignore[arg-type]  # any text, as a program may pass it
        assert mode_of(number, None, None) is mode_of(name, None, None) is halves
    assert mode_of(None, None, None).name == "back/return-error"
    assert mode_of(None, "front", None).name == "front/return-error"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": 6}, "no queue mode 6"),
        ({"mode": "sideways"}, "no queue mode 'sideways'"),
        ({"mode": 1, "insert": "back"}, "leave out either"),
        ({"insert": "middle"}, "no queue mode 'middle/return-error'"),
        ({"limit": 0}, "limit is 0"),
        ({"max_in_flight": 0}, "max_in_flight is 0"),
        ({"max_incomplete": 5, "max_in_flight": 6}, "max_incomplete is 5, below max_in_flight"),
        ({"max_incomplete_bytes": 5, "max_in_flight_bytes": 6}, "max_incomplete_bytes is 5, below"),
        ({"leak_after_seconds": 0}, "leak_after_seconds is 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_words(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MqttOperationQueue(connection=FakeConnection(), **settings)


def test_what_a_queue_shows_of_an_operation_is_not_its_payload() -> None:
    assert "secret" not in repr(Publish("topic", b"secret", 1))


# -- a full queue -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [4, 5])
def test_a_full_queue_is_an_error_to_the_caller_and_told(connection: FakeConnection, mode: int) -> None:
    full: list[Operation] = []
    queue = MqttOperationQueue(connection=connection, mode=mode, limit=2, on_full=full.append)
    kept = publish(queue, 2)
    with pytest.raises(QueueFull, match="2 operations wait already") as refused:
        queue.publish("topic", b"one too many", 1)
    assert refused.value.limit == 2
    with pytest.raises(QueueFull):
        queue.insert(0, Subscribe("filter", 1))
    assert set(queue.operations()) == set(kept)
    assert len(full) == 2
    assert queue.account().refused == 2
    balance(queue.account())


def test_many_threads_meet_the_limit_exactly(connection: FakeConnection) -> None:
    queue = MqttOperationQueue(connection=connection, mode=4, limit=100)
    refused = []

    def fill() -> None:
        for _ in range(200):
            try:
                queue.publish("topic", b"", 1)
            except QueueFull:
                refused.append(1)

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (queue.size, len(refused)) == (100, 700)
    balance(queue.account())


# -- indexes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [4, 5])
def test_an_index_counts_from_the_front(connection: FakeConnection, mode: int) -> None:
    queue = MqttOperationQueue(connection=connection, mode=mode)
    publish(queue, 3)
    first, second = Publish("first", b"", 1), Publish("second", b"", 1)
    queue.insert(0, first)
    queue.insert(1, second)
    queue.insert(99, Publish("last", b"", 1))
    topics = [operation.topic for operation in queue.operations()]
    assert topics == ["first", "second", "topic", "topic", "topic", "last"]
    assert queue.remove_at(1) is second
    with pytest.raises(IndexError, match="no operation waits at 5"):
        queue.remove_at(5)
    with pytest.raises(IndexError):
        queue.remove_at(-1)
    with pytest.raises(ValueError, match="index is -1"):
        queue.insert(-1, second)
    removed = queue.remove(lambda operation: operation.topic == "topic")
    assert len(removed) == 3
    assert [operation.topic for operation in queue.operations()] == ["first", "last"]


def test_a_predicate_may_use_the_queue(connection: FakeConnection) -> None:
    queue = MqttOperationQueue(connection=connection)
    publish(queue, 2)
    assert len(queue.remove(lambda _: queue.size)) == 2


# -- callbacks --------------------------------------------------------------------------------------------------------


def test_every_callback_may_enqueue_and_look() -> None:
    connection = FakeConnection(acks_at_once=True)
    more: dict[str, int] = {}

    def again(name: str) -> None:
        if more.setdefault(name, 3):
            more[name] -= 1
            queue.publish(name, b"", 1)
            queue.operations()
            queue.account()

    queue = MqttOperationQueue(
        connection=connection,
        events=connection.events,
        mode=3,
        limit=2,
        on_sent=lambda _: again("sent"),
        on_acknowledged=lambda *_: again("acknowledged"),
        on_failed=lambda *_: again("failed"),
        on_dropped=lambda _: again("dropped"),
        on_full=lambda _: again("full"),
        on_empty=lambda: again("empty"),
    )
    queue.start()

    def all_have() -> bool:
        publish(queue, 4)
        queue.publish("no/+/topic", b"", 1)
        return len(more) == 6 and not any(more.values())

    eventually(all_have, what="every callback has enqueued")
    queue.stop(DEADLINE_SECONDS, drain=True)
    balance(queue.account())


def test_a_callback_that_raises_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    connection = FakeConnection(acks_at_once=True)

    def raise_it(*_: object) -> None:
        raise LookupError("the program's own fault")

    queue = MqttOperationQueue(
        connection=connection, mode=0, limit=1, on_sent=raise_it, on_acknowledged=raise_it, on_dropped=raise_it
    )
    with caplog.at_level(logging.ERROR):
        publish(queue, 2)
        queue.start()
        queue.stop(DEADLINE_SECONDS, drain=True)
    account = queue.account()
    assert (account.acknowledged, account.dropped) == (1, 1)
    assert [record.message for record in caplog.records] == [
        "a callback of the operation queue raised; the queue goes on"
    ] * 3


def test_callbacks_come_from_one_thread_and_sent_before_acknowledged(
    connection: FakeConnection, started: list[Told]
) -> None:
    connection.acks_at_once = True
    told = start(started, connection, max_in_flight=3, max_incomplete=3)
    operations = publish(told.queue, 50)
    told.until_settled()
    told.until(lambda: len(told.acknowledged) == 50, "all were told")
    assert told.sent == told.acknowledged == operations
    assert len(told.threads) == 1
    assert threading.get_ident() not in told.threads
    assert told.emptied >= 1


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


# -- start and stop ---------------------------------------------------------------------------------------------------


def test_a_stop_says_what_was_left_and_a_start_goes_on(connection: FakeConnection, started: list[Told]) -> None:
    told = start(started, connection, max_in_flight=2, max_incomplete=2)
    operations = publish(told.queue, 5)
    told.until(lambda: len(told.sent) == 2, "the window is full")
    left = told.queue.stop(0.05)
    assert left.outstanding == tuple(operations[:2])
    assert left.waiting == tuple(operations[2:])
    assert not told.queue.running
    connection.ack(2)
    assert not told.acknowledged
    connection.acks_at_once = True
    told.queue.start()
    told.until(lambda: told.acknowledged == operations, "all of it goes on")


def test_a_stop_waits_for_what_is_out_and_hands_nothing_more_over(
    connection: FakeConnection, started: list[Told]
) -> None:
    told = start(started, connection, max_in_flight=2, max_incomplete=2)
    operations = publish(told.queue, 3)
    told.until(lambda: len(told.sent) == 2, "the window is full")
    threading.Timer(0.05, lambda: connection.ack(2)).start()
    left = told.queue.stop(DEADLINE_SECONDS)
    assert left == ((operations[2],), ())
    assert told.acknowledged == operations[:2]


def test_a_callback_may_stop_the_queue(connection: FakeConnection) -> None:
    connection.acks_at_once = True
    queue = MqttOperationQueue(connection=connection, on_sent=lambda _: queue.stop())
    publish(queue, 1)
    queue.start()
    eventually(lambda: not queue.running, what="it stops")
    queue.stop(DEADLINE_SECONDS)
    assert queue.account().acknowledged == 1


def test_a_queue_whose_callback_hangs_is_left_by_the_deadline_and_cannot_start_twice(
    connection: FakeConnection,
) -> None:
    leave = threading.Event()
    queue = MqttOperationQueue(connection=connection, on_sent=lambda _: leave.wait(DEADLINE_SECONDS))
    publish(queue, 1)
    queue.start()
    queue.start()  # once is enough
    eventually(lambda: connection.packets, what="it was handed over")
    assert len(queue.stop(0.05).outstanding) == 1
    with pytest.raises(RuntimeError, match="still stopping"):
        queue.start()
    leave.set()
    connection.ack()
    assert not any(queue.stop(DEADLINE_SECONDS))


def test_what_a_stopped_queue_left_at_the_client_does_not_hold_the_other_queue_for_ever(
    connection: FakeConnection, started: list[Told]
) -> None:
    gone = start(started, connection, max_in_flight=2, max_incomplete=2)
    publish(gone.queue, 2)
    gone.until(lambda: len(connection.out) == 2, "it has the window")
    assert len(gone.queue.stop(0).outstanding) == 2
    other = start(started, connection, max_in_flight=2, max_incomplete=2)
    publish(other.queue, 1)
    other.until(lambda: other.queue.held_by == "others", "it is held by what is out")
    connection.acks_at_once = True
    connection.ack(2)
    other.until_settled()

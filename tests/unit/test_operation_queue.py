"""The operation queue on a connection in memory: its settings, its limit, its callbacks, its start and stop."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import pytest

from tests.conditions import DEADLINE_SECONDS, eventually
from tests.fakes.connection import FakeConnection
from tests.queue_rig import Told, balance, publish, start
from weir.core.modes import MODE_NAMES
from weir.operation_queue import MqttOperationQueue, Operation, Publish, QueueFull, Subscribe
from weir.operation_queue.settings import mode_of

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


def test_an_operation_is_as_large_as_the_client_counts_it_whatever_its_payload_is_made_of() -> None:
    payloads: list[bytes | bytearray | str] = [b"abc", bytearray(b"abc"), "abc", "\N{SNOWMAN}"]
    assert [Publish("topic", payload, 1).size for payload in payloads] == [4 + 5 + 3] * 4


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
    held_up: list[bool] = []
    other = MqttOperationQueue(connection=connection)

    def again(name: str) -> None:
        if more.setdefault(name, 3):
            more[name] -= 1
            queue.publish(name, b"", 1)
            elsewhere = threading.Thread(target=look)  # a lock that is held here would stop another thread
            elsewhere.start()
            elsewhere.join(DEADLINE_SECONDS)
            held_up.append(elsewhere.is_alive())

    def look() -> None:
        queue.operations()
        queue.account()
        queue.remove(lambda _: False)
        other.publish("other", b"", 1)

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
    assert held_up == [False] * 18
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


# -- start and stop ---------------------------------------------------------------------------------------------------


def workers() -> int:
    return sum(thread.name == "weir-operation-queue" for thread in threading.enumerate())


def start_together(queue: MqttOperationQueue, count: int) -> None:
    together = threading.Barrier(count)

    def start_it() -> None:
        together.wait(DEADLINE_SECONDS)
        queue.start()

    starters = [threading.Thread(target=start_it) for _ in range(count)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()


def test_many_threads_that_start_a_queue_start_it_once(connection: FakeConnection) -> None:
    before = workers()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet
    try:
        for _ in range(20):
            queue = MqttOperationQueue(connection=connection)
            start_together(queue, 8)
            assert workers() == before + 1
            queue.stop(DEADLINE_SECONDS)
    finally:
        sys.setswitchinterval(interval)


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

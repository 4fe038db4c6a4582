"""The operation queue over and over: starts, stops, restarts of the broker. WEIR_LONG=1 does it ten times as often."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.queue_rig import AT_LEAST_ONCE, CONNECT_SECONDS, Line, Told, balance
from weir.operation_queue import MqttOperationQueue

LONG = os.environ.get("WEIR_LONG") == "1"
CYCLES = 1_000 if LONG else 100
RESTARTS = 100 if LONG else 10
WARM_UP = 20  # cycles
WARM_UP_RESTARTS = 2
MAY_GROW_BYTES = 8 << 20  # of the process, allocator and all
MAY_GROW_OBJECTS = 200


class Usage(NamedTuple):
    """What the process has: threads of Python, all threads, objects, bytes of memory."""

    threads: int
    native_threads: int
    objects: int
    resident: int


def usage() -> Usage:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Usage(
        threading.active_count(), len(list(Path("/proc/self/task").iterdir())), len(gc.get_objects()), resident
    )


def did_not_grow(since: Usage) -> None:
    now = usage()
    print(f"from {since} to {now}")  # noqa: T201 - the figures of the long form, seen with -s
    assert now.threads <= since.threads
    assert now.native_threads <= since.native_threads
    assert now.objects - since.objects < MAY_GROW_OBJECTS
    assert now.resident - since.resident < MAY_GROW_BYTES


def test_starting_and_stopping_leaves_nothing_behind(broker: Broker) -> None:
    line = Line(broker)
    lasting = MqttOperationQueue(connection=line.connection, events=line.events)
    before = usage()
    for cycle in range(CYCLES):
        if cycle == WARM_UP:
            before = usage()
        start_and_stop(line, lasting, drain=bool(cycle % 2))
    lasting.start()
    assert not any(lasting.stop(CONNECT_SECONDS, drain=True))
    assert lasting.account().acknowledged == 20 * CYCLES
    assert line.incomplete == 0
    did_not_grow(before)
    line.close()


def start_and_stop(line: Line, lasting: MqttOperationQueue, *, drain: bool) -> None:
    """Let a queue that lasts, and one that is made for it, work for a moment on the same connection."""
    passing = MqttOperationQueue(connection=line.connection, events=line.events, max_in_flight=5, max_incomplete=5)
    for queue in (lasting, passing):
        for _ in range(20):
            queue.publish("topic", b"payload", AT_LEAST_ONCE)
        queue.start()
    assert not any(passing.stop(CONNECT_SECONDS, drain=True))
    lasting.stop(CONNECT_SECONDS, drain=drain)
    for queue in (lasting, passing):
        balance(queue.account())
    assert passing.account().acknowledged == 20


@pytest.mark.parametrize("clean_session", [False, True])
def test_restarts_of_the_broker_lose_no_operation_and_no_count(broker: Broker, *, clean_session: bool) -> None:
    line = Line(broker, clean_session=clean_session)
    told = Told(line.connection, line.events, max_in_flight=20, max_incomplete=20, leak_after_seconds=0.3)
    told.queue.start()
    before = usage()
    restarts = RESTARTS if not clean_session else max(3, RESTARTS // 5)
    for restart in range(restarts):
        broker.freeze()
        for _ in range(50):
            told.queue.publish("topic", b"%d" % restart, AT_LEAST_ONCE)
        told.until(lambda: told.queue.account().outstanding > 0, "some are in flight")
        broker.kill()
        told.until(lambda: not line.events.up, "the loss is told")
        broker.start()
        told.until_settled()
        balance(told.queue.account())
        told.until(lambda: len(told.acknowledged) + len(told.failed) == 50, "each was told")
        told.forget()
        if restart < WARM_UP_RESTARTS:
            before = usage()
    account = told.queue.account()
    assert account.taken == 50 * restarts == account.acknowledged + account.failed
    if not clean_session:
        assert account.failed == 0
        assert line.incomplete == 0
    did_not_grow(before)
    told.stop()
    eventually(lambda: line.events.up, what="it is connected")
    line.close()

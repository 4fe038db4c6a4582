"""The operation queue over and over: starts, stops, restarts of the broker. WEIR_LONG=1 does it ten times as often."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.queue_rig import AT_LEAST_ONCE, CONNECT_SECONDS, Line, Told, balance
from weir.operation_queue import MqttOperationQueue

LONG = os.environ.get("WEIR_LONG") == "1"
CYCLES = 1_000 if LONG else 100
RESTARTS = 100 if LONG else 10
WARM_UP = 20
MAY_GROW_BYTES = 8 << 20  # of the process, allocator and all
MAY_GROW_OBJECTS = 200


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_starting_and_stopping_leaves_nothing_behind(broker: Broker) -> None:
    line = Line(broker)
    lasting = MqttOperationQueue(connection=line.connection, events=line.events)
    before = (0, 0, 0)
    for cycle in range(CYCLES):
        if cycle == WARM_UP:
            before = (threading.active_count(), objects(), resident_bytes())
        start_and_stop(line, lasting, drain=bool(cycle % 2))
    lasting.start()
    assert not any(lasting.stop(CONNECT_SECONDS, drain=True))
    assert lasting.account().acknowledged == 20 * CYCLES
    assert line.incomplete == 0
    assert threading.active_count() <= before[0]
    assert objects() - before[1] < MAY_GROW_OBJECTS
    assert resident_bytes() - before[2] < MAY_GROW_BYTES
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
    threads = 0
    restarts = RESTARTS if not clean_session else max(2, RESTARTS // 5)
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
        threads = threads or threading.active_count()
    account = told.queue.account()
    assert account.taken == 50 * restarts == account.acknowledged + account.failed
    if not clean_session:
        assert account.failed == 0
        assert line.incomplete == 0
    assert threading.active_count() <= threads
    told.stop()
    eventually(lambda: line.events.up, what="it is connected")
    line.close()

"""The operation queue, as a program uses it.

Owns the settings, their meaning, and starting and stopping. What waits and was counted is in the books, what goes to
the client is the worker's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from weir.core.ports import Statistics
from weir.operation_queue.books import Account, Books
from weir.operation_queue.callbacks import Callbacks, call
from weir.operation_queue.connection import Connection, ConnectionEvents
from weir.operation_queue.errors import QueueFull
from weir.operation_queue.operations import Operation, Publish, Subscribe, Unsubscribe
from weir.operation_queue.settings import Insert, Overflow, at_least_one, limits_of, mode_of
from weir.operation_queue.sharing import sharing
from weir.operation_queue.worker import Stop, Worker


class Left(NamedTuple):
    """What was left at a stop: what waits, the front first, and what is at the client without an outcome."""

    waiting: tuple[Operation, ...]
    outstanding: tuple[Operation, ...]


class MqttOperationQueue:
    """Holds publish, subscribe and unsubscribe operations, and hands them to a connection as fast as it can take them.

    Every method may be called by any thread, callbacks included; none by a signal handler. The queue uses the
    connection's three operations and its statistics, nothing else (a publish on awscrt's own connection goes by a
    cheaper call to the same effect): it never connects, disconnects or replaces it, and several queues, service
    clients and the program itself may use one connection together.

    The front of the queue is where the next operation is taken from; an index counts from there, and 0 is the front.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        events: ConnectionEvents | None = None,
        limit: int | None = None,
        mode: int | str | None = None,
        insert: Insert | None = None,
        overflow: Overflow | None = None,
        max_incomplete: int | None = 100,
        max_in_flight: int | None = 100,
        max_incomplete_bytes: int | None = 4_194_304,
        max_in_flight_bytes: int | None = 2_097_152,
        leak_after_seconds: float = 30.0,
        on_sent: Callable[[Operation], object] | None = None,
        on_acknowledged: Callable[[Operation, Any], object] | None = None,
        on_failed: Callable[[Operation, BaseException], object] | None = None,
        on_dropped: Callable[[Operation], object] | None = None,
        on_full: Callable[[Operation], object] | None = None,
        on_empty: Callable[[], object] | None = None,
        on_leak: Callable[[Statistics], object] | None = None,
    ) -> None:
        """Make a queue, which takes operations at once and hands none over before `start`.

        Args:
            connection: an `awscrt.mqtt.Connection`, or anything that fulfils the same port, as the adapter for an
                MQTT 5 client does. Queues on one connection must be given the same object.
            events: tells whether the connection is up; while it is not, nothing is handed over. Without it the queue
                takes the connection for up: then what is handed over while it is down waits in the client (QoS 1), as
                far as the limits go, or fails (QoS 0).
            limit: how many operations may wait, 1 or more; None is any number.
            mode: 0 to 5 or its name. It says where an operation enters and what a full queue does:
                0 `back/drop-back`, 1 `front/drop-back`, 2 `front/drop-front`, 3 `back/drop-front`,
                4 `back/return-error` (the default), 5 `front/return-error`.
            insert: the first half of a mode, instead of `mode`: `back` (the default) or `front`.
            overflow: the other half: `drop-back`, `drop-front` or `return-error` (the default).
            max_incomplete: how many operations the client may hold unfinished, whoever made them. None is no limit.
            max_in_flight: how many of them may be sent and not acknowledged. Not above `max_incomplete`.
            max_incomplete_bytes: as `max_incomplete`, in bytes as the client counts them: topic, payload and 4 for a
                publish. If nothing at all is outstanding, one operation may go whatever its size.
            max_in_flight_bytes: as `max_in_flight`, in bytes.
            leak_after_seconds: after so long connected, with nothing of any queue outstanding and statistics that
                stay above zero and do not move, what they count is taken for a leak of the client and left out. Choose
                more than any operation of others may take.
            on_sent: told of each operation that was handed to the client, which is not yet at the broker.
            on_acknowledged: told of each that the broker answered, with what the client's future gave; never of a
                publish at QoS 0. It comes after `on_sent` of the same operation.
            on_failed: told of each that was handed over and not performed, with the client's error. It is not tried
                again; the broker may have it all the same where the error is a timeout.
            on_dropped: told of each that a full queue gave up (modes 0 to 3).
            on_full: told of each that came to a full queue, whatever becomes of it, before anything else does.
            on_empty: told when the last one that waited was handed over.
            on_leak: told when a leak was found, with the statistics that are left out from then on.

        `on_dropped` and `on_full` are called in the thread that adds an operation, before its call returns; the others
        one after the other by the queue's own thread, which does nothing else meanwhile. All are called outside every
        lock, so they may use the queue. What one raises is logged, and changes nothing.

        Raises:
            ValueError: a setting is not allowed; the text says what is.
        """
        at_least_one("limit", limit)
        if not leak_after_seconds > 0:
            raise ValueError(f"leak_after_seconds is {leak_after_seconds} (allowed: a number above 0)")
        limits = limits_of(max_incomplete, max_in_flight, max_incomplete_bytes, max_in_flight_bytes)
        self._callbacks = Callbacks(on_sent, on_acknowledged, on_failed, on_dropped, on_full, on_empty, on_leak)
        self._books = Books(mode_of(mode, insert, overflow), limit)
        self._events = events
        shared = sharing(connection)
        self._worker = Worker(
            self._books, shared, limits, callbacks=self._callbacks, events=events, leak_after_seconds=leak_after_seconds
        )
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()  # so that two threads that start it start one worker

    # -- what goes in -------------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes | bytearray | str, qos: int, *, retain: bool = False) -> Publish:
        """Add a publish where the mode says; `qos` is the client's own value, as `mqtt.QoS.AT_LEAST_ONCE`.

        Raises QueueFull in modes 4 and 5. A topic or size that the client refuses comes to `on_failed`.
        """
        operation = Publish(topic, payload, qos, retain)
        self._admit(operation, None)
        return operation

    def subscribe(self, topic: str, qos: int, callback: Callable[..., Any] | None = None) -> Subscribe:
        """Add a subscribe to a filter; the client calls `callback` for each message. Raises as `publish`."""
        operation = Subscribe(topic, qos, callback)
        self._admit(operation, None)
        return operation

    def unsubscribe(self, topic: str) -> Unsubscribe:
        """Add an unsubscribe from a filter. Raises as `publish`."""
        operation = Unsubscribe(topic)
        self._admit(operation, None)
        return operation

    def add(self, operation: Operation) -> None:
        """Add an operation where the mode says. Raises as `publish`."""
        self._admit(operation, None)

    def insert(self, index: int, operation: Operation) -> None:
        """Add an operation at an index, or at the back where fewer wait.

        A full queue first does what its mode says, and the index counts in what is left. Raises as `publish`, and
        ValueError for an index below 0.
        """
        if index < 0:
            raise ValueError(f"index is {index} (allowed: 0, the front, or more)")
        self._admit(operation, index)

    def _admit(self, operation: Operation, index: int | None) -> None:
        try:
            dropped, wake = self._books.admit(operation, index)
        except QueueFull:
            call(self._callbacks.full, operation)
            raise
        if wake:
            self._worker.inbox.wake()
        if dropped is not None:
            call(self._callbacks.full, operation)
            call(self._callbacks.dropped, dropped)

    # -- what is taken out --------------------------------------------------------------------------------------------

    def remove_at(self, index: int) -> Operation:
        """Take the operation at an index out of the queue and give it. Raises IndexError where none waits."""
        operation, wake = self._books.remove_at(index)
        if wake:
            self._worker.inbox.wake()
        return operation

    def remove(self, predicate: Callable[[Operation], object]) -> list[Operation]:
        """Take out every operation that waits and fulfils the predicate; gives them, the front first.

        The predicate is called outside every lock. What was handed to the client meanwhile is not among them.
        """
        chosen = [operation for operation in self._books.listed() if predicate(operation)]
        removed, wake = self._books.remove(chosen)
        if wake:
            self._worker.inbox.wake()
        return removed

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Count what waits."""
        return len(self._books)

    def operations(self) -> tuple[Operation, ...]:
        """List what waits, the front first."""
        return self._books.listed()

    def account(self) -> Account:
        """Give what became of every operation so far."""
        return self._books.account()

    @property
    def held_by(self) -> str | None:
        """Say what held the next operation when the queue last looked; None if nothing did.

        `inFlight`, `incomplete`, `inFlightBytes`, `incompleteBytes`: a limit, reached with operations of queues.
        `others`: operations of others alone reach a limit. `shared`: another queue's turn. `offline`, `stopped`.
        """
        return self._worker.held_by

    # -- start and stop -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Tell whether operations are handed over."""
        thread = self._thread
        return thread is not None and thread.is_alive() and self._worker.stop is None

    def start(self) -> None:
        """Begin to hand operations over; does nothing if that goes on already.

        May follow a stop: what waited goes on, and outcomes that came meanwhile are told. Raises RuntimeError while a
        stop is not over, because a callback has not come back or other operations may still end in time.
        """
        worker = self._worker
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                if worker.stop is not None:
                    raise RuntimeError("the queue is still stopping; call stop again to wait for it")
                return
            worker.stop = None
            if self._events is not None:
                self._events.tell(worker.inbox.wake)
            self._thread = threading.Thread(target=worker.run, name="weir-operation-queue", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0, *, drain: bool = False) -> Left:
        """Hand nothing more over, wait at most so many seconds for what is at the client, and say what was left.

        With `drain` what waits still goes as long as there is time. What was left waiting stays in the queue; what is
        outstanding may still come about, which is told after the next start. Called by a callback it cannot wait.
        """
        worker = self._worker
        with self._starting:
            thread = self._thread
            worker.stop = Stop(time.monotonic() + timeout_seconds, drain)
        worker.inbox.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds + _GRACE_SECONDS)
        if self._events is not None:
            self._events.forget(worker.inbox.wake)
        return Left(self._books.listed(), worker.outstanding())


_GRACE_SECONDS = 0.5  # for the worker to come to its end, once its time is up

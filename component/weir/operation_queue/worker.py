"""The worker of one queue: outcomes in, operations out, then wait.

Owns what is at the client, and when to look again. It decides through `core.gate`; what waits and what was counted is
in the books, what other queues have out in the sharing. It runs on one thread, which also runs the callbacks, outside
of every lock.

It waits for an outcome, a change of the line or an event of the connection. Two timers exist. While operations of
others may hold the gate it looks again, at first soon and then every OTHERS_LOOK_SECONDS. And once something has
moved, it lets half a window of outcomes gather, for GATHER_SECONDS at most: a wake-up for each costs 13 % of the
throughput. Where nothing moves, nothing ticks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from concurrent.futures import CancelledError, Future
from itertools import repeat
from typing import Any, NamedTuple

from weir.core.gate import OTHERS_LOOK_SECONDS, GateLimits, LeakWatch, Opening, Outstanding
from weir.operation_queue.books import Books, Ended
from weir.operation_queue.callbacks import Callbacks, call, call_each
from weir.operation_queue.connection import ConnectionEvents, Handed
from weir.operation_queue.inbox import Inbox
from weir.operation_queue.operations import Operation, Publish
from weir.operation_queue.sharing import NOTHING, Member, Sharing

GATHER_SECONDS = 0.005
FIRST_LOOK_SECONDS = 0.001  # a client's statistics may fall a moment after the outcome was told
MOST_AT_ONCE = 256  # so many operations are handed over in one turn, or other queues would wait for long

OFFLINE, STOPPED, SHARED = "offline", "stopped", "shared"
_TOO_FEW = 3  # to gather: half of them is one
_BYTES = ("inFlightBytes", "incompleteBytes")


class Stop(NamedTuple):
    """When the worker must be at its end, and whether what waits is still to go until then."""

    deadline: float
    drain: bool


# How one operation ended: with an answer of the client, or an error. A bare tuple, since one is made for every one.
Outcome = tuple[Operation, Any, BaseException | None]


class Worker:
    """Everything that one thread does for a queue. Others may use `inbox`, `stop`, `held_by` and `outstanding`."""

    def __init__(
        self,
        books: Books,
        shared: Sharing,
        limits: GateLimits,
        *,
        callbacks: Callbacks,
        events: ConnectionEvents | None,
        leak_after_seconds: float,
    ) -> None:
        self.inbox = Inbox()
        self.stop: Stop | None = None
        self.held_by: str | None = None
        self._settled = self.inbox.settled
        self._books = books
        self._shared = shared
        self._limits = limits
        self._callbacks = callbacks
        self._events = events
        self._watch = LeakWatch(leak_after_seconds)
        self._told_leak = NOTHING
        self._out: dict[Handed, Operation] = {}
        self._others = False  # operations that are not ours were at the client at the last look
        self._looks = 0  # since something last moved

    def outstanding(self) -> tuple[Operation, ...]:
        """List what is at the client, the first that went first."""
        return tuple(self._out.values())

    def arrived(self) -> Outstanding:
        """Sum up what has an outcome that is not settled yet, for another queue that looks for room."""
        found = [self._out.get(future) for future in self.inbox.listed()]
        return _sum([operation for operation in found if operation is not None])

    def run(self) -> None:
        """Work until told to stop, and then until nothing is out any more or the deadline has come."""
        self._shared.join(self, _sum(self._out.values()))
        try:
            while not self._over():
                moved = self.step()
                self._looks = 0 if moved else self._looks + 1
                self._wait(moved=moved)
        finally:  # what is still out is the client's own from here on, as its statistics have it
            self._shared.leave(self, _sum(self._out.values()))

    def _over(self) -> bool:
        stop = self.stop
        if stop is None:
            return False
        drained = not self._out and not (stop.drain and len(self._books))
        return drained or time.monotonic() >= stop.deadline

    def step(self) -> bool:
        """Settle, release, tell; and say whether anything moved."""
        outcomes, ended, back = self._settle(self.inbox.take())
        sent = self._release(ended, back)
        self._tell(outcomes, sent)
        return bool(back.operations or sent)

    # -- settle -------------------------------------------------------------------------------------------------------

    def _settle(self, futures: list[Handed]) -> tuple[Iterable[Outcome], Ended, Outstanding]:
        if not futures:
            return (), _NONE_ENDED, _NONE
        operations = [*map(self._out.pop, futures)]
        back = _sum(operations)
        try:
            answers = [future.result() for future in futures]
        except Exception as error:  # noqa: BLE001 - at least one failed
            error.with_traceback(None)  # who keeps the error would keep this frame, and all that came back in it
            return *_one_by_one(operations, futures), back
        acknowledged = back.acknowledged_operations
        ended = (acknowledged, back.operations - acknowledged, 0)
        return zip(operations, answers, repeat(None)), ended, back

    # -- release ------------------------------------------------------------------------------------------------------

    def _release(self, ended: Ended, back: Outstanding) -> list[Operation]:
        """Hand over what may go; `held_by` says what holds the rest."""
        shared = self._shared
        self._others = False
        self.held_by = self._closed()
        waits = self.held_by is None and len(self._books) > 0
        sent: list[Operation] = []
        others: list[Member] = []
        with shared.turn:
            if back.operations:
                shared.add(back, -1)
            room = back.operations
            if waits:
                sent, room = self._release_some(ended)
            else:
                self._books.settle(ended)
            if not shared.alone:
                others = shared.yielded(self, len(sent), room, came_back=back.operations > 0)
                shared.wait_for_room(self, waits=waits and self.held_by is not None)
        for other in others:
            other.inbox.wake()
        return sent

    def _release_some(self, ended: Ended) -> tuple[list[Operation], int]:
        """Hand over what the gate lets through now; and say how much room is left."""
        shared = self._shared
        gate = self._open()
        room = gate.operations
        share = room if shared.alone else shared.share(self, room)
        batch, self.held_by = self._books.take(gate, min(share, MOST_AT_ONCE), ended)
        if self.held_by is None and len(batch) == share < room:
            self.held_by = SHARED
        if batch:
            self._hand_over(batch)
            shared.add(_sum(batch))
        return batch, room - len(batch)

    def _open(self) -> Opening:
        shared = self._shared
        now = shared.look()
        self._others = now.incomplete > shared.ours.operations
        connected = self._events is None or self._events.up
        if self._watch.leaks(time.monotonic(), now, shared.ours.operations, connected=connected):
            now = shared.write_off(now)
        return shared.open(self, now, self._limits)

    def _hand_over(self, batch: list[Operation]) -> None:
        publish, out, settled = self._shared.publish, self._out, self._settled
        for operation in batch:
            if publish is None or type(operation) is not Publish:
                self._hand_over_one(operation)
            else:
                handed = publish(operation.topic, operation.payload, operation.qos, operation.retain, settled)
                out[handed] = operation

    def _hand_over_one(self, operation: Operation) -> None:
        try:
            future = operation.hand_to(self._shared.connection)
        except Exception as error:  # noqa: BLE001 - the client refused it in the call itself: an outcome too
            future = Future()
            future.set_exception(error)
        self._out[future] = operation
        future.add_done_callback(self._settled)

    def _closed(self) -> str | None:
        """Say why nothing may go, whatever the gate says."""
        stop = self.stop
        if stop is not None and not stop.drain:
            return STOPPED
        return OFFLINE if self._events is not None and not self._events.up else None

    # -- tell ---------------------------------------------------------------------------------------------------------

    def _tell(self, outcomes: Iterable[Outcome], sent: list[Operation]) -> None:
        told = self._callbacks
        if told.acknowledged is not None or told.failed is not None:
            call_each(self._tell_outcome, outcomes)
        call_each(told.sent, zip(sent))
        if told.empty is not None and sent and not len(self._books):
            call(told.empty)
        leaked = self._shared.leaked
        if leaked.incomplete > self._told_leak.incomplete:
            call(told.leak, leaked)
        self._told_leak = leaked

    def _tell_outcome(self, operation: Operation, answer: Any, error: BaseException | None) -> None:  # noqa: ANN401 - the client's
        told = self._callbacks
        if error is not None:
            if told.failed is not None:
                told.failed(operation, error)
        elif operation.acknowledged and told.acknowledged is not None:
            told.acknowledged(operation, answer)

    # -- wait ---------------------------------------------------------------------------------------------------------

    def _wait(self, *, moved: bool) -> None:
        """Wait for what may change something; not at all if more may go at once."""
        if self._over() or (self.held_by is None and len(self._books)):
            return
        if (self.held_by is None or self.held_by in _BYTES) and not self._books.rest():
            return  # the line changed since it was looked at
        seconds, outcomes = None, 1
        if moved and len(self._out) > _TOO_FEW:
            seconds, outcomes = GATHER_SECONDS, len(self._out) // 2
        if self.held_by is not None and self._others:
            look = min(OTHERS_LOOK_SECONDS, FIRST_LOOK_SECONDS * 2.0 ** min(self._looks, 10))
            seconds = look if seconds is None else min(seconds, look)
        stop = self.stop
        if stop is not None:
            left = max(0.0, stop.deadline - time.monotonic())
            seconds = left if seconds is None else min(seconds, left)
        self.inbox.wait(seconds, outcomes)
        self._books.awake()


_NONE = Outstanding()
_NONE_ENDED: Ended = (0, 0, 0)


def _one_by_one(operations: list[Operation], futures: list[Handed]) -> tuple[list[Outcome], Ended]:
    """Look at each outcome by itself; nothing is raised, for what was raised would hold the frames it came through."""
    outcomes: list[Outcome] = []
    acknowledged = failed = 0
    for operation, future in zip(operations, futures, strict=True):
        error = CancelledError() if future.cancelled() else future.exception()
        outcomes.append((operation, None if error is not None else future.result(), error))
        failed += error is not None
        acknowledged += error is None and operation.acknowledged
    return outcomes, (acknowledged, len(outcomes) - acknowledged - failed, failed)


def _sum(operations: Collection[Operation]) -> Outstanding:
    """Count operations as the gate wants them."""
    if not operations:
        return _NONE
    size = acknowledged = acknowledged_size = 0
    for operation in operations:
        size += operation.size
        if operation.acknowledged:
            acknowledged += 1
            acknowledged_size += operation.size
    return Outstanding(len(operations), size, acknowledged, acknowledged_size)

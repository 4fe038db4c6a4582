"""Messages by way of the Greengrass nucleus, which takes them on and tells no more of them.

Owns what is outstanding at the nucleus and for how long it wants to be left alone. It must not know of sockets or of
the SDK: it is given a `weir.core.nucleus.Nucleus`, which the configuration may use as well.

All state here is changed by the loop's thread, but for what a native thread does when an answer comes: it takes the
operation out of those outstanding, and whoever takes it out decides its outcome. Lite says the same of "offline" and of
"too fast", so every refusal is a moment to wait, longer each time; what was outstanding together is refused together,
and counts as one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial
from typing import Any, NamedTuple

from weir.core import topics
from weir.core.errors import NotTaken, Refused
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted
from weir.core.nucleus import (
    MOST_UNACKNOWLEDGED,
    TAKEN_BYTES,
    Answer,
    ConnectionGone,
    NotAllowed,
    NotSent,
    Nucleus,
)
from weir.core.ports import Post, Settled, Statistics
from weir.core.topics import OPERATION_BYTES, OVERHEAD_BYTES
from weir.transports import backoff

REFUSED_MIN_SECONDS = 0.1
REFUSED_MAX_SECONDS = 5.0
_KNOWN_TOPICS = 256
_ALL_LITE_SAYS = "ServiceError"


class IpcTransport:
    """Fulfils `weir.core.ports.Transport`."""

    name = "ipc"
    hands_over = True
    carries_ids = False
    operation_bytes = OPERATION_BYTES  # as an MQTT client counts, so that limits mean the same here
    packet_bytes = OVERHEAD_BYTES

    def __init__(
        self,
        nucleus: Nucleus,
        post: Post,
        settled: Settled,
        *,
        owns_nucleus: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the nucleus; where this transport owns it, it is closed with it."""
        self.message_bytes = TAKEN_BYTES[nucleus.kind]
        self.most_outstanding: int | None = MOST_UNACKNOWLEDGED[nucleus.kind]
        self.generation = 1
        self._nucleus = nucleus
        self._owns_nucleus = owns_nucleus
        self._post = post
        self._settled = settled
        self._jitter = jitter
        self._first: Answer[None] | None = None  # until it was seen how the first attempt went
        self._was_up = self._up = self._closed = False
        self._replaced: _Replaced | None = None  # while the old connection is on its way out
        self._outstanding = _Outstanding()
        self._refusals = 0  # in a row

    def start(self) -> None:
        """Use the connection that there is, or the next one."""
        self._nucleus.on_restored(self._restored)
        self._nucleus.on_lost(self._lost)
        self._nucleus.on_failed(self._failed)
        self._first = self._nucleus.connect()

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Future[Any]:  # noqa: ARG002 - no place for it
        """Hand one message to the nucleus. With no connection to it, the message is `NotTaken`."""
        if self._closed or self._replaced is not None:
            raise RuntimeError("there is no connection to publish to")
        fault = _fault(topic)
        if fault is not None:
            raise Refused(f"the topic {fault}")
        size = len(topic.encode()) + len(payload)
        if size > self.message_bytes:
            raise Refused(
                f"topic and payload have {size} bytes (allowed by IPC on a {self._nucleus.kind} nucleus: at most "
                f"{self.message_bytes})"
            )
        operation: Future[Any] = Future()
        operation.add_done_callback(self._settled)
        self._outstanding.add(operation, size + OPERATION_BYTES)
        answer = self._nucleus.publish(topic, payload, qos)
        answer.add_done_callback(partial(self._answered, self._outstanding, operation, topic, self._refusals))
        return operation

    def statistics(self) -> Statistics:
        """Count what the nucleus has not answered; what it was given up on counts for as long as it may yet take it."""
        if self._replaced is not None:
            return Statistics(0, 0, 0, 0)
        count, size = self._outstanding.sum()
        count += self._nucleus.unanswered
        return Statistics(count, size, count, size)

    def advance(self, now: float) -> float | None:
        """See what became of the connection and of the answers that are overdue."""
        if self._closed:
            return None
        if self._first is not None and self._first.done():
            self._see_first(self._first)
        due = self._nucleus.advance(now)
        self._see_off()
        return due

    def replace(self) -> None:
        """Give up the connection for a new one; everybody who uses this nucleus gets the new one."""
        if self._replaced is not None or self._closed:
            return
        self._outstanding.seal()
        self._replaced = _Replaced(self.generation, self._nucleus.reconnect(), self._outstanding)
        self._outstanding = _Outstanding()
        self._first = None
        self._was_up = self._up = False
        self.generation += 1  # at once: what the old connection still says is told apart from here on

    def close(self, timeout_seconds: float) -> None:
        """Publish nothing any more; what the nucleus has not answered fails."""
        self._closed = True
        if self._owns_nucleus:
            self._nucleus.close(timeout_seconds)
        for outstanding in (self._outstanding, self._replaced and self._replaced.outstanding):
            if outstanding is not None:
                outstanding.fail()
        self._replaced = self._first = None

    # -- the connection: called by the loop's thread, in `advance` of whoever uses the nucleus -------------------------

    def _see_first(self, first: Answer[None]) -> None:
        self._first = None
        if first.exception() is None:  # of a failure `_failed` tells
            self._restored()

    def _restored(self) -> None:
        self._see_off()
        if not self._closed and not self._up and self._replaced is None:
            self._was_up = self._up = True
            self._refusals = 0
            self._post(Connected(self.generation, session_present=False))

    def _lost(self, why: str) -> None:
        if self._up and not self._closed:
            self._up = False
            self._post(Interrupted(self.generation, why))

    def _failed(self, why: str) -> None:
        """Tell of the first attempts only: between `Interrupted` and `Connected` there is silence, as with MQTT."""
        if not self._was_up and not self._closed:
            self._post(ConnectFailed(self.generation, why))

    def _see_off(self) -> None:
        if self._replaced is not None and self._replaced.gone.done():
            generation, _, outstanding = self._replaced
            self._replaced = None
            self._post(Closed(generation))
            outstanding.fail()

    # -- answers: called by a native thread, or by the loop's when there is one at once -------------------------------

    def _answered(
        self, outstanding: _Outstanding, operation: Future[Any], topic: str, refusals: int, answer: Answer[None]
    ) -> None:
        if not outstanding.remove(operation):
            return  # it has failed already
        error = answer.exception()
        if error is None:
            self._refusals = 0
            operation.set_result(None)
        elif isinstance(error, ConnectionGone) and not isinstance(error, NotSent):
            operation.set_exception(error)  # the nucleus may have taken it
        else:
            operation.set_exception(self._not_taken(error, topic, refusals))

    def _not_taken(self, error: BaseException, topic: str, refusals: int) -> NotTaken:
        if isinstance(error, NotAllowed):
            remedy = "allow aws.greengrass#PublishToIoTCore on it in the recipe's accessControl"
            return NotTaken(f"{error}: the nucleus allows no message on {topic!r}; {remedy}", REFUSED_MAX_SECONDS)
        seconds = backoff.delay(refusals + 1, REFUSED_MIN_SECONDS, REFUSED_MAX_SECONDS, self._jitter())
        self._refusals = refusals + 1
        unsaid = ", which is all that lite says: it is offline, or this was too fast" * (str(error) == _ALL_LITE_SAYS)
        return NotTaken(f"the nucleus did not take it: {error}{unsaid}", seconds)


class _Outstanding:
    """The operations of one connection that have no outcome yet, and their bytes. May be used by any thread.

    No lock is needed: to take an operation out of a dict, or to copy its values, is one step of the interpreter, and
    whoever took it out decides its outcome.
    """

    def __init__(self) -> None:
        self._sizes: dict[Future[Any], int] = {}
        self._sealed = False

    def seal(self) -> None:
        """Let answers that come from now on decide no outcome any more: `fail` will, for all of them."""
        self._sealed = True

    def add(self, operation: Future[Any], size: int) -> None:
        self._sizes[operation] = size

    def remove(self, operation: Future[Any]) -> bool:
        """Take it out; say whether it was still in, and its outcome is the caller's to decide."""
        return not self._sealed and self._sizes.pop(operation, None) is not None

    def sum(self) -> tuple[int, int]:
        """Count operations and bytes."""
        sizes = list(self._sizes.values())
        return len(sizes), sum(sizes)

    def fail(self) -> None:
        """Fail all of them: the nucleus may have taken them, and will not tell."""
        for operation in list(self._sizes):
            if self._sizes.pop(operation, None) is not None:
                operation.set_exception(ConnectionGone("the connection to the nucleus was given up before it answered"))


class _Replaced(NamedTuple):
    """A connection that was given up, and what it held."""

    generation: int
    gone: Answer[None]
    outstanding: _Outstanding


@lru_cache(_KNOWN_TOPICS)
def _fault(topic: str) -> str | None:
    """Say what is wrong with a topic: lite takes any, and the broker then hangs up on the whole device."""
    return next(topics.faults(topic), None)

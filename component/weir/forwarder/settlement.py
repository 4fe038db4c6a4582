"""Settlement: what becomes of messages once the client, or the connection, has spoken.

Owns what each outcome and each event means for the records that were out: delivered, set aside, or waiting again. It
must not know when anything is released, or made durable.
"""

from __future__ import annotations

from collections.abc import Iterable

from weir.core.errors import NotTaken, RefusedByBroker
from weir.core.events import Closed, Connected, ConnectionEvent, Interrupted, LinkEvent
from weir.core.ports import Operation, Transport
from weir.forwarder.beside import Beside
from weir.forwarder.link import Link
from weir.forwarder.queue import Notice, Now
from weir.forwarder.release import Releaser
from weir.forwarder.returns import refuse, wait_again
from weir.forwarder.suspicion import Suspicion
from weir.forwarder.window import DELIVERED, Sent, Window, parts, records


class Settlement:
    """Settles outcomes and events in the order in which they came."""

    def __init__(
        self,
        *,
        transport: Transport,
        window: Window,
        link: Link,
        suspicion: Suspicion,
        beside: Beside,
        releaser: Releaser,
        notice: Notice,
    ) -> None:
        """Nothing is out yet."""
        self._transport = transport
        self._window = window
        self._link = link
        self._suspicion = suspicion
        self._beside = beside
        self._releaser = releaser
        self._notice = notice
        self._moved = False
        self._now = Now(0.0, 0.0, link_works=False, disk_low=False)

    def settle(self, items: Iterable[Operation | ConnectionEvent], now: Now) -> bool:
        """Settle what came in; tell whether a record found its end by an answer."""
        self._now, self._moved = now, False
        went: list[Sent] = []
        for item in items:
            if isinstance(item, ConnectionEvent):
                self._settle_sent(went)  # it went before whatever this event says
                went = []
                self._settle_event(item)
            elif (sent := self._outcome(item)) is not None:
                went.append(sent)
        self._settle_sent(went)
        return self._moved

    def give_back(self, all_sent: list[Sent]) -> None:
        """Let records wait again that the client can never send again, and the broker may have."""
        for sent in all_sent:
            for run, low, high in parts(sent):
                if run.may_come_twice:
                    run.stream.books.count("possibleTwins", high - low)
                    run.span.attempts += high - low
                    run.stream.books.touch(run.span)
            wait_again(sent)

    def _outcome(self, operation: Operation) -> Sent | None:
        """Find the message of an operation; None if it did not go, or is not ours any more."""
        sent = self._window.remove(operation)
        if sent is None:  # of an object that was replaced its records wait again, or are settled
            self._beside.settle(operation)
            return None
        error = operation.exception()
        if error is None:
            return sent
        self._settle_failure(sent, error)
        return None

    def _settle_sent(self, went: list[Sent]) -> None:
        """Settle messages that went; records that lie side by side, as they mostly do, together."""
        if not went:
            return
        run, low, _, _, _ = went[0]
        high, messages = low, 0
        for sent in went:
            if sent[0] is not run or sent[1] != high:
                run.stream.books.sent(run.span, low, high, run.outcome, messages)
                run, low, messages = sent[0], sent[1], 0
            high = sent[2]
            messages += 1
            for more, begin, end in sent[4]:
                more.stream.books.sent(more.span, begin, end, more.outcome, 0)
        run.stream.books.sent(run.span, low, high, run.outcome, messages)
        self.give_back(self._suspicion.went(went))
        self._moved = True
        self._link.carried(self._now.monotonic)

    def _settle_failure(self, sent: Sent, error: BaseException) -> None:
        self._notice("publish_failed", stream=sent[0].stream.name, reason=str(error))
        if isinstance(error, NotTaken):
            wait_again(sent)
            self._link.refused(str(error), self._now.monotonic, error.retry_seconds)
            return
        if isinstance(error, RefusedByBroker):
            self._settle_refused(sent, str(error))
            return
        self.give_back([sent])  # the client can never send it again, but the broker may have it
        self._link.cool_down(self._now.monotonic)

    def _settle_refused(self, sent: Sent, why: str) -> None:
        refuse(sent, why, self._now.wall)
        self.give_back(self._suspicion.went([sent]))
        self._moved = True
        self._link.carried(self._now.monotonic)  # the link works: it brought an answer

    def _settle_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, Closed):
            self.give_back([*self._window.clear(), *self._suspicion.closed()])
            return
        if not isinstance(event, LinkEvent) or event.generation != self._transport.generation:
            return
        self._link.heard(event, self._now.monotonic)
        if isinstance(event, Connected):
            self._charge_again()
        elif isinstance(event, Interrupted):
            for sent in self._window.all():
                if sent[0].outcome == DELIVERED:
                    sent[0].stream.books.count("possibleTwins", records(sent))
            self._suspicion.lost(self._now.monotonic, self._now.wall)

    def _charge_again(self) -> None:
        out = self._window.outstanding()
        if out.operations:  # the client sends again what was in flight
            self._releaser.pace.spend(self._now.monotonic, out.bytes, out.operations)

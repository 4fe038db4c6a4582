"""A whole life in process: the real loop with its store and sources, the broker in memory, the clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.checker import Evidence, Violation, judge
from tests.fakes import FakeTransport
from tests.observer import Message
from tests.rig import Faults, Rig
from weir.forwarder.inbox import Inbox

WINDOW = 5
COMMIT_RECORDS = 15
BOUND = COMMIT_RECORDS + WINDOW


class Case(NamedTuple):
    """Where the records come from, what happens when there are too many, and how that is told."""

    pipe: bool
    mode: int
    limit: str = "records"

    def __str__(self) -> str:
        return f"{'pipe' if self.pipe else 'directory'}-mode-{self.mode}-{self.limit}"


LIMITS: dict[str, dict[str, object]] = {
    "records": {"streams__telemetry__queue__maxRecords": 20},
    "bytes": {"streams__telemetry__queue__maxRecords": "none", "streams__telemetry__queue__maxBytes": 1_500},
}


class Killed(BaseException):
    """The process ends here, without a word; nothing in it may catch this."""


class Mortal(FakeTransport):
    """A transport that writes at once, and is asked before and after each publish whether the process still lives."""

    def __init__(self, inbox: Inbox, faults: Faults | None, received: list[Message]) -> None:
        super().__init__(inbox.post, inbox.settled, reachable=False)
        self._faults = faults or Faults()
        self.received = received

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Any:
        with self._faults.around("publish"):
            future = super().publish(topic, payload, qos, record_id)
            if self.online:
                self.write_all()
            return future


class World:
    """A rig with the broker in memory, which remembers what arrived over the lives of several processes."""

    def __init__(
        self,
        path: Path,
        case: Case,
        faults: Faults | None = None,
        *,
        mortal: bool = False,
        bound: int = BOUND,
        changes: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Begin the first life; the faults are those of the store, and where it is mortal also of the transport."""
        self.mortal = mortal
        self.bound = bound
        self.case = case
        self.kills = 0
        self.arrived: list[Message] = []
        self.faults = faults or Faults()
        self.rig = Rig(
            path,
            self._make_transport,
            pipe=case.pipe,
            faults=self.faults,
            changes={
                **LIMITS[case.limit],
                "streams__telemetry__queue__mode": case.mode,
                "gate__maxIncomplete": 2 * WINDOW,
                "gate__maxInFlight": WINDOW,
                "state__commitRecords": COMMIT_RECORDS,
                **changes,
            },
        )
        self.rig.received = self.received
        self.steps = iter(self._steps())

    def _make_transport(self, inbox: Inbox) -> FakeTransport:
        self.transport = Mortal(inbox, self.faults if self.mortal else None, self.arrived)
        return self.transport

    def received(self) -> list[bytes]:
        return [message.payload for message in self.arrived]

    def live(self) -> None:
        """Live through everything once; a life that was cut short goes on where it was."""
        for step in self.steps:
            step()
        self.drain()

    def _steps(self) -> list[Callable[[], None]]:
        """List an outage with too many records, a link that works, and one that is lost with some of them out."""
        return [
            lambda: self.rig.seconds(1),
            *[lambda: self.rig.feed(20), lambda: self.rig.seconds(1.2)] * 3,
            lambda: self._link(up=True),
            lambda: self.rig.seconds(3),
            lambda: self._hold(acks=True),
            lambda: self.rig.feed(20),
            lambda: self.rig.seconds(1.2),
            lambda: self._link(up=False),
            lambda: self.rig.feed(10),
            lambda: self.rig.seconds(1.2),
            lambda: self._hold(acks=False),
            lambda: self._link(up=True),
            lambda: self.rig.seconds(3),
            lambda: self.rig.feed(20),
            lambda: self.rig.seconds(1.2),
            self.rig.end_input,
        ]

    def _link(self, *, up: bool) -> None:
        if up:
            self.transport.resume()
        else:
            self.transport.interrupt()

    def _hold(self, *, acks: bool) -> None:
        self.transport.hold_acks = acks

    def drain(self) -> None:
        """Let everything that can still come be settled and committed."""
        self._hold(acks=False)
        self.transport.resume()
        if self.case.pipe:
            self.rig.until(lambda: self.rig.forwarder.drained and not self.rig.counts["pending"], "the pipe is drained")
        else:
            self.rig.drain()

    def be_killed(self) -> None:
        """End this process as a SIGKILL would, and begin the next one on what is left."""
        self.kills += 1
        reachable = self.transport.reachable
        self.rig.die()
        self.rig.begin(self._make_transport)
        self.transport.reachable = reachable

    def verdict(self) -> list[Violation]:
        """Judge the whole life so far."""
        rig = self.rig
        rig.looks.append(rig.looks[-1]._replace(status=rig.document(), arrived=len(self.arrived), kills=self.kills))
        lost = len(rig.fed) - rig.counts["read"] if self.case.pipe and self.kills else 0
        return judge(
            Evidence(rig.fed, self.received(), rig.looks, lost_unread=lost, bound=self.bound, interrupted=1 * WINDOW)
        )

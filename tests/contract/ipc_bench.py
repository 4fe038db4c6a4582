"""The stand-in of a nucleus and the SDK's client: one more world in which a transport has to keep its promises.

Of the broker the transport sees only the nucleus' IPC daemon: that is what goes down, or gives no answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.conditions import eventually
from tests.contract.benches import Outcomes
from tests.nucleus import Behaviour, NucleusStandIn
from tests.observer import Message
from weir.core.events import ConnectionEvent
from weir.transports.ipc import IpcTransport
from weir.transports.nucleus import Door, NucleusClient, door

COMPONENT = "io.weir.Forwarder"
ALLOWED = {
    "aws.greengrass.ipc.mqttproxy": {
        "publish": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["telemetry/*"]}
    }
}


class IpcBench:
    """A transport with a nucleus client of its own."""

    unreachable = "FILE_INVALID_PATH"
    operation_bytes = 4

    def __init__(self, behaviour: Behaviour, *, answer_seconds: float = 10.0) -> None:
        self.events: list[ConnectionEvent] = []
        self.outcomes = Outcomes()
        self.ahead = 0.0  # how far the clocks are put forward, where a test cannot wait so long
        self.standin = NucleusStandIn(behaviour, component=COMPONENT, configuration={"accessControl": ALLOWED})
        self.standin.start()
        self.nucleus = NucleusClient(
            self.door(), lambda: None, component=COMPONENT, answer_seconds=answer_seconds, clock=self.now
        )
        self.transport = IpcTransport(self.nucleus, self.events.append, self.outcomes.append, owns_nucleus=True)

    def door(self) -> Door:
        found = door(self.standin.environment())
        assert found is not None
        return found

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def turn(self) -> None:
        self.transport.advance(self.now())

    def broker_down(self) -> None:
        self.standin.stop()

    def broker_up(self) -> None:
        self.standin.start()

    def broker_silent(self) -> None:
        self.standin.stall()

    def broker_answers(self) -> None:
        self.standin.release()

    def received(self) -> list[Message]:
        return [Message(message.topic, message.payload) for message in self.standin.delivered]

    def until(self, condition: Callable[[], object], what: str) -> None:
        def after_a_turn() -> object:
            self.turn()
            return condition()

        eventually(after_a_turn, what=what)

    def close(self) -> None:
        self.broker_answers()
        self.transport.close(1)
        self.standin.close()

"""Somebody else uses the same connection: the gate sees it in the client's statistics, and holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from awscrt import mqtt

from tests.broker import Broker
from tests.conditions import eventually
from weir.core.configuration import Surroundings, parse
from weir.forwarder.forwarder import Forwarder
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger
from weir.store.directory import own
from weir.transports.mqtt311 import Mqtt311Transport
from weir.wiring import assembly

LIMIT = 20


class Shared:
    """A forwarder in this process, and its connection for others to publish on."""

    def __init__(self, path: Path, broker: Broker) -> None:
        self.inbox_path = path / "inbox"
        self.inbox_path.mkdir()
        document = {
            "thingName": "shared",
            "streams": {"telemetry": {"source": {"path": str(self.inbox_path), "settleSeconds": 0.1}}},
            "gate": {"maxIncomplete": LIMIT, "maxInFlight": LIMIT},
            "pace": {"publishesPerSecond": None, "bytesPerSecond": None},
            "state": {"path": str(path / "state")},
        }
        settings = parse(document, Surroundings("shared", "host", str(path), under_nucleus=False, root_ca_path=None))
        self.inbox = Inbox()
        self.transport = Mqtt311Transport(broker.connection(), "shared", self.inbox.post, self.inbox.settled)
        self.directory = own(Path(settings.state.path), wait_seconds=0)
        make_store = assembly.store_maker(settings, self.directory, self._say_nothing)
        make_source = assembly.source_maker(settings, self.inbox, self._say_nothing)
        self.ledger = Ledger(settings, make_store, make_source, self.directory.free_bytes, self._say_nothing)
        self.forwarder = Forwarder(
            settings=settings,
            ledger=self.ledger,
            transport=self.transport,
            inbox=self.inbox,
            clock=assembly.CLOCK,
            notice=self._say_nothing,
        )
        self.transport.start()

    def _say_nothing(self, event: str, /, **fields: object) -> None:
        pass

    def until(self, condition: object, what: str) -> None:
        """Take turns until a condition holds; at every turn the client is within its limits."""

        def holds() -> bool:
            self.forwarder.turn()
            assert self.transport.statistics().incomplete <= LIMIT
            assert callable(condition)
            if condition():
                return True
            self.forwarder.wait()
            return False

        eventually(holds, what=what)

    @property
    def delivered(self) -> int:
        return self.ledger.streams[0].books.committed["delivered"]

    def close(self) -> None:
        self.forwarder.stop()
        self.ledger.store.close()
        self.directory.close()
        self.inbox.close()


@pytest.fixture
def shared(tmp_path: Path, broker: Broker) -> Iterator[Shared]:
    shared = Shared(tmp_path, broker)
    yield shared
    broker.thaw()
    shared.close()


def test_twenty_publishes_of_somebody_else_make_the_gate_hold_and_nothing_is_torn_down(
    shared: Shared, broker: Broker
) -> None:
    observer = broker.observe()
    shared.until(lambda: shared.forwarder.state == "online", "the connection is up")
    connection = shared.transport.connection
    assert connection is not None
    broker.freeze()
    others = [connection.publish("others/topic", b"%d" % number, mqtt.QoS.AT_LEAST_ONCE)[0] for number in range(LIMIT)]
    records = [json.dumps({"number": number}).encode() for number in range(200)]
    (shared.inbox_path / "a.jsonl").write_bytes(b"\n".join(records) + b"\n")
    shared.until(lambda: shared.forwarder.held_by == "others", "the gate is held by others")
    shared.until(lambda: shared.ledger.streams[0].line.records == len(records), "all records wait")
    assert len(shared.forwarder.window) == 0
    assert shared.transport.statistics().incomplete == LIMIT
    broker.thaw()
    shared.until(lambda: shared.delivered == len(records), "everything is delivered")
    assert all(other.result(timeout=10) for other in others)
    assert shared.transport.generation == 1
    assert shared.transport.connection is connection
    messages = observer.wait_for(LIMIT + len(records))
    assert [message.payload for message in messages if message.topic != "others/topic"] == records


def test_an_urgent_publish_goes_straight_through_while_the_queue_waits_for_its_window(
    shared: Shared, broker: Broker
) -> None:
    observer = broker.observe("others/#")
    shared.until(lambda: shared.forwarder.state == "online", "the connection is up")
    connection = shared.transport.connection
    assert connection is not None
    shared.forwarder.paused = True
    (shared.inbox_path / "a.log").write_bytes(b"one\ntwo\n")
    shared.until(lambda: shared.ledger.streams[0].line.records == 2, "the records wait")
    connection.publish("others/urgent", b"now", mqtt.QoS.AT_LEAST_ONCE)
    assert [message.payload for message in observer.wait_for(1)] == [b"now"]
    assert shared.ledger.streams[0].line.records == 2

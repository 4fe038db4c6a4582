"""What tests of a connection do again and again on a bench with a real broker."""

from __future__ import annotations

from typing import Any, TypeVar

from tests.contract.benches import BrokerBench
from weir.core.events import Connected
from weir.core.ports import Operation

TOPIC = "telemetry/gw-17/vitals"
AnyBench = TypeVar("AnyBench", bound=BrokerBench[Any])


def start(bench: AnyBench) -> AnyBench:
    """Connect, and wait until it is."""
    bench.transport.start()
    bench.until(lambda: heard(bench, Connected), "connected")
    return bench


def heard(bench: BrokerBench[Any], kind: type) -> list[Any]:
    """Give the events of one kind so far."""
    return [event for event in list(bench.events) if isinstance(event, kind)]


def publish(bench: BrokerBench[Any], *payloads: bytes, topic: str = TOPIC) -> list[Operation]:
    """Hand messages over at QoS 1."""
    return [bench.transport.publish(topic, payload, 1) for payload in payloads]


def delivered(operations: list[Operation]) -> bool:
    """Tell whether all have a good outcome."""
    return all(operation.done() and operation.exception() is None for operation in operations)

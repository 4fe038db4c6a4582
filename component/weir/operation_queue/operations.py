"""What can be queued: publish, subscribe, unsubscribe.

Owns how each is handed to a connection, and how large the client will count it. Knows nothing of queues.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from weir.operation_queue.connection import Connection

# What the client's statistics count beyond topic and payload, as observed on MQTT 3.1.1.
PUBLISH_BYTES = 4
SUBSCRIBE_BYTES = 7
UNSUBSCRIBE_BYTES = 4


@dataclass(eq=False, slots=True)
class Operation(ABC):
    """One operation; told apart by identity, so two that look the same are still two.

    `acknowledged` says whether the broker answers it: everything but a publish at QoS 0. `size` is in bytes, as the
    client counts it. `note` is yours: the queue never looks at it.
    """

    topic: str
    size: int = field(init=False)
    acknowledged: bool = field(init=False)

    @abstractmethod
    def hand_to(self, connection: Connection) -> Future[Any]:
        """Hand it to the client; the future has its outcome."""


@dataclass(eq=False, slots=True)
class Publish(Operation):
    """Publish to `topic`. `qos` is the client's own value, as `awscrt.mqtt.QoS.AT_LEAST_ONCE`."""

    payload: bytes | bytearray | str = field(repr=False)
    qos: int
    retain: bool = False
    note: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        payload = self.payload
        length = len(payload.encode()) if isinstance(payload, str) else len(payload)
        self.size = PUBLISH_BYTES + len(self.topic.encode()) + length
        self.acknowledged = self.qos > 0

    def hand_to(self, connection: Connection) -> Future[Any]:
        return connection.publish(self.topic, self.payload, self.qos, self.retain)[0]


@dataclass(eq=False, slots=True)
class Subscribe(Operation):
    """Subscribe to the filter `topic`; the client calls `callback` for each message, on a thread of its own.

    What the callback is given is the client's affair: `topic`, `payload`, `dup`, `qos` and `retain` by name.
    """

    qos: int
    callback: Callable[..., Any] | None = None
    note: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = SUBSCRIBE_BYTES + len(self.topic.encode())
        self.acknowledged = True

    def hand_to(self, connection: Connection) -> Future[Any]:
        return connection.subscribe(self.topic, self.qos, self.callback)[0]


@dataclass(eq=False, slots=True)
class Unsubscribe(Operation):
    """Unsubscribe from the filter `topic`."""

    note: object = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = UNSUBSCRIBE_BYTES + len(self.topic.encode())
        self.acknowledged = True

    def hand_to(self, connection: Connection) -> Future[Any]:
        return connection.unsubscribe(self.topic)[0]

"""What the queue needs of a connection, and what it wants to hear of it.

Owns the port that `awscrt.mqtt.Connection` fulfils as it is, and the relay for the news of it. Nothing native is
imported here unless the program has done so, and nothing here connects, disconnects or replaces anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias

from weir.core.ports import Statistics


class ClientStatistics(Protocol):
    """The client's own operation statistics, as `awscrt.mqtt.OperationStatisticsData` names them."""

    @property
    def incomplete_operation_count(self) -> int: ...

    @property
    def incomplete_operation_size(self) -> int: ...

    @property
    def unacked_operation_count(self) -> int: ...

    @property
    def unacked_operation_size(self) -> int: ...


class Connection(Protocol):
    """An MQTT connection. Each operation gives a future with its outcome, and a packet id that nobody looks at.

    Several queues on one connection must be given the same object: by it they know each other.
    """

    def publish(self, topic: str, payload: Any, qos: Any, retain: bool) -> tuple[Future[Any], int]:  # noqa: ANN401, FBT001 - as awscrt has it
        """Publish one message."""

    def subscribe(self, topic: str, qos: Any, callback: Callable[..., Any] | None) -> tuple[Future[Any], int]:  # noqa: ANN401 - as awscrt has it
        """Subscribe to one filter."""

    def unsubscribe(self, topic: str) -> tuple[Future[Any], int]:
        """Unsubscribe from one filter."""

    def get_stats(self) -> ClientStatistics:
        """Read the statistics."""


class Handed(Protocol):
    """What stands for an operation at the client: a future, or what is asked as one. Asked once it is done."""

    def cancelled(self) -> bool: ...

    def exception(self) -> BaseException | None: ...

    def result(self) -> Any: ...  # noqa: ANN401 - the client's


# Publishes, and calls the last argument with what it gives, once that has an outcome.
ShortWay: TypeAlias = Callable[[str, bytes | bytearray | str, Any, bool, Callable[[Any], None]], Handed]


def short_way(connection: Connection) -> ShortWay | None:
    """Give a way to publish without a future, which is cheaper; None where the client is none that has one."""
    if "awscrt.mqtt" not in sys.modules:  # then it is not a connection of it
        return None
    from weir.transports import publishing  # noqa: PLC0415 - only here is the native library sure to be there

    return publishing.short_way(connection)


def statistics(connection: Connection) -> Statistics:
    """Read the statistics of a connection in the words of core."""
    now = connection.get_stats()
    return Statistics(
        now.incomplete_operation_count,
        now.incomplete_operation_size,
        now.unacked_operation_count,
        now.unacked_operation_size,
    )


class ConnectionEvents:
    """Whether the connection is up: give its methods to the client as callbacks, and itself to every queue.

        events = ConnectionEvents()
        connection = mqtt.Connection(
            ...,
            on_connection_success=events.connected,
            on_connection_interrupted=events.lost,
            on_connection_closed=events.lost,
        )

    An MQTT 5 client takes the same two for its lifecycle events. The methods may be called by any thread; what they
    are given is not looked at.
    """

    def __init__(self, *, up: bool = False) -> None:
        """Begin with the connection down, unless it is `up` already."""
        self.up = up
        self._listeners: dict[Callable[[], None], None] = {}  # one step of a dict is atomic

    def connected(self, *_: object, **__: object) -> None:
        """Hear that the connection is up, for the first time or again."""
        self._become(up=True)

    def lost(self, *_: object, **__: object) -> None:
        """Hear that the connection was lost or closed."""
        self._become(up=False)

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this whenever there is news, on the thread that brings it; it must return at once."""
        self._listeners[listener] = None

    def forget(self, listener: Callable[[], None]) -> None:
        """Tell this one no more."""
        self._listeners.pop(listener, None)

    def _become(self, *, up: bool) -> None:
        self.up = up
        for listener in list(self._listeners):
            listener()

"""The operation queue: publish, subscribe and unsubscribe in a controlled manner, on any MQTT connection.

It decides through `weir.core`, as the forwarder does, and stands on its own: it takes a connection by a protocol and
imports nothing native. `python -m weir.operation_queue --help` tells of a program that uses it.
"""

from weir.operation_queue.books import Account
from weir.operation_queue.connection import ClientStatistics, Connection, ConnectionEvents
from weir.operation_queue.errors import QueueFull
from weir.operation_queue.operations import Operation, Publish, Subscribe, Unsubscribe
from weir.operation_queue.queue import Left, MqttOperationQueue

__all__ = [
    "Account",
    "ClientStatistics",
    "Connection",
    "ConnectionEvents",
    "Left",
    "MqttOperationQueue",
    "Operation",
    "Publish",
    "QueueFull",
    "Subscribe",
    "Unsubscribe",
]

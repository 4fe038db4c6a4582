"""Publishing on a connection of the MQTT 3.1.1 client, the short way where it is known to be there.

Owns what stands for one operation until its outcome, and by which of two ways it is made, for the forwarder and for
operation queues. Knows nothing of when a connection is up. The client's public call makes a future with its lock and
a closure for every message; on a gateway that is much of the work of a message, in the thread that must also carry
the packets. Below it lies a call that takes one callback. It is not public and may change with any release, so it is
used with the releases that it was checked with, and with any other the public one is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeAlias

import _awscrt
import awscrt
from awscrt import mqtt
from awscrt.exceptions import from_code

from weir.core.errors import Refused
from weir.core.ports import Operation, Settled
from weir.transports.reasons import name_of, reason

Publish: TypeAlias = Callable[[mqtt.Connection, str, bytes, int, Settled], Operation]
ShortWay: TypeAlias = Callable[[str, bytes | bytearray | str, Any, bool, Settled], "Published | Future[Any]"]

# The releases whose call takes (binding, topic, payload, QoS, retain, callback(packet id, error code)).
KNOWN = frozenset({"0.36.1"})

_RETAIN = False
_QOS = (mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE)

# What makes this very message unacceptable, now and later. Everything else the client may say while it takes a message
# (not connected, no packet id free) passes.
_NEVER = frozenset({"AWS_ERROR_MQTT_INVALID_TOPIC", "AWS_ERROR_MQTT_INVALID_QOS", "AWS_ERROR_MQTT_BUFFER_TOO_BIG"})


class Published:
    """One PUBLISH at the client. It is the callback too, so that a message costs one small object.

    Once it has an outcome it answers as the client's future would.
    """

    __slots__ = ("_error", "_packet_id", "_settled")

    def __init__(self, settled: Settled) -> None:
        """Call `settled` with this, on a native thread, once the outcome is there."""
        self._settled = settled
        self._error: int | BaseException | None = None

    def __call__(self, packet_id: int, error: int | BaseException) -> None:
        """Take the outcome: the client's error code, 0 where there is none."""
        self._packet_id = packet_id
        self._error = error
        self._settled(self)

    def done(self) -> bool:
        """Tell whether there is an outcome."""
        return self._error is not None

    def cancelled(self) -> bool:
        """Tell whether it was called off, which nobody can."""
        return False

    def exception(self) -> BaseException | None:
        """Give what went wrong, None if nothing did."""
        return from_code(self._error) if self._error and isinstance(self._error, int) else self._error or None

    def result(self) -> dict[str, int]:
        """Give what the client's future would, or raise what went wrong."""
        if self._error and (error := self.exception()) is not None:
            raise error
        return {"packet_id": self._packet_id}


def way(release: str = awscrt.__version__) -> Publish:
    """Choose how to publish with this release of the client."""
    return _directly if release in KNOWN else _publicly


def short_way(connection: object, release: str = awscrt.__version__) -> ShortWay | None:
    """Give the short way on a connection; None where it is not the client's own, or its release is not known.

    What somebody has put in the place of its `publish`, to count or to change what goes, is not passed by either.
    """
    publish = getattr(connection, "publish", None)
    code = getattr(getattr(publish, "__func__", None), "__code__", None)
    its_own = isinstance(connection, mqtt.Connection) and code is not None and code.co_filename == mqtt.__file__
    return partial(_shortly, connection) if its_own and release in KNOWN else None


def _hand_over(  # noqa: PLR0917 - as the client has it
    connection: mqtt.Connection,
    topic: str,
    payload: bytes | bytearray | str,
    qos: int,
    retain: bool,  # noqa: FBT001 - as the client has it
    published: Published,
) -> Exception | None:
    """Begin an operation; gives what the call raised, which the client's public one takes for an outcome too."""
    try:
        _awscrt.mqtt_client_connection_publish(connection._binding, topic, payload, qos, retain, published)  # noqa: SLF001 - see above
    except Exception as error:  # noqa: BLE001 - as the client's public call
        return error
    return None


def _directly(connection: mqtt.Connection, topic: str, payload: bytes, qos: int, settled: Settled) -> Published:
    published = Published(settled)
    error = _hand_over(connection, topic, payload, qos, _RETAIN, published)
    if error is not None:
        _refuse_what_never_passes(error)
        published(0, error)
    return published


def _shortly(  # noqa: PLR0917 - as the client has it
    connection: mqtt.Connection,
    topic: str,
    payload: bytes | bytearray | str,
    qos: mqtt.QoS,
    retain: bool,  # noqa: FBT001 - as the client has it
    settled: Settled,
) -> Published | Future[Any]:
    if type(qos) is not mqtt.QoS:  # the public call knows what to make of another one
        future: Future[Any] = connection.publish(topic, payload, qos, retain)[0]
        future.add_done_callback(settled)
        return future
    published = Published(settled)
    error = _hand_over(connection, topic, payload, qos, retain, published)
    if error is not None:
        published(0, error)
    return published


def _publicly(connection: mqtt.Connection, topic: str, payload: bytes, qos: int, settled: Settled) -> Future[Any]:
    future: Future[Any]
    future, packet_id = connection.publish(topic, payload, _QOS[qos])
    if not packet_id:
        _refuse_what_never_passes(future.exception())
    future.add_done_callback(settled)
    return future


def _refuse_what_never_passes(error: BaseException | None) -> None:
    if isinstance(error, ValueError | TypeError) or (error is not None and name_of(error) in _NEVER):
        raise Refused(reason(error)) from error

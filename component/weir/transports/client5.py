"""One MQTT 5 client object of the library, from its making to its end.

Owns what the library tells of it and what was handed to it and has no outcome yet. It must not know of attempts by
other objects, of limits or of records. Facts of the library that it stands on, each measured:

- `publish()` only schedules: every statistic of the client rises some time later. So what was handed over is counted
  here too. An operation leaves the statistics before its outcome is told.
- A lost connection comes back by itself, and QoS 1 that was in flight, or waited, keeps its future and its place,
  whether the broker still knows the session or not. A first attempt that failed is repeated as well.
- `stop()` takes effect on the client's thread: from then on it sends no CONNECT and no PUBLISH, wherever it was. First
  every operation it held fails, then it says that it has stopped. If it was waiting between two attempts that is at
  once; during an attempt, when that is over. An object that was stopped before it began says nothing.
- QoS 0 without a connection fails, on the client's thread; here it fails at once.
- A message larger than the broker takes fails only when its turn comes; here it is refused in the call.

All callbacks of one object come from one native thread. `leave` and everything else is called by the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from enum import IntEnum
from functools import partial
from time import monotonic
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError

from weir.core.errors import Refused
from weir.core.events import Connected, ConnectFailed, Interrupted
from weir.core.ports import Post, Settled, Statistics
from weir.transports.answers import Answers, text_of
from weir.transports.reasons import TURNED_AWAY, name_of, reason

PROPERTY = "id"  # the user property that carries a record's id, in hexadecimal digits
_QOS = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE)

# Beside topic and payload: one byte of flags, one to three of length, two of the topic's length, one of the length of
# the properties, and the packet id, which the client's statistics leave out.
_PACKET_ID_BYTES = 2
_FIXED_BYTES = 1 + 2 + 1
_MOST_LENGTH_BYTES = 3  # below 2 MiB
_ID_BYTES = 1 + 2 + len(PROPERTY) + 2 + 32  # its kind, then name and value, each with its length before it
OPERATION_BYTES = _FIXED_BYTES + _MOST_LENGTH_BYTES + _ID_BYTES
PACKET_BYTES = OPERATION_BYTES + _PACKET_ID_BYTES

_NEVER = "AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION"  # the very message is unacceptable, now and later
_TERMINATED = "AWS_ERROR_MQTT5_CLIENT_TERMINATED"
_NO_CONNECTION = "there is no connection"
SEEN_SECONDS = 0.05  # after so long the client's statistics count what was handed over; it takes well below 1 ms


class Client5:
    """Fulfils `succession.ConnectionObject`; `make` makes the library's object, whose callbacks are ours."""

    def __init__(self, generation: int, post: Post, settled: Settled, make: Callable[[Client5], mqtt5.Client]) -> None:
        """Speak of itself as of this generation."""
        self.up = False
        self.was_up = False
        self._fell = False  # an attempt failed, and it was never up
        self._generation = generation
        self._post = post
        self._settled = settled
        self._make = make
        self._answers = Answers()
        self._native: mqtt5.Client | None = None
        self._largest: int | None = None  # the largest packet that the broker takes, in bytes
        self._fault: str | None = None  # what kept the handshake of the attempt that is being made from beginning
        self._sizes: dict[Future[Any], int] = {}  # what has no outcome; to put in, take out or copy is one step each
        self._handed_over_at = 0.0  # when the last operation was, in monotonic seconds
        self._counts, self._bytes = _Sum(), _Sum()
        self._leaving = False
        self._held: list[tuple[Future[Any], BaseException]] = []  # failures that are told after the farewell
        self._gone: Future[None] = Future()

    # -- called by the loop's thread ----------------------------------------------------------------------------------

    @property
    def native(self) -> mqtt5.Client | None:
        """Give the library's object, for whoever shares it."""
        return self._native

    @property
    def gave_up(self) -> bool:
        """Tell whether an attempt failed that need not be repeated by this very object, as the library would do."""
        return self._fell and self.holds_nothing

    @property
    def holds_nothing(self) -> bool:
        """Tell whether it would be missed by nobody."""
        return self.statistics().incomplete == 0

    def try_to_connect(self) -> None:
        """Begin; what came of it is posted, also where it could not even begin."""
        try:
            self._native = self._make(self)
            self._native.start()
        except (OSError, ValueError, RuntimeError, AwsCrtError) as error:  # the files, as they are now, do not do
            self._fell = True
            self._say(ConnectFailed(self._generation, reason(error)))

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None) -> Future[Any]:
        """Hand over one message. Raises `Refused`."""
        if self._native is None:
            raise RuntimeError("there is no connection object to publish to")
        size = _statistics_bytes(topic, payload, record_id)
        if self._largest is not None and size + _PACKET_ID_BYTES > self._largest:
            raise Refused(f"the message has {size + _PACKET_ID_BYTES} bytes, the broker takes at most {self._largest}")
        operation: Future[Any] = Future()
        if not qos and not self.up:
            operation.set_exception(ConnectionError(_NO_CONNECTION))
            operation.add_done_callback(self._settled)
            return operation
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=_QOS[qos])
        if record_id is not None:
            packet.user_properties = [mqtt5.UserProperty(PROPERTY, record_id.hex())]
        answer = self._hand_over(packet)
        self._handed_over_at = monotonic()
        operation.add_done_callback(self._settled)
        self._sizes[operation] = size
        answer.add_done_callback(partial(self._answered, operation, (record_id or (topic, payload)) if qos else None))
        return operation

    def _hand_over(self, packet: mqtt5.PublishPacket) -> Future[Any]:
        try:
            answer: Future[Any] = self._native.publish(packet)  # type: ignore[union-attr]  # the caller has looked
        except (ValueError, TypeError) as error:
            raise Refused(reason(error)) from error
        except RuntimeError as error:
            if name_of(error) == _NEVER:
                raise Refused(reason(error)) from error
            raise
        return answer

    def statistics(self) -> Statistics:
        """Read the client's statistics; what it does not count yet, we do."""
        seen = monotonic() - self._handed_over_at >= SEEN_SECONDS
        sizes = list(self._sizes.values())
        if self._native is None:
            return Statistics(len(sizes), sum(sizes), 0, 0)
        now = self._native.get_stats()
        return Statistics(
            self._counts.sum(now.incomplete_operation_count, len(sizes), seen=seen),
            self._bytes.sum(now.incomplete_operation_size, sum(sizes), seen=seen),
            now.unacked_operation_count,
            now.unacked_operation_size,
        )

    def leave(self, *, politely: bool = False) -> Future[None]:
        """Stop for good; the future resolves, always without an error, once it can send no more.

        What it holds fails after that. A polite farewell sends a DISCONNECT, for which a silent broker has to be waited
        for, where something is still on its way.
        """
        self._leaving = True
        if self._native is None:
            self.stopped()
        else:
            self._native.stop(mqtt5.DisconnectPacket() if politely and self.up and self.holds_nothing else None)
        return self._gone

    def let_go(self) -> None:
        """Drop the library's object, which knows us by its callbacks: neither would ever end before the other."""
        self._native = None

    # -- called by the native thread ----------------------------------------------------------------------------------

    def handshake_failed(self, why: str) -> None:
        """Keep in mind why the attempt that is being made is about to fail."""
        self._fault = why

    def connected(self, data: mqtt5.LifecycleConnectSuccessData) -> None:
        """Tell that it is up, for the first time or again."""
        self._largest = data.negotiated_settings.maximum_packet_size_to_server
        self._fault = None
        self.up = self.was_up = True
        self._say(Connected(self._generation, bool(data.connack_packet.session_present)))

    def failed(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        """Tell that an attempt failed: of the first ones always, later only if somebody was there and said no."""
        fault, self._fault = self._fault, None
        why = fault or _refusal(data) or reason(data.exception)
        turned_away = fault is None and name_of(data.exception) in TURNED_AWAY
        self._fell = not self.was_up  # first: the loop looks as soon as it is told
        if self._fell or fault is not None or data.connack_packet is not None:
            self._say(ConnectFailed(self._generation, why, turned_away))

    def interrupted(self, data: mqtt5.LifecycleDisconnectData) -> None:
        """Tell that the connection was lost."""
        self.up = False
        self._say(Interrupted(self._generation, _goodbye(data) or reason(data.exception)))

    def stopped(self, _data: mqtt5.LifecycleStoppedData | None = None) -> None:
        """Tell whoever waits for it that nothing can be sent any more, then fail what was held."""
        self.up = False
        self.let_go()
        if not self._gone.done():
            self._gone.set_result(None)
        held, self._held = self._held, []
        for operation, error in held:
            operation.set_exception(error)

    def _say(self, event: Connected | ConnectFailed | Interrupted) -> None:
        if not self._leaving:
            self._post(event)

    def _answered(self, operation: Future[Any], message: Hashable, answer: Future[Any]) -> None:
        """Tell the outcome of an operation; `message` tells it from others, None for QoS 0, which has no answer."""
        self._sizes.pop(operation)  # first: whoever hears of the outcome sees that the place is free
        error = answer.exception()
        if error is None:
            if message is not None:
                error = self._answers.judge(answer.result().puback.reason_code, message)
        elif self._leaving and not self._gone.done():
            self._held.append((operation, error))
            if name_of(error) == _TERMINATED:
                self.stopped()
            return
        if error is None:
            operation.set_result(None)
        else:
            operation.set_exception(error)


class _Sum:
    """How much is incomplete, where the client's figure may not count all of ours yet, but counts that of others."""

    def __init__(self) -> None:
        self._others = 0  # the most that others may have

    def sum(self, client: int, ours: int, *, seen: bool) -> int:
        """Give the most that may be incomplete; `seen` says that the client's figure counts all of ours."""
        surely = max(0, client - ours)
        self._others = surely if seen or not ours else max(surely, min(self._others, client))
        return max(client, ours + self._others)


def _statistics_bytes(topic: str, payload: bytes, record_id: bytes | None) -> int:
    """Count the bytes of a PUBLISH as the client's statistics do."""
    try:
        size = _FIXED_BYTES + len(topic.encode()) + len(payload) + (_ID_BYTES if record_id is not None else 0)
    except UnicodeEncodeError as error:
        raise Refused(reason(error)) from error
    remaining = size - 1 + _PACKET_ID_BYTES
    return size + (1 if remaining < 1 << 7 else 2 if remaining < 1 << 14 else _MOST_LENGTH_BYTES)


def _refusal(data: mqtt5.LifecycleConnectFailureData) -> str | None:
    """Say with which code the broker refused the connection, None if it did not."""
    if data.connack_packet is None:
        return None
    return f"the broker refused the connection: {_named(data.connack_packet.reason_code)}"


def _goodbye(data: mqtt5.LifecycleDisconnectData) -> str | None:
    """Say with which code the broker ended the connection, None if it just did."""
    if data.disconnect_packet is None:
        return None
    return f"the broker ended the connection: {_named(data.disconnect_packet.reason_code)}"


def _named(code: IntEnum | None) -> str:
    return text_of(None) if code is None else f"0x{code:02x} {code.name.lower().replace('_', ' ')}"

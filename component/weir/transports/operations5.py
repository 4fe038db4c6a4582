"""An MQTT 5 client as a connection of the operation queue: the same three operations, the same futures.

Owns the packets, and that a broker's refusal is a failure: an MQTT 5 acknowledgement may say no. Knows nothing of
queues. The statistics of this client rise some time after the call; the queue's own count bridges that.

A message that arrives is the client's affair: it tells of them all in one place, and there is no callback for each
filter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt5

_FIRST_REFUSAL = 128  # reason codes from here on are errors (MQTT 5, 2.4)


class NotPerformed(Exception):
    """The broker answered, and refused; `reason_code` is its reason."""

    def __init__(self, reason_code: Any) -> None:  # noqa: ANN401 - each packet has an enumeration of its own
        super().__init__(f"the broker refused: {getattr(reason_code, 'name', reason_code)}")
        self.reason_code = reason_code


class Mqtt5Connection:
    """Fulfils `weir.operation_queue.Connection` on a client that the program starts and stops itself.

    Give all queues on one client the same object.
    """

    def __init__(self, client: mqtt5.Client) -> None:
        self.client = client

    def publish(self, topic: str, payload: bytes | bytearray | str, qos: int, retain: bool) -> tuple[Future[Any], int]:  # noqa: FBT001 - as the port has it
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS(qos), retain=retain)
        return _judged(self.client.publish(packet), lambda done: [done.puback.reason_code]), 0

    def subscribe(self, topic: str, qos: int, callback: Callable[..., Any] | None) -> tuple[Future[Any], int]:
        if callback is not None:
            raise ValueError("an MQTT 5 client has one callback for all messages (allowed: no callback here)")
        subscription = mqtt5.Subscription(topic_filter=topic, qos=mqtt5.QoS(qos))
        return _judged(self.client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription])), _codes), 0

    def unsubscribe(self, topic: str) -> tuple[Future[Any], int]:
        return _judged(self.client.unsubscribe(mqtt5.UnsubscribePacket(topic_filters=[topic])), _codes), 0

    def get_stats(self) -> mqtt5.OperationStatisticsData:
        return self.client.get_stats()


def _codes(answer: Any) -> Iterable[Any]:  # noqa: ANN401 - two packets that are alike in this only
    return answer.reason_codes or ()


def _judged(future: Future[Any], codes: Callable[[Any], Iterable[Any]]) -> Future[Any]:
    """Give a future that fails where the answer is a refusal."""
    judged: Future[Any] = Future()

    def judge(done: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            judged.set_exception(error)
            return
        refusals = [code for code in codes(done.result()) if code is not None and code >= _FIRST_REFUSAL]
        if refusals:
            judged.set_exception(NotPerformed(refusals[0]))
        else:
            judged.set_result(done.result())

    future.add_done_callback(judge)
    return judged

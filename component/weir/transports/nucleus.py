"""The Greengrass nucleus, by IPC: one connection that is brought back for as long as it takes.

Owns when the next connection is made, how Weir says who it is, and the calls. It must not know what a configuration
says, or what is published and why.

Nothing here waits or has a thread of its own. The loop's thread calls `advance`, and a native thread wakes it when that
is due: a connection came up, failed or was lost. Whoever imports this module loads the SDK, which takes a while; so
only who has found a nucleus to talk to does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

from awscrt import io
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient

from weir.core.nucleus import Answer, ConnectionGone, Kind, NotSent, Proposal
from weir.transports import backoff
from weir.transports.nucleus_link import Call, NucleusLink, failed, reason

COMPONENT = "io.weir.Forwarder"
ANSWER_SECONDS = 10.0  # lite's IPC daemon stalls for as long as one write to the broker does, which was seen to be 10 s
RETRY_MIN_SECONDS = 0.2
RETRY_MAX_SECONDS = 10.0
_LITE_SOCKET = "gg-ipc.socket"


@dataclass(frozen=True)
class Door:
    """Where a nucleus listens, how this component proves that it is one, and which nucleus it seems to be."""

    socket: str
    token: str = field(repr=False)
    kind: Kind


def door(environment: Mapping[str, str]) -> Door | None:
    """Find the nucleus that started this process; None if none did. A relative path holds where it was started."""
    socket = environment.get("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT")
    if not socket:
        return None
    kind: Kind = "lite" if PurePath(socket).name == _LITE_SOCKET else "classic"
    return Door(socket, environment.get("SVCUID", ""), kind)


class NucleusClient:
    """Fulfils `weir.core.nucleus.Nucleus`."""

    def __init__(
        self,
        door: Door,
        wake: Callable[[], object],
        *,
        component: str = COMPONENT,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where the nucleus is and how to have `advance` called; nothing happens before `connect`."""
        self.kind: Kind = door.kind
        self._door = door
        self._component = component
        self._wake = wake
        self._seconds = answer_seconds
        self._clock = clock
        self._jitter = jitter
        self._bootstrap: io.ClientBootstrap | None = _bootstrap()
        self._link: NucleusLink | None = None
        self._leaving: _Leaving | None = None  # while the old connection is on its way out there is no new one
        self._attempt_ends = 0.0
        self._retry_at: float | None = None
        self._failures = 0
        self._by_name = not door.token  # lite forgets every token when its IPC daemon restarts, and takes the name
        self._restored: list[Callable[[], object]] = []
        self._lost: list[Callable[[str], object]] = []
        self._failed: list[Callable[[str], object]] = []

    # -- the connection -----------------------------------------------------------------------------------------------

    def connect(self) -> Answer[None]:
        """Connect unless there is a connection already; whether that worked out is answered."""
        if self._bootstrap is None or self._leaving is not None:
            return failed(NotSent("there is no connection to the nucleus"))
        link = self._link = self._link or self._try()
        link.told = True
        answer = Call(self._seconds)

        def tell(attempt: Future[Any]) -> None:
            error = attempt.exception()
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(ConnectionGone(self._explained(link.ended() or error)))

        link.attempt.add_done_callback(tell)
        return answer

    def reconnect(self) -> Answer[None]:
        """Give up the connection and make another one; answered once nothing can be sent by the old one."""
        if self._leaving is not None:
            return self._leaving.answer
        answer = Call(self._seconds)
        if self._bootstrap is None or self._link is None:
            answer.set_result(None)
        else:
            self._leaving = _Leaving(self._link, self._link.leave(), self._clock() + self._seconds, answer)
            self._link = None
        self._retry_at = self._clock()
        return answer

    def advance(self, now: float) -> float | None:
        """See what became of the connection, fail the calls whose time is up, and connect again if it is time to."""
        if self._bootstrap is None:
            return None
        if self._leaving is not None:
            if not self._leaving.over(now):
                return self._leaving.deadline
            self._leaving = None
        if self._link is not None:
            self._look_at(self._link, now)
        if self._link is None and self._retry_at is not None and now >= self._retry_at:
            self._link = self._try()
        return self._retry_at if self._link is None else self._due(self._link, now)

    def close(self, timeout_seconds: float = 0.0) -> None:
        """Leave for good, waiting at most so long; what has no answer fails."""
        if self._link is not None:
            wait([self._link.leave()], timeout_seconds)
            self._link.abandon()
        if self._leaving is not None:
            wait([self._leaving.gone], timeout_seconds)
            self._leaving.over(self._leaving.deadline)
        self._link = self._leaving = self._retry_at = None
        self._bootstrap = None  # its thread ends with the last connection that needs it

    def on_restored(self, restored: Callable[[], object]) -> None:
        """Have it said by `advance` that a connection came up, other than one that `connect` has answered for."""
        self._restored.append(restored)

    def on_lost(self, lost: Callable[[str], object]) -> None:
        """Have it said by `advance` that the connection was lost, and why."""
        self._lost.append(lost)

    def on_failed(self, failed: Callable[[str], object]) -> None:
        """Have it said by `advance` that an attempt to connect failed, and why."""
        self._failed.append(failed)

    def _try(self) -> NucleusLink:
        self._retry_at = None
        greeting = {"componentName": self._component} if self._by_name else {"authToken": self._door.token}
        self._attempt_ends = self._clock() + self._seconds
        return NucleusLink(
            self._bootstrap,
            self._door.socket,
            greeting,
            self._seconds,
            self._woken,
            ends_streams=self.kind == "classic",
        )

    def _woken(self) -> None:
        """Wake the loop; called by a native thread, which may be late: then there is no loop any more."""
        if self._bootstrap is not None:
            self._wake()

    def _look_at(self, link: NucleusLink, now: float) -> None:
        if link.up:
            self._failures = 0
            if not link.told:
                link.told = True
                for restored in self._restored:
                    restored()
        error = link.ended()
        if error is not None:
            self._link = None
            link.abandon()
            self._retry_at = self._after(link, error, now)

    def _after(self, link: NucleusLink, error: BaseException, now: float) -> float:
        """Say what became of a connection, and when to make the next one."""
        if link.up:
            listeners, why = self._lost, reason(error)
        else:
            listeners, why = self._failed, self._explained(error)
            self._failures += 1
            if link.greeted and not isinstance(error, ConnectionGone):
                self._by_name = bool(self._component) and (not self._by_name or not self._door.token)
        for listener in listeners:
            listener(why)
        return now + backoff.delay(self._failures, RETRY_MIN_SECONDS, RETRY_MAX_SECONDS, self._jitter())

    def _explained(self, error: BaseException) -> str:
        who = f"component name {self._component}" if self._by_name else "token SVCUID"
        return f"{reason(error)}, at {self._door.socket}, with the {who}"

    def _due(self, link: NucleusLink, now: float) -> float | None:
        if link.attempt.done():
            return link.expire(now)
        if now < self._attempt_ends:
            return self._attempt_ends
        link.give_up()
        return None  # it wakes us

    # -- calls --------------------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Count the calls that failed at their deadline and may still be carried out."""
        return 0 if self._link is None else self._link.unanswered

    def configuration(self, component: str | None = None, key: str | None = None) -> Answer[dict[str, Any]]:
        """Read a whole configuration, or what is below one key of it."""
        return self._call(
            GreengrassCoreIPCClient.new_get_configuration,
            model.GetConfigurationRequest(component_name=component, key_path=None if key is None else [key]),
            lambda response: response.value or {},
        )

    def watch_configuration(self, changed: Callable[[], object]) -> Answer[None]:
        """Subscribe to every change; `changed` is called once for each leaf of it, by a native thread."""
        return self._call(
            lambda client: client.new_subscribe_to_configuration_update(_Events(lambda _: changed())),
            model.SubscribeToConfigurationUpdateRequest(key_path=[]),
            subscribes=True,
        )

    def watch_proposals(self, proposed: Callable[[Proposal], object]) -> Answer[None]:
        """Subscribe to what deployments are about to set; `proposed` is called by a native thread."""

        def tell(events: Any) -> None:  # noqa: ANN401 - a shape of the SDK, which has no types
            event = events.validate_configuration_update_event
            if event is not None:
                proposed(Proposal(event.deployment_id or "", event.configuration or {}))

        return self._call(
            lambda client: client.new_subscribe_to_validate_configuration_updates(_Events(tell)),
            model.SubscribeToValidateConfigurationUpdatesRequest(),
            subscribes=True,
        )

    def judge(self, deployment: str, objection: str | None) -> Answer[None]:
        """Send the validity report that the nucleus waits for."""
        status = model.ConfigurationValidityStatus
        report = model.ConfigurationValidityReport(
            status=status.ACCEPTED if objection is None else status.REJECTED,
            deployment_id=deployment,
            message=objection,
        )
        return self._call(
            GreengrassCoreIPCClient.new_send_configuration_validity_report,
            model.SendConfigurationValidityReportRequest(configuration_validity_report=report),
        )

    def publish(self, topic: str, payload: bytes, qos: int) -> Answer[None]:
        """Hand a message to the nucleus. The classic one wants QoS and payload always said, be they 0 and empty."""
        return self._call(
            GreengrassCoreIPCClient.new_publish_to_iot_core,
            model.PublishToIoTCoreRequest(topic_name=topic, qos=str(qos), payload=payload),
        )

    def _call(
        self,
        operation: Callable[[GreengrassCoreIPCClient], Any],
        request: Any,  # noqa: ANN401 - a shape of the SDK, which has no types
        answer: Callable[[Any], object] = lambda _: None,
        *,
        subscribes: bool = False,
    ) -> Call:
        if self._link is None:
            return failed(NotSent("there is no connection to the nucleus"))
        return self._link.call(operation, request, answer, self._clock() + self._seconds, subscribes=subscribes)


class _Leaving(NamedTuple):
    """An old connection on its way out."""

    link: NucleusLink
    gone: Future[None]
    deadline: float
    answer: Call

    def over(self, now: float) -> bool:
        """Say whether the next connection may come."""
        if not self.gone.done() and now < self.deadline:
            return False
        self.link.abandon()
        self.answer.set_result(None)
        return True


class _Events:
    """The SDK's `StreamResponseHandler`: hands on what a subscription says; called by a native thread."""

    def __init__(self, tell: Callable[[Any], object]) -> None:
        self.on_stream_event = tell

    def on_stream_error(self, error: BaseException) -> bool:  # noqa: ARG002 - the SDK passes it
        """Keep the subscription: what could not be read is one event, and the next one may be readable."""
        return False

    def on_stream_closed(self) -> None:
        """Nothing: a stream closes with its connection, which is told; for one that closes alone nobody is asked."""


def _bootstrap() -> io.ClientBootstrap:
    group = io.EventLoopGroup(1)
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))

"""What each IPC operation does with the nucleus' state, and the events that follow a change of configuration.

Everything here runs under the stand-in's lock. Knows no sockets: streams are handles to post events on.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.nucleus import access
from tests.nucleus.cloud import CloudLink, Published
from tests.nucleus.configuration import Configuration, Path, Touched, subobjects
from tests.nucleus.errors import NAMESPACE, IpcError, invalid_arguments, not_found, service_error, stale, unauthorized
from tests.nucleus.server import Answer, Stream
from tests.nucleus.tables import Behaviour

Post = Callable[[Stream, str, dict[str, Any]], None]

_PUBLISH_OVERHEAD = 12  # so that 4,980 bytes on a topic of 8 arrive and 4,990 do not, as seen


class Operations:
    """The state that calls read and change; `reports` are the answers to validation events, by deployment id."""

    def __init__(
        self,
        behaviour: Behaviour,
        configurations: dict[str, Configuration],
        *,
        thing_name: str,
        lock: threading.Condition,
        post: Post,
        called: Callable[[int], None],
    ) -> None:
        self._behaviour = behaviour
        self._configurations = configurations
        self._thing_name = thing_name
        self._lock = lock
        self._post = post
        self._called = called  # with the number of calls so far
        self._update_streams: dict[Stream, tuple[str, Path]] = {}
        self._topic_streams: dict[Stream, str] = {}
        self._validation_streams: dict[Stream, str] = {}
        self._handlers: dict[str, Callable[[Stream, str, dict[str, Any]], Answer]] = {
            "GetConfiguration": self._get_configuration,
            "UpdateConfiguration": self._update_configuration,
            "SubscribeToConfigurationUpdate": self._subscribe_to_configuration,
            "SubscribeToValidateConfigurationUpdates": self._subscribe_to_validation,
            "SendConfigurationValidityReport": self._report_validity,
            "PublishToIoTCore": self._publish,
            "SubscribeToIoTCore": self._subscribe,
            "UpdateState": self._update_state,
            "DeferComponentUpdate": lambda *_: Answer(),
            "SubscribeToComponentUpdates": lambda *_: Answer(keep_open=True),
        }
        self.cloud = CloudLink(behaviour)
        self.states: list[str] = []
        self.calls: list[str] = []
        self.reports: dict[str, dict[str, Any] | None] = {}

    def handle(self, stream: Stream, component: str, operation: str, request: dict[str, Any]) -> Answer:
        """Do one call. Raises IpcError."""
        with self._lock:
            self.calls.append(operation)
            self._called(len(self.calls))
            if operation not in self._behaviour.operations:
                raise IpcError(self._behaviour.unsupported, f"{operation} is not supported")
            return self._handlers[operation](stream, component, request)

    def forget(self, stream: Stream) -> None:
        with self._lock:
            self._update_streams.pop(stream, None)
            self._topic_streams.pop(stream, None)
            self._validation_streams.pop(stream, None)

    def announce(self, component: str, touched: Touched) -> None:
        """Send the events of a change to whoever subscribed to it."""
        paths = touched.written if self._behaviour.event_per_leaf else [*touched.changed, *touched.removed]
        for stream, (name, below) in list(self._update_streams.items()):
            for path in paths:
                if name == component and path[: len(below)] == below:
                    event = {"componentName": component, "keyPath": list(path)}
                    self._post(stream, "ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

    def ask_for_validation(self, component: str, deployment: str, configuration: dict[str, Any]) -> bool:
        """Send the proposed configuration to the component's validator; False when it has none."""
        streams = [stream for stream, name in self._validation_streams.items() if name == component]
        for stream in streams[:1]:
            self.reports[deployment] = None
            event = {"configuration": configuration, "deploymentId": deployment}
            self._post(stream, "ValidateConfigurationUpdateEvents", {"validateConfigurationUpdateEvent": event})
        return bool(streams)

    def deliver(self, topic: str, payload: bytes) -> int:
        """Hand a message from the cloud to every subscription that it matches; how many those were."""
        size = len(topic.encode()) + len(payload) + _PUBLISH_OVERHEAD
        limit = self._behaviour.max_delivered_packet
        if not self.cloud.online or (limit is not None and size > limit):
            return 0
        streams = [stream for stream, wanted in self._topic_streams.items() if access.filter_matches(wanted, topic)]
        for stream in streams:
            message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
            self._post(stream, "IoTCoreMessage", {"message": message})
        return len(streams)

    def _get_configuration(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        name, path = _target(component, request)
        key, value = self._find(name, path)
        answer = {"componentName": name, "value": value if isinstance(value, dict) else {key: value}}
        most = self._behaviour.max_answer_objects
        if most is not None and subobjects(answer) > most:
            raise service_error("the answer has more keys and items than can be encoded")
        return Answer(answer)

    def _update_configuration(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        _, path = _target(component, request)
        value, timestamp = request.get("valueToMerge"), float(request.get("timestamp", time.time()))
        if not path and not isinstance(value, dict):
            raise invalid_arguments("valueToMerge must be a map when there is no keyPath")
        touched, fresh = self._configuration(component).update(path, value, timestamp)
        self.announce(component, touched)
        if not fresh and self._behaviour.stale_update_is_error:
            raise stale("Proposed timestamp is older than the config's latest modified timestamp")
        return Answer()

    def _subscribe_to_configuration(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        name, path = _target(component, request)
        self._find(name, path)
        self._update_streams[stream] = (name, path)
        return Answer(keep_open=True)

    def _subscribe_to_validation(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        self._validation_streams[stream] = component
        return Answer(keep_open=True)

    def _report_validity(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        report = request.get("configurationValidityReport") or {}
        deployment = str(report.get("deploymentId", ""))
        if self.reports.get(deployment, {}) is not None:
            raise invalid_arguments("Validation request either timed out or was never made")
        self.reports[deployment] = report
        self._lock.notify_all()
        return Answer()

    def _publish(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        topic = request.get("topicName")
        if not topic:
            raise invalid_arguments("topicName is missing")
        strict = self._behaviour.payload_and_qos_required
        if strict and (request.get("payload") is None or request.get("qos") not in {"0", "1"}):
            raise invalid_arguments("payload and qos are needed, qos is 0 or 1")
        if not strict and str(request.get("qos", "0")) not in {"0", "1", "2"}:
            raise service_error("Received invalid parameters.")
        self._authorize(component, "PublishToIoTCore", topic)
        try:
            payload = base64.b64decode(request.get("payload") or "", validate=True)
        except ValueError as error:
            raise service_error("the payload is no base64") from error
        self.cloud.publish(Published(topic, payload, int(request.get("qos") or 0)))
        return Answer()

    def _subscribe(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        topic = request.get("topicName", "")
        self._authorize(component, "SubscribeToIoTCore", topic)
        if not self.cloud.online:
            raise service_error("not connected")
        self._topic_streams[stream] = topic
        return Answer(keep_open=True)

    def _update_state(self, stream: Stream, component: str, request: dict[str, Any]) -> Answer:
        state = str(request.get("state", ""))
        if state not in self._behaviour.states:
            raise service_error("Invalid component state")
        self.states.append(state)
        return Answer()

    def _configuration(self, name: str) -> Configuration:
        if name not in self._configurations:
            raise not_found()
        return self._configurations[name]

    def _find(self, name: str, path: Path) -> tuple[str, Any]:
        configuration = self._configuration(name)
        if configuration.empty and self._behaviour.no_defaults_is_missing:
            raise not_found()
        return configuration.find(path)

    def _authorize(self, component: str, operation: str, topic: str) -> None:
        control = self._configuration(component).whole().get("accessControl")
        full_name = NAMESPACE + operation
        if not access.allows(control, access.MQTT_PROXY, full_name, topic, thing_name=self._thing_name):
            raise unauthorized(f"{component} is not authorized to perform {access.MQTT_PROXY}:{full_name} on {topic}")


def _target(component: str, request: dict[str, Any]) -> tuple[str, Path]:
    return request.get("componentName") or component, tuple(request.get("keyPath") or ())

"""A small stand-in for AWS IoT's services on a broker: each request on a topic is answered on another, in JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.broker import Broker
from tests.queue_rig import AT_LEAST_ONCE, CONNECT_SECONDS, Line

_REQUESTS = (
    "$aws/things/+/shadow/get",
    "$aws/things/+/shadow/update",
    "$aws/things/+/jobs/get",
    "$aws/certificates/create/json",
    "$aws/provisioning-templates/+/provision/json",
)


class Responder:
    """Accepts every request of the Shadow, Jobs and Fleet Provisioning services."""

    def __init__(self, broker: Broker) -> None:
        self.requests: list[str] = []
        self._line = Line(broker, "responder")
        for topic in _REQUESTS:
            self._line.connection.subscribe(topic, AT_LEAST_ONCE, self._answer)[0].result(CONNECT_SECONDS)

    def _answer(self, *, topic: str, payload: bytes, **_: object) -> None:
        self.requests.append(topic)
        request = json.loads(payload or b"{}")
        answer = json.dumps(_answer_to(topic) | {"clientToken": request.get("clientToken")})
        self._line.connection.publish(f"{topic}/accepted", answer, AT_LEAST_ONCE)

    def close(self) -> None:
        self._line.close()


def _answer_to(topic: str) -> dict[str, Any]:
    if "/shadow/" in topic:
        return {"state": {"reported": {"level": 3}}, "version": 7, "timestamp": 1}
    if topic.endswith("/jobs/get"):
        return {"queuedJobs": [{"jobId": "job-1", "executionNumber": 1}], "inProgressJobs": [], "timestamp": 1}
    if topic == "$aws/certificates/create/json":
        return {"certificateId": "c-1", "certificatePem": "pem", "privateKey": "key", "certificateOwnershipToken": "t"}
    return {"thingName": "gw-17", "deviceConfiguration": {}}

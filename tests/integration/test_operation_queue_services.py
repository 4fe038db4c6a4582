"""The SDK's service clients on the same connection as a queue that has much to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from awscrt.mqtt_request_response import ClientOptions
from awsiot.iotidentity import (
    CreateKeysAndCertificateRequest,
    IotIdentityClientV2,
    RegisterThingRequest,
)
from awsiot.iotjobs import GetPendingJobExecutionsRequest, IotJobsClientV2
from awsiot.iotshadow import GetShadowRequest, IotShadowClientV2, ShadowState, UpdateShadowRequest

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS
from tests.queue_rig import AT_LEAST_ONCE, Line, Told
from tests.responder import Responder

THING = "gw-17"
LIMIT = 10


class Services:
    """The three service clients on one connection."""

    def __init__(self, line: Line) -> None:
        options = ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=2)
        self._shadow = IotShadowClientV2(line.connection, options)
        self._jobs = IotJobsClientV2(line.connection, options)
        self._identity = IotIdentityClientV2(line.connection, options)

    def ask_for_shadow(self) -> Any:
        return self._shadow.get_shadow(GetShadowRequest(thing_name=THING))

    def call_all(self) -> None:
        """Call each operation once, one after the other; each must succeed."""
        shadow = self.ask_for_shadow().result(DEADLINE_SECONDS)
        assert shadow.state.reported == {"level": 3}
        state = ShadowState(reported={"level": 4})
        updated = self._shadow.update_shadow(UpdateShadowRequest(thing_name=THING, state=state))
        assert updated.result(DEADLINE_SECONDS).version == 7
        jobs = self._jobs.get_pending_job_executions(GetPendingJobExecutionsRequest(thing_name=THING))
        assert [job.job_id for job in jobs.result(DEADLINE_SECONDS).queued_jobs] == ["job-1"]
        keys = self._identity.create_keys_and_certificate(CreateKeysAndCertificateRequest())
        token = keys.result(DEADLINE_SECONDS).certificate_ownership_token
        request = RegisterThingRequest(template_name="template", certificate_ownership_token=token, parameters={})
        assert self._identity.register_thing(request).result(DEADLINE_SECONDS).thing_name == THING


@pytest.fixture
def line(broker: Broker) -> Iterator[Line]:
    responder = Responder(broker)
    line = Line(broker)
    yield line
    broker.thaw()
    line.close()
    responder.close()


def test_service_clients_complete_their_calls_while_the_queue_is_saturated(line: Line) -> None:
    told = Told(line.connection, line.events, mode=3, limit=1_000, max_in_flight=LIMIT, max_incomplete=LIMIT)
    busy = True

    def keep_full() -> None:
        if busy:
            told.queue.publish("telemetry", b"x" * 200, AT_LEAST_ONCE)

    told.on_acknowledged = keep_full
    for _ in range(1_000):
        told.queue.publish("telemetry", b"x" * 200, AT_LEAST_ONCE)
    told.queue.start()
    services = Services(line)
    for _ in range(5):
        services.call_all()
        assert told.queue.size > 0
    busy = False
    assert told.queue.account().acknowledged > 0
    told.until_settled()
    assert told.failed == []
    told.stop()


def test_the_queue_reacts_to_the_operations_of_a_service_client(line: Line, broker: Broker) -> None:
    told = Told(line.connection, line.events, max_in_flight=1, max_incomplete=1)
    told.queue.start()
    services = Services(line)
    broker.freeze()
    shadow = services.ask_for_shadow()
    told.until(lambda: line.incomplete == 1, "the client has subscribed")
    told.queue.publish("telemetry", b"", AT_LEAST_ONCE)
    told.until(lambda: told.queue.held_by == "others", "the queue waits for it")
    assert told.sent == []
    broker.thaw()
    assert shadow.result(DEADLINE_SECONDS).version == 7
    told.until_settled()
    assert len(told.acknowledged) == 1
    told.stop()

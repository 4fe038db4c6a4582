"""Weir under a nucleus that has limits: what it lacks, what it takes no more, what it says only in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.component import DEFAULTS, ComponentDevice, handed_over, numbered, payloads
from tests.conditions import eventually
from tests.integration.nucleus_clients import COMPONENT
from tests.nucleus import CLASSIC, KINDS, LITE, Behaviour, NucleusStandIn

RECIPE = json.loads((Path(__file__).resolve().parents[2] / "recipe.json").read_text(encoding="utf-8"))
OF_THE_RECIPE: dict[str, Any] = RECIPE["ComponentConfiguration"]["DefaultConfiguration"]
Make = Callable[..., ComponentDevice]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Give what makes a component of a nucleus with this behaviour and default configuration."""
    made: list[ComponentDevice] = []

    def make_one(kind: Behaviour, defaults: dict[str, Any] = DEFAULTS) -> ComponentDevice:
        nucleus = NucleusStandIn(kind, component=COMPONENT, configuration=defaults)
        nucleus.start()
        made.append(ComponentDevice(tmp_path, nucleus))
        return made[-1]

    yield make_one
    for device in made:
        device.close()
        device.nucleus.close()


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Behaviour:
    return KINDS[request.param]


# -- the defaults of the recipe ---------------------------------------------------------------------------------------


def test_it_starts_from_the_defaults_of_the_recipe_and_a_merge_changes_mode_and_limit(
    make: Make, kind: Behaviour
) -> None:
    device = make(kind, OF_THE_RECIPE)
    device.write("a.log", numbered(100))
    device.begin()
    device.until(handed_over(100))
    assert payloads(device.nucleus) == numbered(100)
    assert {message.topic for message in device.nucleus.published} == {"telemetry/thing-1/telemetry"}
    pid = device.status()["pid"]
    merge = {"streams": {"telemetry": {"queue": {"mode": "back/drop-front", "maxRecords": 50}}}}
    assert device.nucleus.deploy(merge=merge).succeeded
    status = device.until(lambda s: s["streams"]["telemetry"]["mode"] == "back/drop-front")
    assert (status["pid"], status["degraded"]) == (pid, [])
    assert "keys=streams.telemetry.queue.maxRecords,streams.telemetry.queue.mode anew=false" in device.log()
    assert device.terminate() == 0


# -- what it says only in pieces --------------------------------------------------------------------------------------


def with_streams(count: int) -> dict[str, Any]:
    """Give the defaults with so many streams more, each with a directory of its own."""
    more = {f"s{number}": {"source": {"path": f"s{number}"}, "topic": f"telemetry/{number}"} for number in range(count)}
    return OF_THE_RECIPE | {"thingName": "gateway", "streams": OF_THE_RECIPE["streams"] | more}


def test_a_configuration_that_is_too_large_for_one_answer_is_read_section_by_section(
    make: Make, kind: Behaviour
) -> None:
    device = make(kind, with_streams(14))
    device.write("a.log", numbered(10))
    device.begin()
    status = device.until(handed_over(10))
    assert (len(status["streams"]), status["thingName"]) == (15, "gateway")
    device.nucleus.deploy(merge={"gate": {"maxInFlight": 7}})
    eventually(lambda: "event=config_applied keys=gate.maxInFlight anew=false" in device.log(), what="it is applied")
    deployed = device.nucleus.deploy(merge={"gate": {"maxInFlght": 7}})
    if kind is LITE:
        [degraded] = device.until(lambda s: s["degraded"])["degraded"]
        assert "gate.maxInFlght" in degraded["remedy"]
    else:
        assert "gate.maxInFlght" in deployed.reason


def test_a_configuration_with_a_section_that_is_too_large_is_waited_for_and_the_section_is_named(make: Make) -> None:
    device = make(LITE)
    device.nucleus.deploy(merge=with_streams(40))
    device.start()
    eventually(lambda: "event=connect_failed" in device.log(), what="it says what it cannot read")
    assert "of streams alone: ServiceError" in device.log()
    assert not device.ended
    device.nucleus.deploy(reset=[f"/streams/s{number}" for number in range(30)])
    eventually(lambda: "event=started" in device.log(), what="it runs once there is less")
    assert device.terminate() == 0


# -- what it lacks ----------------------------------------------------------------------------------------------------


def test_a_nucleus_without_any_call_that_can_be_done_without_serves_all_the_same(make: Make, kind: Behaviour) -> None:
    bare = replace(kind, operations=frozenset({"GetConfiguration", "PublishToIoTCore"}), nucleus_components=())
    device = make(bare)
    device.write("a.log", numbered(100))
    device.begin()
    status = device.until(handed_over(100))
    assert (status["state"], status["degraded"]) == ("online", [])
    assert set(device.nucleus.calls) - bare.operations == {
        "SubscribeToConfigurationUpdate",
        "SubscribeToValidateConfigurationUpdates",
    }
    assert device.nucleus.connections == 1
    assert device.terminate() == 0


# -- what it takes no more --------------------------------------------------------------------------------------------


def test_a_nucleus_that_takes_no_more_is_back_pressure_and_costs_no_record(make: Make, kind: Behaviour) -> None:
    device = make(replace(kind, spool_bytes=kind.spool_bytes and 20_000))
    fed = [record + b"x" * 500 for record in numbered(200)]
    device.begin()
    device.until(lambda s: s["state"] == "online")
    device.nucleus.go_offline()  # classic has a spooler, which is full before half of it is taken
    device.write("a.log", fed)
    refused = "spool is full" if kind is CLASSIC else "ServiceError, which is all that lite says"
    eventually(lambda: refused in device.log(), what="it says that the nucleus takes no more")
    records = device.status()["records"]
    assert records["pending"] + records["handedOver"] == records["read"]
    assert (records["droppedTotal"], records["quarantinedTotal"]) == (0, 0)
    device.nucleus.go_online()
    status = device.until(handed_over(len(fed)))
    assert status["records"]["read"] == len(fed)
    assert payloads(device.nucleus) == fed
    assert status["beside"]["possibleTwins"] == 0
    assert device.ask("status", "--verify").returncode == 0


def test_a_topic_that_access_control_does_not_allow_is_named_and_its_records_wait_until_it_does(
    make: Make, kind: Behaviour
) -> None:
    device = make(kind)
    device.nucleus.deploy(merge={"streams": {"telemetry": {"topic": "plant/line-1"}}})
    device.write("a.log", numbered(50))
    device.begin()
    eventually(lambda: "event=publish_failed" in device.log(), what="it says that it may not")
    assert "the nucleus allows no message on 'plant/line-1'" in device.log()
    assert "accessControl" in device.log()
    assert device.status()["records"]["droppedTotal"] == 0
    policy = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["plant/*"]}
    device.nucleus.deploy(
        merge={"accessControl": {"aws.greengrass.ipc.mqttproxy": {"io.weir.Forwarder:plant:1": policy}}}
    )
    device.until(handed_over(50))
    assert payloads(device.nucleus) == numbered(50)


def test_a_record_that_is_too_large_for_the_nucleus_is_set_aside_and_costs_no_connection(
    make: Make, kind: Behaviour
) -> None:
    device = make(kind)
    large = b"x" * 7_400
    device.write("a.log", [b"before", large, b"after"])
    device.begin()
    kept = [b"before", b"after"] if kind is LITE else [b"before", large, b"after"]
    records = device.until(handed_over(len(kept)))["records"]
    assert records["quarantined"]["tooLarge"] == 3 - len(kept)
    assert payloads(device.nucleus) == kept
    assert "event=interrupted" not in device.log()


# -- the end ----------------------------------------------------------------------------------------------------------


def test_it_stops_in_order_while_the_ipc_daemon_hangs(make: Make, kind: Behaviour) -> None:
    device = make(kind)
    device.begin()
    device.until(lambda s: s["state"] == "online")
    with device.nucleus.stalled():
        device.write("a.log", numbered(100))
        device.until(lambda s: s["records"]["inFlight"] > 0)
        assert device.terminate() == 0
    device.begin()
    status = device.until(handed_over(100))
    arrived = payloads(device.nucleus)
    assert sorted(set(arrived)) == numbered(100)
    assert len(arrived) - 100 <= status["beside"]["possibleTwins"]


def test_it_stops_in_order_while_it_waits_for_its_first_configuration(make: Make, kind: Behaviour) -> None:
    device = make(kind)
    device.nucleus.stop()
    device.start()
    eventually(lambda: "event=connect_failed" in device.log(), what="it waits")
    assert device.terminate() == 0
    assert "Traceback" not in device.log()

"""The stand-in's configuration side against the unmodified client library: reading, events, deployments, refusals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from awsiot import eventstreamrpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2 as Client

from tests.conditions import eventually
from tests.integration.nucleus_clients import COMPONENT, SECONDS, Connect, Events
from tests.nucleus import CLASSIC, LITE, NucleusStandIn

DEFAULTS: dict[str, Any] = {
    "mode": "fifo",
    "limits": {"bytes": 1000, "records": 10},
    "topics": ["a", "b"],
    "CamelKey": 1,
}


@pytest.fixture
def defaults() -> dict[str, Any]:
    return DEFAULTS


def test_configuration_is_read_whole_by_key_and_by_component(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)

    def read(*path: str, of: str | None = None) -> Any:
        return client.get_configuration(component_name=of, key_path=list(path)).value

    assert read() == client.get_configuration().value == DEFAULTS
    assert read("limits") == {"bytes": 1000, "records": 10}
    assert read("limits", "bytes") == {"bytes": 1000}
    assert read("topics") == {"topics": ["a", "b"]}
    assert read("awsRegion", of="aws.greengrass.Nucleus") == {"awsRegion": "eu-west-1"}


@pytest.mark.parametrize("path", [["none"], ["limits", "none"], ["mode", "none"], ["topics", "0"]])
def test_a_key_that_is_not_there_is_an_error(nucleus: NucleusStandIn, connect: Connect, path: list[str]) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        connect(nucleus).get_configuration(key_path=path)


def test_a_component_that_is_not_there_is_an_error(nucleus: NucleusStandIn, connect: Connect) -> None:
    with pytest.raises(model.ResourceNotFoundError):
        connect(nucleus).get_configuration(component_name="io.example.None")


def test_only_classic_folds_the_case_of_keys(classic: NucleusStandIn, lite: NucleusStandIn, connect: Connect) -> None:
    assert connect(classic).get_configuration(key_path=["camelkey"]).value == {"CamelKey": 1}
    with pytest.raises(model.ResourceNotFoundError):
        connect(lite).get_configuration(key_path=["camelkey"])


def test_only_lite_has_nothing_to_show_for_a_recipe_without_defaults(connect: Connect) -> None:
    with NucleusStandIn(CLASSIC, component=COMPONENT, configuration=None) as classic:
        assert connect(classic).get_configuration().value == {}
    with NucleusStandIn(LITE, component=COMPONENT, configuration=None) as lite:
        with pytest.raises(model.ResourceNotFoundError):
            connect(lite).get_configuration()
        with pytest.raises(model.ResourceNotFoundError):
            Events().of_configuration(connect(lite))


def test_only_lite_reads_the_scalars_of_a_yaml_recipe_as_strings(connect: Connect) -> None:
    values = {"number": 5, "yes": True, "none": None, "list": [1.5, "x"]}
    with NucleusStandIn(LITE, component=COMPONENT, configuration=values, yaml_recipe=True) as lite:
        expected = {"number": "5", "yes": "true", "none": "null", "list": ["1.5", "x"]}
        assert connect(lite).get_configuration().value == expected
    with NucleusStandIn(CLASSIC, component=COMPONENT, configuration=values, yaml_recipe=True) as classic:
        assert connect(classic).get_configuration().value == values


def test_the_text_of_an_error_arrives_from_classic_only(
    classic: NucleusStandIn, lite: NucleusStandIn, connect: Connect
) -> None:
    with pytest.raises(model.ResourceNotFoundError) as told:
        connect(classic).get_configuration(key_path=["none"])
    with pytest.raises(model.ResourceNotFoundError) as untold:
        connect(lite).get_configuration(key_path=["none"])

    assert told.value.message
    assert untold.value.message is None


def test_lite_sends_one_event_for_each_leaf_also_for_unchanged_ones(lite: NucleusStandIn, connect: Connect) -> None:
    client = connect(lite)
    events = Events().of_configuration(client)

    assert lite.deploy(merge={"mode": "fifo", "limits": {"bytes": 2000, "records": 10}}).succeeded

    eventually(lambda: len(events) == 3)
    assert events.paths == ["mode", "limits/bytes", "limits/records"]
    assert events[0].configuration_update_event.component_name == COMPONENT
    assert client.get_configuration(key_path=["limits"]).value == {"bytes": 2000, "records": 10}


def test_classic_sends_events_for_what_changed_only(classic: NucleusStandIn, connect: Connect) -> None:
    events = Events().of_configuration(connect(classic))

    assert classic.deploy(merge={"mode": "fifo", "limits": {"bytes": 2000, "records": 10}}).succeeded
    assert classic.deploy(merge={"mode": "lifo"}).succeeded

    eventually(lambda: len(events) == 2)
    assert events.paths == ["limits/bytes", "mode"]


def test_a_reset_brings_the_default_back_and_lite_tells_no_deletion(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    assert nucleus.deploy(merge={"limits": {"bytes": 7}, "extra": {"key": 1}}).succeeded
    events = Events().of_configuration(client)

    assert nucleus.deploy(reset=["/extra"]).succeeded
    assert nucleus.deploy(reset=["/limits/bytes"]).succeeded

    eventually(lambda: "limits/bytes" in events.paths)
    assert client.get_configuration().value == DEFAULTS
    assert events.paths == (["extra"] if nucleus.kind is CLASSIC else []) + ["limits/bytes"]


def test_a_subscription_to_a_key_hears_of_nothing_else(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    events = Events().of_configuration(client, ["limits"])
    with pytest.raises(model.ResourceNotFoundError):
        Events().of_configuration(client, ["none"])

    nucleus.deploy(merge={"mode": "lifo", "limits": {"bytes": 1}})
    nucleus.deploy(merge={"limits": {"records": 1}})

    eventually(lambda: len(events) == 2)
    assert events.paths == ["limits/bytes", "limits/records"]


def test_lite_fails_a_deployment_with_a_value_that_is_too_long(lite: NucleusStandIn) -> None:
    longest = "x" * 1020
    assert lite.deploy(merge={"text": longest}).succeeded

    refused = lite.deploy(merge={"mode": "lifo", "list": [*range(400)]})

    assert (refused.status, "list" in refused.reason) == ("FAILED", True)
    assert lite.configuration() == {**DEFAULTS, "text": longest}


def test_lite_hands_out_no_more_than_255_keys_and_items_at_once(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    room = 255 - 4 - 14  # the answer itself has two keys, DEFAULTS have six and two items
    most = {f"k{number}": number for number in range((room - 2) // 2)}
    assert nucleus.deploy(merge={"more": most}).succeeded
    assert client.get_configuration().value == {**DEFAULTS, "more": most}

    assert nucleus.deploy(merge={"one": 1}).succeeded

    if nucleus.kind is LITE:
        with pytest.raises(model.ServiceError):
            client.get_configuration()
    else:
        assert client.get_configuration().value["one"] == 1
    assert client.get_configuration(key_path=["more"]).value == most


def test_a_component_updates_its_own_configuration(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    events = Events().of_configuration(client)

    client.update_configuration(key_path=["limits"], value_to_merge={"bytes": 5})
    client.update_configuration(key_path=["mode"], value_to_merge="lifo")

    eventually(lambda: len(events) == 2)
    assert events.paths == ["limits/bytes", "mode"]
    assert nucleus.configuration() == {**DEFAULTS, "mode": "lifo", "limits": {"bytes": 5, "records": 10}}
    with pytest.raises(model.InvalidArgumentsError):
        client.update_configuration(key_path=["accessControl"], value_to_merge={"x": 1})
    with pytest.raises(model.ServiceError):
        client.update_configuration(key_path=["mode"], value_to_merge={"x": 1})


def test_an_update_older_than_the_value_is_an_error_on_classic_and_ignored_on_lite(
    nucleus: NucleusStandIn, connect: Connect
) -> None:
    client = connect(nucleus)
    old = dt.datetime(2001, 1, 1, tzinfo=dt.timezone.utc)
    nucleus.deploy(merge={"mode": "lifo"})

    if nucleus.kind is CLASSIC:
        with pytest.raises(model.FailedUpdateConditionCheckError):
            client.update_configuration(key_path=["mode"], value_to_merge="fifo", timestamp=old)
    else:
        client.update_configuration(key_path=["mode"], value_to_merge="fifo", timestamp=old)

    assert nucleus.configuration()["mode"] == "lifo"


def validator(client: Client, decide: Callable[[Any], tuple[str, str | None]]) -> None:
    """Subscribe, and answer every proposed configuration with (status, message)."""

    def on_event(event: Any) -> None:
        proposed = event.validate_configuration_update_event
        status, message = decide(proposed.configuration)
        report = model.ConfigurationValidityReport(status=status, deployment_id=proposed.deployment_id, message=message)
        client.send_configuration_validity_report_async(configuration_validity_report=report)

    client.subscribe_to_validate_configuration_updates_async(on_stream_event=on_event)[0].result(SECONDS)


def test_classic_asks_the_component_before_it_applies_a_deployment(classic: NucleusStandIn, connect: Connect) -> None:
    asked: list[Any] = []

    def decide(proposed: Any) -> tuple[str, str | None]:
        asked.append(proposed)
        return ("ACCEPTED", None) if proposed["mode"] == "lifo" else ("REJECTED", "mode: fifo or lifo")

    validator(connect(classic), decide)

    accepted = classic.deploy(merge={"mode": "lifo"})
    rejected = classic.deploy(merge={"mode": "filo"})

    assert asked == [{**DEFAULTS, "mode": "lifo"}, {**DEFAULTS, "mode": "filo"}]
    assert accepted.succeeded
    assert (rejected.status, rejected.reason) == ("FAILED", "rejected: mode: fifo or lifo")
    assert classic.configuration()["mode"] == "lifo"


def test_a_validator_that_says_nothing_fails_the_deployment(classic: NucleusStandIn, connect: Connect) -> None:
    client = connect(classic)
    client.subscribe_to_validate_configuration_updates_async(on_stream_event=print)[0].result(SECONDS)

    refused = classic.deploy(merge={"mode": "lifo"}, validation_seconds=0.05)

    assert (refused.status, refused.reason) == ("FAILED", "no validity report within 0.05 s")
    report = model.ConfigurationValidityReport(status="ACCEPTED", deployment_id=refused.id)
    with pytest.raises(model.InvalidArgumentsError):
        client.send_configuration_validity_report(configuration_validity_report=report)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.defer_component_update(deployment_id="d"),
        lambda client: client.subscribe_to_validate_configuration_updates(on_stream_event=print),
        lambda client: client.subscribe_to_component_updates(on_stream_event=print),
        lambda client: client.get_thing_shadow(thing_name="t"),
    ],
)
def test_lite_refuses_what_it_lacks_and_the_connection_stays(
    lite: NucleusStandIn, connect: Connect, call: Callable[[Client], object]
) -> None:
    client = connect(lite)

    with pytest.raises(model.ServiceError) as refused:
        call(client)

    assert refused.value.message is None
    assert client.get_configuration(key_path=["mode"]).value == {"mode": "fifo"}


def test_classic_refuses_what_it_lacks_with_an_error_outside_the_model(
    classic: NucleusStandIn, connect: Connect
) -> None:
    client = connect(classic)
    client.defer_component_update(deployment_id="d")

    with pytest.raises(eventstreamrpc.UnmappedDataError, match="UnsupportedOperation"):
        client.get_thing_shadow(thing_name="t")


def test_states_are_kept_in_order_and_unknown_ones_refused(nucleus: NucleusStandIn, connect: Connect) -> None:
    client = connect(nucleus)
    client.update_state(state="RUNNING")
    client.update_state(state="ERRORED")

    with pytest.raises(model.ServiceError):
        client.update_state(state="FOO")

    assert nucleus.states == ["RUNNING", "ERRORED"]

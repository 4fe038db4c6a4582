"""The stand-in's daemon against the unmodified client library: the handshake, stalls, restarts, lost connections."""

from __future__ import annotations

import concurrent.futures

import pytest
from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2 as Client

from tests.conditions import eventually
from tests.integration.nucleus_clients import COMPONENT, SECONDS, Connect, Events, by_name
from tests.nucleus import CLASSIC, NucleusStandIn


def test_the_older_client_gets_an_answer_too(nucleus: NucleusStandIn) -> None:
    client = greengrasscoreipc.connect(ipc_socket=str(nucleus.socket_path), authtoken=nucleus.token, timeout=SECONDS)
    operation = client.new_get_configuration()
    operation.activate(model.GetConfigurationRequest(key_path=["mode"])).result(SECONDS)

    response = operation.get_response().result(SECONDS)

    assert response == model.GetConfigurationResponse(component_name=COMPONENT, value={"mode": "fifo"})
    operation.close().result(SECONDS)
    client.close().result(SECONDS)
    eventually(lambda: nucleus.connections == 0)


def test_classic_refuses_a_wrong_token_with_an_answer(classic: NucleusStandIn) -> None:
    with pytest.raises(eventstreamrpc.AccessDeniedError):
        greengrasscoreipc.connect(ipc_socket=str(classic.socket_path), authtoken="wrong", timeout=SECONDS)


def test_lite_refuses_a_wrong_token_by_closing(lite: NucleusStandIn) -> None:
    with pytest.raises(AwsCrtError, match="AWS_IO_SOCKET_CLOSED"):
        greengrasscoreipc.connect(ipc_socket=str(lite.socket_path), authtoken="wrong", timeout=SECONDS)


def test_a_stall_makes_every_caller_wait_and_no_answer_is_lost(nucleus: NucleusStandIn, connect: Connect) -> None:
    one, other = connect(nucleus), connect(nucleus)

    with nucleus.stalled():
        answers = [client.get_configuration_async(key_path=["mode"]) for client in (one, other)]
        with pytest.raises(concurrent.futures.TimeoutError):
            answers[0].result(0.05)
        assert nucleus.calls == []

    assert [answer.result(SECONDS).value for answer in answers] == [{"mode": "fifo"}] * 2


def test_a_restart_closes_every_stream_and_only_classic_knows_the_token_after_it(
    nucleus: NucleusStandIn, connect: Connect
) -> None:
    events, token = Events().of_configuration(connect(nucleus)), nucleus.token

    nucleus.restart()

    assert events.closed.wait(SECONDS)
    if nucleus.kind is CLASSIC:
        assert connect(nucleus).get_configuration(key_path=["mode"]).value == {"mode": "fifo"}
        return
    with pytest.raises(AwsCrtError):
        greengrasscoreipc.connect(ipc_socket=str(nucleus.socket_path), authtoken=token, timeout=SECONDS)
    connection = by_name(nucleus, COMPONENT)
    connection.connect(eventstreamrpc.LifecycleHandler()).result(SECONDS)
    client = Client(client=greengrasscoreipc.GreengrassCoreIPCClient(connection))
    assert client.get_configuration(key_path=["mode"]).value == {"mode": "fifo"}
    client.close().result(SECONDS)


def test_a_name_alone_opens_lite_to_the_right_component_only(nucleus: NucleusStandIn) -> None:
    names = [COMPONENT, "io.example.Other"] if nucleus.kind is CLASSIC else ["io.example.Other"]
    for name in names:
        with pytest.raises((AwsCrtError, eventstreamrpc.AccessDeniedError)):
            by_name(nucleus, name).connect(eventstreamrpc.LifecycleHandler()).result(SECONDS)


def test_a_dropped_connection_is_made_anew_with_the_same_token(nucleus: NucleusStandIn, connect: Connect) -> None:
    events = Events().of_configuration(connect(nucleus))

    nucleus.drop_connections()

    assert events.closed.wait(SECONDS)
    assert connect(nucleus).get_configuration(key_path=["mode"]).value == {"mode": "fifo"}


def test_a_stopped_daemon_has_no_socket_and_comes_back(nucleus: NucleusStandIn, connect: Connect) -> None:
    nucleus.stop()
    with pytest.raises(RuntimeError, match="AWS_ERROR_FILE_INVALID_PATH"):
        connect(nucleus)

    nucleus.start()

    assert connect(nucleus).get_configuration(key_path=["mode"]).value == {"mode": "fifo"}


def test_the_environment_names_the_socket_as_each_nucleus_does(classic: NucleusStandIn, lite: NucleusStandIn) -> None:
    key = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
    assert classic.environment()[key].endswith("/ipc.socket")
    assert lite.environment()[key].endswith("/gg-ipc.socket")
    assert len(lite.environment()["SVCUID"]) == 16
    assert lite.environment()["AWS_IOT_THING_NAME"] == "thing-1"

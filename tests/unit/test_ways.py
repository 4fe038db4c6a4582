"""Which way is taken: a table of what is configured, what is offered, and what comes of it."""

from __future__ import annotations

import msgspec
import pytest

from weir.core.configuration import Surroundings, parse, require_connection
from weir.core.errors import ConfigurationRefused
from weir.core.settings import ConnectionSettings
from weir.core.ways import Offers, Way, choose, offered, region_of

AT_HOME = Surroundings(thing_name=None, host_name="bench", work_path="/here", under_nucleus=False, root_ca_path=None)
CORE = "abc-ats.iot.eu-central-1.amazonaws.com"
CERTIFICATE = {"certificate": "/c.pem", "private_key": "/k.pem"}
NOTHING = Offers()
NUCLEUS = Offers(nucleus=True, region="eu-west-1")
TOKENS = Offers(token_exchange=True, region="eu-west-1")
BOTH = Offers(nucleus=True, token_exchange=True, region="eu-west-1")
KNOWING = BOTH._replace(endpoint=CORE)
NO_REGION = BOTH._replace(region=None)


def connection(**values: object) -> ConnectionSettings:
    return msgspec.structs.replace(parse({}, AT_HOME).connection, **values)


def test_without_anything_each_thing_missing_is_named_with_what_is_allowed() -> None:
    problems = [str(problem) for problem in require_connection(parse({}, AT_HOME))]

    missing = "has no value, and without it there is no connection"
    assert problems == [
        f"connection.endpoint: {missing} (allowed: the host name of the broker)",
        f"connection.certificate: {missing} (allowed: the path of a PEM file)",
        f"connection.privateKey: {missing} (allowed: the path of a PEM file)",
    ]


@pytest.mark.parametrize(
    ("settings", "offers", "kind", "endpoint", "region"),
    [
        # a certificate comes first, whatever is offered
        ({"endpoint": CORE, **CERTIFICATE}, NOTHING, "mutualTls", CORE, None),
        ({"endpoint": CORE, **CERTIFICATE}, KNOWING, "mutualTls", CORE, None),
        ({"endpoint": "broker", **CERTIFICATE}, KNOWING, "mutualTls", "broker", None),
        ({**CERTIFICATE}, KNOWING, "mutualTls", CORE, None),
        ({"transport": "mqtt", "endpoint": CORE, **CERTIFICATE}, BOTH, "mutualTls", CORE, None),
        # then the token exchange service, where the broker is known
        ({"endpoint": CORE}, TOKENS, "websocket", CORE, "eu-central-1"),
        ({"endpoint": "broker"}, TOKENS, "websocket", "broker", "eu-west-1"),
        ({"endpoint": "broker"}, KNOWING, "websocket", "broker", "eu-west-1"),
        ({}, KNOWING, "websocket", CORE, "eu-central-1"),
        ({"endpoint": CORE}, NO_REGION, "websocket", CORE, "eu-central-1"),
        ({"transport": "mqtt"}, KNOWING, "websocket", CORE, "eu-central-1"),
        # then the nucleus
        ({}, NUCLEUS, "ipc", None, None),
        ({"endpoint": CORE}, NUCLEUS, "ipc", None, None),
        ({}, BOTH, "ipc", None, None),
        ({}, BOTH._replace(endpoint="https://evil/"), "ipc", None, None),
        ({"endpoint": "broker"}, NO_REGION, "ipc", None, None),
        # unless it is asked for
        ({"transport": "ipc", "endpoint": CORE, **CERTIFICATE}, KNOWING, "ipc", None, None),
    ],
)
def test_the_way_is(
    settings: dict[str, object], offers: Offers, kind: str, endpoint: str | None, region: str | None
) -> None:
    way = choose(connection(**settings), offers)

    assert (way.kind, way.endpoint, way.region) == (kind, endpoint, region)


@pytest.mark.parametrize(
    ("settings", "offers", "missing"),
    [
        ({}, NOTHING, ["connection.endpoint", "connection.certificate", "connection.privateKey"]),
        ({"endpoint": CORE}, NOTHING, ["connection.certificate", "connection.privateKey"]),
        ({**CERTIFICATE}, NOTHING, ["connection.endpoint"]),
        ({**CERTIFICATE}, NUCLEUS, ["connection.endpoint"]),
        ({"endpoint": CORE, "certificate": "/c.pem"}, KNOWING, ["connection.privateKey"]),
        ({"endpoint": CORE, "private_key": "/k.pem"}, KNOWING, ["connection.certificate"]),
        ({}, TOKENS, ["connection.endpoint"]),
        ({"transport": "mqtt"}, BOTH, ["connection.endpoint"]),
        ({"transport": "mqtt", "endpoint": CORE}, NUCLEUS, ["connection.certificate", "connection.privateKey"]),
        ({"transport": "mqtt", "endpoint": "broker"}, NO_REGION, ["connection.endpoint"]),
        ({"endpoint": "broker"}, Offers(token_exchange=True), ["connection.endpoint"]),
        ({"transport": "ipc"}, NOTHING, ["connection.transport"]),
        ({"transport": "ipc", "endpoint": CORE, **CERTIFICATE}, TOKENS, ["connection.transport"]),
    ],
)
def test_there_is_no_way_without(settings: dict[str, object], offers: Offers, missing: list[str]) -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        choose(connection(**settings), offers)

    assert [problem.path for problem in refused.value.problems] == missing


@pytest.mark.parametrize(
    ("offers", "better"),
    [
        (NUCLEUS, "connection.certificate and connection.privateKey, or the token exchange service"),
        (BOTH, "connection.endpoint: has no value"),
        (NO_REGION._replace(endpoint="broker"), "connection.endpoint: `broker` names no region"),
        (KNOWING, "connection.certificate and connection.privateKey, for mutual TLS"),
    ],
)
def test_it_says_what_a_better_way_needs(offers: Offers, better: str) -> None:
    way = choose(connection(), offers)

    assert way.why
    assert way.better is not None
    assert better in way.better


def test_of_the_best_way_and_of_a_way_that_was_asked_for_no_better_one_is_told() -> None:
    assert choose(connection(endpoint=CORE, **CERTIFICATE), KNOWING).better is None
    assert choose(connection(transport="ipc"), KNOWING) == Way("ipc", "connection.transport is ipc")


@pytest.mark.parametrize(
    "endpoint",
    ["", "https://abc.iot.eu-west-1.amazonaws.com", "abc/x", "abc:443", "-abc", "a b", "a\r\nb", "user@abc", "a" * 300],
)
def test_what_the_nucleus_names_is_used_only_if_it_is_a_host_name(endpoint: str) -> None:
    assert choose(connection(), BOTH._replace(endpoint=endpoint)).kind == "ipc"


@pytest.mark.parametrize(
    ("endpoint", "told", "region"),
    [
        (CORE, None, "eu-central-1"),
        (CORE, "us-east-1", "eu-central-1"),  # the broker would refuse a signature for any other region
        (CORE.upper() + ".", None, "eu-central-1"),
        ("abc.ats.iot.cn-north-1.amazonaws.com.cn", None, "cn-north-1"),
        ("data.iot-fips.us-gov-west-1.amazonaws.com", None, "us-gov-west-1"),
        ("iot.example.org", "us-east-1", "us-east-1"),
        ("abc-ats.iot.eu-central-1.amazonaws.com.example.org", None, None),
        (None, "us-east-1", "us-east-1"),
        (None, "us east", None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_the_region_is_that_of_the_broker_or_else_of_the_environment(
    endpoint: str | None, told: str | None, region: str | None
) -> None:
    assert region_of(endpoint, Offers(region=told)) == region


def test_offers_are_read_from_the_environment() -> None:
    assert offered({}) == NOTHING
    environment = {
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": "/s",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:1/",
        "AWS_REGION": "",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert offered(environment, CORE) == KNOWING

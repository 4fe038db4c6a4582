"""Which way a message takes to the broker: a connection of our own, or through the nucleus.

Owns the order of the ways and what each needs. Pure: what the environment and the nucleus offer comes in as `Offers`.
It must not know how a connection is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from weir.core.errors import ConfigurationRefused, Problem
from weir.core.quoting import quoted
from weir.core.settings import ConnectionSettings
from weir.core.values import HOST_NAME, MOST_HOST_CHARACTERS

IPC_SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN_EXCHANGE_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"  # noqa: S105 - the name of a variable
TOKEN_EXCHANGE_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - as above
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

# PREFIX-ats.iot.REGION.amazonaws.com, and the same in China and with FIPS.
_REGION_OF_ENDPOINT = re.compile(r".+\.iot(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", re.IGNORECASE)
_REGION = re.compile(r"[a-z0-9-]{1,64}")

_NEEDED = {
    "connection.endpoint": "the host name of the broker",
    "connection.certificate": "the path of a PEM file",
    "connection.privateKey": "the path of a PEM file",
}
_FOR_MUTUAL_TLS = "connection.certificate and connection.privateKey"


class Offers(NamedTuple):
    """What there is beside the configuration."""

    nucleus: bool = False  # this process is a component: there is an IPC socket
    token_exchange: bool = False  # credentials of the device's role can be had
    endpoint: str | None = None  # the broker, as the nucleus' own configuration names it; it is checked here
    region: str | None = None


class Way(NamedTuple):
    """The way that is taken, and what is said of it when a run starts."""

    kind: Literal["mutualTls", "websocket", "ipc"]
    why: str
    better: str | None = None  # what a better way would need
    endpoint: str | None = None  # the host name to connect to; None for ipc
    region: str | None = None  # what a signature is for; of a websocket only


def offered(environment: Mapping[str, str], endpoint: str | None = None) -> Offers:
    """Give what the environment offers, and the endpoint that the nucleus knows, if it was asked."""
    return Offers(
        nucleus=bool(environment.get(IPC_SOCKET)),
        token_exchange=bool(environment.get(TOKEN_EXCHANGE_URI)),
        endpoint=endpoint,
        region=next((environment[name] for name in REGIONS if environment.get(name)), None),
    )


def choose(connection: ConnectionSettings, offers: Offers) -> Way:
    """Give the way for these settings; raises ConfigurationRefused with what is missing where there is none."""
    if connection.transport == "ipc":
        return _ipc(offers)
    endpoint = connection.endpoint or _usable(offers.endpoint)
    if connection.certificate is not None or connection.private_key is not None:
        return _mutual_tls(connection, endpoint)
    nucleus_serves = offers.nucleus and connection.transport == "auto"
    if offers.token_exchange:
        missing = _missing_for_websocket(endpoint, offers)
        if missing is None:
            why = "no certificate is configured, and the token exchange service is offered"
            return Way("websocket", why, f"{_FOR_MUTUAL_TLS}, for mutual TLS", endpoint, region_of(endpoint, offers))
        if nucleus_serves:
            why = "no certificate is configured, and for a WebSocket something is missing"
            return Way("ipc", why, f"{missing.path}: {missing.message}")
        raise ConfigurationRefused([missing])
    if nucleus_serves:
        why = "neither a certificate is configured nor the token exchange service offered"
        return Way("ipc", why, f"{_FOR_MUTUAL_TLS}, or the token exchange service, for answers of the broker itself")
    raise ConfigurationRefused(_missing(connection, endpoint))


def region_of(endpoint: str | None, offers: Offers) -> str | None:
    """Give the region to sign for.

    That in the name of the broker comes first: a signature for another one is always refused.
    """
    found = _REGION_OF_ENDPOINT.fullmatch((endpoint or "").rstrip("."))
    region = found[1].lower() if found else offers.region
    return region if region is not None and _REGION.fullmatch(region) else None


def _ipc(offers: Offers) -> Way:
    if offers.nucleus:
        return Way("ipc", "connection.transport is ipc")
    message = "`ipc` needs a Greengrass nucleus, and none started this process (allowed: auto, mqtt)"
    raise ConfigurationRefused([Problem("connection.transport", message)])


def _mutual_tls(connection: ConnectionSettings, endpoint: str | None) -> Way:
    missing = _missing(connection, endpoint)
    if missing:
        raise ConfigurationRefused(missing)
    return Way("mutualTls", "a certificate is configured", None, endpoint)


def _missing(connection: ConnectionSettings, endpoint: str | None) -> list[Problem]:
    values = (endpoint, connection.certificate, connection.private_key)
    return [_without(path) for path, value in zip(_NEEDED, values, strict=True) if value is None]


def _missing_for_websocket(endpoint: str | None, offers: Offers) -> Problem | None:
    if endpoint is None:
        return _without("connection.endpoint")
    if region_of(endpoint, offers) is None:
        allowed = "PREFIX-ats.iot.REGION.amazonaws.com, or AWS_REGION in the environment"
        return Problem("connection.endpoint", f"{quoted(endpoint)} names no region to sign for (allowed: {allowed})")
    return None


def _without(path: str) -> Problem:
    return Problem(path, f"has no value, and without it there is no connection (allowed: {_NEEDED[path]})")


def _usable(endpoint: str | None) -> str | None:
    """Give what the nucleus names if it is a host name, without scheme, path or port."""
    if endpoint is None or len(endpoint) > MOST_HOST_CHARACTERS or not HOST_NAME.fullmatch(endpoint):
        return None
    return endpoint

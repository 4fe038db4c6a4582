"""What tests with a nucleus stand-in may ask for: one of each kind, and the unmodified client library on it.

A test file that wants another configuration than `defaults` has a fixture of that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.nucleus_clients import COMPONENT, Connect, clients
from tests.nucleus import CLASSIC, KINDS, LITE, NucleusStandIn


@pytest.fixture
def defaults() -> dict[str, Any]:
    """Give the default configuration of the component's recipe."""
    return {"mode": "fifo"}


@pytest.fixture(params=sorted(KINDS))
def nucleus(request: pytest.FixtureRequest, defaults: dict[str, Any]) -> Iterator[NucleusStandIn]:
    """Give a nucleus of either kind, one after the other."""
    with NucleusStandIn(KINDS[request.param], component=COMPONENT, configuration=defaults) as standin:
        yield standin


@pytest.fixture
def lite(defaults: dict[str, Any]) -> Iterator[NucleusStandIn]:
    """Give a nucleus lite."""
    with NucleusStandIn(LITE, component=COMPONENT, configuration=defaults) as standin:
        yield standin


@pytest.fixture
def classic(defaults: dict[str, Any]) -> Iterator[NucleusStandIn]:
    """Give a classic nucleus."""
    with NucleusStandIn(CLASSIC, component=COMPONENT, configuration=defaults) as standin:
        yield standin


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Give what connects a client, which is closed in the end."""
    with clients() as connect_one:
        yield connect_one

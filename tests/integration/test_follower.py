"""What follows the configuration of a nucleus, driven as the loop does: by its wake-ups and its timers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conditions import DEADLINE_SECONDS
from tests.nucleus import CLASSIC, Deployment, NucleusStandIn
from weir.greengrass import follower
from weir.greengrass.follower import Follower
from weir.transports.nucleus import NucleusClient, door

WATCH, WATCH_PROPOSALS = "SubscribeToConfigurationUpdate", "SubscribeToValidateConfigurationUpdates"


class Driven:
    """A follower with a client of its own, and what it handed on."""

    def __init__(self, standin: NucleusStandIn) -> None:
        self.documents: list[dict[str, Any]] = []
        self.awake = threading.Event()
        found = door(standin.environment())
        assert found is not None
        self.client = NucleusClient(found, self.awake.set, answer_seconds=0.3, jitter=lambda: 0.0)
        self.client.connect().result(DEADLINE_SECONDS)
        self.follower = Follower(
            self.client, objection=lambda _: None, accept=self.documents.append, wake=self.awake.set
        )
        self.follower.begin()

    def until(self, condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            now = time.monotonic()
            assert now < give_up, self.documents
            times = [due for due in (self.client.advance(now), self.follower.advance(now)) if due is not None]
            if self.awake.wait(max(0.0, min([*times, give_up, now + 0.05]) - time.monotonic())):
                self.awake.clear()

    def deploy(self, standin: NucleusStandIn, merge: dict[str, Any]) -> None:
        """Deploy while the follower is driven on: classic waits for its judgement."""
        deployments: list[Deployment] = []
        thread = threading.Thread(target=lambda: deployments.append(standin.deploy(merge=merge)), daemon=True)
        thread.start()
        self.until(lambda: deployments)
        assert deployments[0].succeeded


@pytest.fixture
def driven(nucleus: NucleusStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:
    monkeypatch.setattr(follower, "RETRY_SECONDS", (0.05,))
    one = Driven(nucleus)
    yield one
    one.client.close(1.0)


def test_a_change_is_read_and_handed_on(driven: Driven, nucleus: NucleusStandIn) -> None:
    driven.until(lambda: driven.documents)
    driven.deploy(nucleus, {"mode": "lifo"})
    driven.until(lambda: driven.documents[-1] == {"mode": "lifo"})
    assert [call for call in nucleus.calls if "Subscribe" in call] == [WATCH, WATCH_PROPOSALS]


def test_a_subscription_without_an_answer_is_made_again(driven: Driven, nucleus: NucleusStandIn) -> None:
    with nucleus.stalled():
        driven.follower.advance(time.monotonic())
        driven.until(lambda: driven.client.unanswered == 2)
    driven.until(lambda: nucleus.calls.count(WATCH) > 1 and driven.documents)
    driven.deploy(nucleus, {"mode": "lifo"})
    driven.until(lambda: driven.documents[-1] == {"mode": "lifo"})
    assert nucleus.connections == 1


def test_where_there_is_nothing_to_watch_yet_it_asks_again_and_proposals_are_watched_once(
    nucleus: NucleusStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETRY_SECONDS", (0.05,))
    with NucleusStandIn(nucleus.kind, component="io.weir.Forwarder", configuration=None) as empty:
        driven = Driven(empty)
        asked = 1 if nucleus.kind is CLASSIC else 3  # classic has a map with nothing in it
        driven.until(lambda: empty.calls.count(WATCH) >= asked)
        driven.deploy(empty, {"mode": "lifo"})
        driven.until(lambda: driven.documents and driven.documents[-1] == {"mode": "lifo"})
        assert empty.calls.count(WATCH_PROPOSALS) == 1
        driven.client.close(1.0)


def test_a_new_connection_is_subscribed_anew_and_read(driven: Driven, nucleus: NucleusStandIn) -> None:
    driven.until(lambda: driven.documents)
    nucleus.stop()
    nucleus.deploy(merge={"mode": "lifo"})
    nucleus.start()
    driven.until(lambda: driven.documents[-1] == {"mode": "lifo"})
    assert nucleus.calls.count(WATCH) == nucleus.calls.count(WATCH_PROPOSALS) == 2

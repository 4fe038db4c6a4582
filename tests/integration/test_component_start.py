"""What a component starts with when its nucleus is silent, or holds a configuration that will not do."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component import DEFAULTS
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.nucleus import NucleusStandIn
from weir.cli.main import _parser
from weir.core.settings import Settings
from weir.forwarder.inbox import Inbox
from weir.report.log import Log
from weir.store import accepted
from weir.wiring import assembly, component
from weir.wiring.component import Component


@pytest.fixture
def defaults() -> dict[str, Any]:
    return DEFAULTS


class Start:
    """A component that asks for its first settings, in a thread as its loop would."""

    def __init__(self, nucleus: NucleusStandIn) -> None:
        self._out = io.StringIO()
        inbox = Inbox()
        client = assembly.nucleus_of(nucleus.environment(), inbox)
        assert client is not None
        self.client = client
        log = Log(level="INFO", form="text", out=self._out, err=self._out)
        self.component = Component(client, _parser().parse_args(["run"]), inbox, log)
        self.settings: Settings | None = None
        self._thread = threading.Thread(target=self._begin, daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        self.settings = self.component.first_settings()

    def result(self) -> Settings:
        self._thread.join(DEADLINE_SECONDS)
        assert self.settings is not None, self.log
        return self.settings

    @property
    def log(self) -> str:
        return self._out.getvalue()


@pytest.fixture
def start(
    nucleus: NucleusStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, Any]], Start]]:
    """Give what starts a component whose state keeps a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(component, "RETRY_SECONDS", 0.05)
    for name, value in nucleus.environment().items():
        monkeypatch.setenv(name, value)
    started: list[Start] = []

    def begin(kept: dict[str, Any]) -> Start:
        (tmp_path / "state").mkdir(mode=0o700)
        accepted.keep(tmp_path / "state", kept)
        started.append(Start(nucleus))
        return started[-1]

    yield begin
    for one in started:
        one.client.close()


Begin = Callable[[dict[str, Any]], Start]


def test_with_a_nucleus_that_says_nothing_it_goes_by_the_last_configuration_that_would_do(
    nucleus: NucleusStandIn, start: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "PATIENCE_SECONDS", 0.0)
    nucleus.stop()
    begun = start(DEFAULTS | {"gate": {"maxInFlight": 7}})
    assert begun.result().gate.max_in_flight == 7
    assert "event=connect_failed to=nucleus" in begun.log


def test_a_key_that_only_a_newer_version_knows_is_refused_and_the_rest_of_what_was_kept_is_gone_by(
    nucleus: NucleusStandIn, start: Begin
) -> None:
    newer = {"gate": {"maxInFlight": 7, "maxLater": 1}, "later": {"key": 1}}
    nucleus.deploy(merge=newer)
    begun = start(DEFAULTS | newer)
    settings = begun.result()
    assert (settings.gate.max_in_flight, settings.thing_name) == (7, "gateway")
    assert "event=config_refused key=gate.maxLater" in begun.log
    assert "event=config_refused key=later" in begun.log


def test_where_nothing_will_do_it_says_so_once_and_waits_for_what_will(nucleus: NucleusStandIn, start: Begin) -> None:
    bad = {"gate": {"maxInFlight": "many"}}
    nucleus.deploy(merge=bad)
    before = len(nucleus.calls)
    begun = start(DEFAULTS | bad)
    eventually(lambda: len(nucleus.calls) > before + 6, what="it has asked again and again")
    assert begun.log.count("event=config_refused") == 1
    nucleus.deploy(merge={"gate": {"maxInFlight": 7}})
    assert begun.result().gate.max_in_flight == 7


def test_a_connection_that_is_lost_before_the_nucleus_has_named_its_broker_is_made_anew_and_the_broker_asked_for(
    nucleus: NucleusStandIn, start: Begin
) -> None:
    nucleus.stall_after(1)
    begun = start(DEFAULTS)
    eventually(lambda: len(nucleus.calls) == 1, what="it has its configuration, and asks for the broker")
    nucleus.drop_connections()
    nucleus.release()
    assert begun.result().thing_name == "gateway"
    assert begun.component.offers.endpoint == "example-ats.iot.eu-west-1.amazonaws.com"

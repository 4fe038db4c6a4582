"""Which changes of the configuration a running loop can follow."""

from __future__ import annotations

from typing import Any

import pytest

from weir.core.configuration import Surroundings, parse
from weir.core.difference import applies_live, changed_keys
from weir.core.keys import KEYS

HERE = Surroundings(thing_name="t", host_name="h", work_path="/w", under_nucleus=True, root_ca_path=None)
QUEUE = {"streams": {"telemetry": {"queue": {"mode": 1, "maxRecords": 5}}}}


@pytest.mark.parametrize(
    ("document", "keys", "live"),
    [
        ({}, [], True),
        ({"log": {"level": "DEBUG"}}, ["log.level"], True),
        ({"gate": {"maxInFlight": 7}}, ["gate.maxInFlight"], True),
        ({"pace": {"publishesPerSecond": None}}, ["pace.publishesPerSecond"], True),
        ({"pace": {"publishesPerSecond": "none"}}, ["pace.publishesPerSecond"], True),
        ({"report": {"logSeconds": 5}}, ["report.logSeconds"], True),
        (QUEUE, ["streams.telemetry.queue.maxRecords", "streams.telemetry.queue.mode"], True),
        ({"streams": {"other": {}}}, ["streams.other", "streams.telemetry"], False),
        ({"streams": {"telemetry": {"topic": "a/b"}}}, ["streams.telemetry.topic"], False),
        ({"connection": {"keepAliveSeconds": 60}}, ["connection.keepAliveSeconds"], False),
        ({"state": {"commitSeconds": 5}}, ["state.commitSeconds"], False),
        ({"thingName": "u"}, ["thingName"], False),
        ({"log": {"level": "DEBUG"}, "thingName": "u"}, ["log.level", "thingName"], False),
    ],
)
def test_what_changed_and_whether_the_loop_can_follow(document: dict[str, Any], keys: list[str], live: bool) -> None:  # noqa: FBT001 - a column of the table
    old, new = parse({}, HERE), parse(document, HERE)
    assert changed_keys(old, new) == keys
    assert applies_live(old, new) is live


def test_every_section_is_sorted_into_one_or_the_other() -> None:
    sections = {key.path.split(".")[0] for key in KEYS}
    assert sections == {"thingName", "streams", "gate", "pace", "connection", "state", "report", "log"}

"""The nucleus client with the SDK and a stand-in for each kind of nucleus, driven as the loop does: by its wake-ups."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conditions import DEADLINE_SECONDS
from tests.contract.ipc_bench import ALLOWED, COMPONENT
from tests.nucleus import CLASSIC, KINDS, LITE, NucleusStandIn
from weir.core.nucleus import Answer, ConnectionGone, NotFound, NotSent, NucleusFailed, Proposal
from weir.transports import nucleus
from weir.transports.nucleus import NucleusClient, door

CONFIGURATION = {"accessControl": ALLOWED, "mode": "fifo", "limit": 3, "ratio": 2.5, "streams": {"vitals": {"qos": 1}}}


class Driven:
    """A client on a stand-in, and a thread's part of it: `advance` when it wanted to be called, or was woken."""

    def __init__(self, standin: NucleusStandIn, **arguments: Any) -> None:
        self.standin = standin
        self.awake = threading.Event()
        found = door(standin.environment())
        assert found is not None
        self.client = NucleusClient(found, self.awake.set, component=COMPONENT, jitter=lambda: 0.0, **arguments)
        self.said: list[str] = []
        self.client.on_restored(lambda: self.said.append("restored"))
        self.client.on_lost(lambda why: self.said.append(f"lost: {why}"))
        self.client.on_failed(lambda why: self.said.append(f"failed: {why}"))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait as the loop does: nothing but a wake-up or a time that was asked for ends a wait."""
        give_up = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            due = self.client.advance(time.monotonic())
            if condition():
                return
            wait = give_up - time.monotonic() if due is None else min(due, give_up) - time.monotonic()
            if self.awake.wait(max(0.0, wait)):
                self.awake.clear()
            assert time.monotonic() < give_up, self.said

    def answer(self, answer: Answer[Any]) -> Any:
        answer.add_done_callback(lambda _: self.awake.set())
        self.until(answer.done)
        return answer.result()


@pytest.fixture(params=list(KINDS))
def driven(request: pytest.FixtureRequest) -> Iterator[Driven]:
    with NucleusStandIn(
        KINDS[request.param], component=COMPONENT, configuration=CONFIGURATION, others={"other": {"key": "value"}}
    ) as standin:
        driven = Driven(standin)
        driven.client.connect().result()
        yield driven
        driven.client.close(1.0)


def test_the_door_is_found_in_the_environment_and_tells_the_nuclei_apart(driven: Driven) -> None:
    found = door(driven.standin.environment())
    assert found is not None
    assert found.kind == driven.client.kind == driven.standin.kind.name
    assert driven.standin.token not in repr(found)
    assert door({}) is None
    assert door({"SVCUID": "x"}) is None


def test_the_name_that_it_shows_is_that_of_the_recipe() -> None:
    recipe = json.loads((Path(__file__).resolve().parents[2] / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["ComponentName"] == nucleus.COMPONENT


def test_one_key_of_a_configuration_is_a_map_as_it_is_or_the_key_with_its_value(driven: Driven) -> None:
    assert driven.client.configuration(key="streams").result() == {"vitals": {"qos": 1}}
    assert driven.client.configuration(key="limit").result() == {"limit": 3}
    assert driven.client.configuration("other", "key").result() == {"key": "value"}
    with pytest.raises(NotFound):
        driven.client.configuration(key="nothing").result()


def test_a_configuration_is_read_before_any_loop_runs(driven: Driven) -> None:
    assert driven.client.configuration().result() == CONFIGURATION
    assert driven.client.configuration("other").result() == {"key": "value"}
    assert driven.client.configuration("aws.greengrass.Nucleus").result()["awsRegion"] == "eu-west-1"


def test_what_is_not_there_is_not_found(driven: Driven) -> None:
    with pytest.raises(NotFound, match="ResourceNotFoundError"):
        driven.client.configuration("nobody").result()


def test_lite_has_no_configuration_where_the_recipe_has_no_defaults() -> None:
    with NucleusStandIn(LITE, component=COMPONENT, configuration=None) as standin:
        driven = Driven(standin)
        driven.client.connect().result()
        with pytest.raises(NotFound):
            driven.client.configuration().result()
        driven.client.close(1.0)


def test_a_change_of_the_configuration_is_told_and_then_read(driven: Driven) -> None:
    changes: list[str] = []

    def changed() -> None:
        changes.append("changed")
        driven.awake.set()

    driven.answer(driven.client.watch_configuration(changed))
    assert driven.standin.deploy(merge={"mode": "lifo", "streams": {"vitals": {"qos": 0}}}).succeeded
    driven.until(lambda: changes)
    configuration = driven.answer(driven.client.configuration())
    assert configuration["mode"] == "lifo"
    assert configuration["streams"] == {"vitals": {"qos": 0}}


@pytest.mark.parametrize("objection", [None, "limit: is 3 (allowed: at least 5)"])
def test_classic_asks_before_a_deployment_and_takes_the_judgement(objection: str | None) -> None:
    with NucleusStandIn(CLASSIC, component=COMPONENT, configuration=CONFIGURATION) as standin:
        driven = Driven(standin)
        client, proposals, judged = driven.client, list[Proposal](), list[Answer[None]]()
        client.connect().result()

        def proposed(proposal: Proposal) -> None:
            proposals.append(proposal)
            judged.append(client.judge(proposal.deployment, objection))

        driven.answer(client.watch_proposals(proposed))
        deployment = standin.deploy(merge={"limit": 4})
        assert deployment.succeeded == (objection is None)
        assert objection is None or objection in deployment.reason
        assert [proposal.configuration["limit"] for proposal in proposals] == [4]
        assert [proposal.deployment for proposal in proposals] == [deployment.id]
        driven.answer(judged[0])
        client.close(1.0)


def test_lite_lacks_what_only_classic_has_and_the_connection_stays() -> None:
    with NucleusStandIn(LITE, component=COMPONENT, configuration=CONFIGURATION) as standin:
        driven = Driven(standin)
        driven.client.connect().result()
        for answer in (driven.client.watch_proposals(lambda _: None), driven.client.judge("d", None)):
            with pytest.raises(NucleusFailed, match=r"^ServiceError$"):
                driven.answer(answer)
        assert driven.answer(driven.client.configuration()) == CONFIGURATION
        assert driven.said == []
        driven.client.close(1.0)


def test_what_a_nucleus_says_of_an_error_is_kept_to_one_line(driven: Driven) -> None:
    driven.standin.go_offline()
    with pytest.raises(NucleusFailed) as failure:
        driven.answer(driven.client.publish("telemetry/a", b"secret", 0))
    assert "\n" not in str(failure.value)
    assert "secret" not in str(failure.value)
    assert str(failure.value).startswith("ServiceError")


def test_a_lost_connection_is_told_and_restored_by_its_own_wake_ups(driven: Driven) -> None:
    driven.standin.drop_connections()
    driven.until(lambda: "restored" in driven.said)
    assert [said.partition(":")[0] for said in driven.said] == ["lost", "restored"]
    assert driven.answer(driven.client.configuration()) == CONFIGURATION


def test_a_nucleus_that_is_away_is_tried_until_it_is_back(driven: Driven) -> None:
    driven.standin.stop()
    driven.until(lambda: len(driven.said) > 3)
    assert "there is no such socket" in driven.said[-1]
    with pytest.raises(NotSent):
        driven.client.configuration().result()
    driven.standin.restart()
    driven.until(lambda: "restored" in driven.said)


def test_a_first_attempt_that_fails_is_answered_and_repeated(driven: Driven) -> None:
    driven.standin.stop()
    late = Driven(driven.standin)
    with pytest.raises(ConnectionGone, match="no such socket"):
        late.client.connect().result()
    driven.standin.start()
    late.until(lambda: "restored" in late.said)
    assert late.client.configuration().result() == CONFIGURATION
    late.client.close(1.0)


def test_whoever_comes_second_shares_the_connection(driven: Driven) -> None:
    driven.client.connect().result()
    assert driven.standin.connections == 1


def test_reconnecting_is_answered_once_the_old_connection_is_gone_and_restores_a_new_one(driven: Driven) -> None:
    pending = driven.client.publish("telemetry/a", b"a", 1)
    driven.answer(pending)
    driven.answer(driven.client.reconnect())
    driven.until(lambda: driven.said)
    assert driven.said == ["restored"]
    assert driven.answer(driven.client.configuration()) == CONFIGURATION
    driven.until(lambda: driven.standin.connections == 1 or driven.awake.wait(0.01))


def test_nobody_waits_for_an_answer_for_ever_even_where_no_loop_runs(driven: Driven) -> None:
    with driven.standin.stalled():
        with pytest.raises(ConnectionGone, match=r"no answer within 0\.05 s"):
            driven.client.configuration().result(0.05)
        hasty = Driven(driven.standin, answer_seconds=0.05)
        with pytest.raises(ConnectionGone, match=r"no answer within 0\.05 s"):
            hasty.client.connect().result()
        hasty.client.close(1.0)


def test_an_overdue_answer_is_failed_by_its_own_timer() -> None:
    with NucleusStandIn(LITE, component=COMPONENT, configuration=CONFIGURATION) as standin:
        driven = Driven(standin, answer_seconds=2.0)
        driven.client.connect().result()
        with standin.stalled():
            answer = driven.client.configuration()
            driven.until(answer.done)
            with pytest.raises(ConnectionGone, match="no answer within 2 s"):
                answer.result()
            assert driven.client.unanswered == 1
        driven.until(lambda: driven.client.unanswered == 0 or driven.awake.wait(0.01))
        driven.client.close(1.0)


def test_after_closing_nothing_is_asked_and_what_was_open_has_failed(driven: Driven) -> None:
    with driven.standin.stalled():
        answer = driven.client.configuration()
        driven.client.close(1.0)
        assert isinstance(answer.exception(timeout=0), ConnectionGone)
    for refused in (driven.client.connect(), driven.client.configuration()):
        with pytest.raises(NotSent):
            refused.result()
    assert driven.client.advance(time.monotonic() + 1_000) is None
    driven.client.reconnect()
    driven.client.close()
    assert driven.client.advance(time.monotonic() + 1_000) is None


def test_the_sdk_logs_nothing_for_python_prints_it_where_nobody_set_logging_up(
    driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    driven.answer(driven.client.configuration())
    driven.standin.stop()
    driven.until(lambda: len(driven.said) > 1)
    assert [record for record in caplog.records if record.name.startswith("awsiot")] == []


def test_where_there_is_no_nucleus_the_sdk_is_never_loaded() -> None:
    program = "import sys, weir.cli.run, weir.wiring.assembly, weir.transports.ipc; sys.exit('awsiot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

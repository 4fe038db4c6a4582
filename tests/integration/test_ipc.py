"""Messages by way of a nucleus of either kind, with the SDK's client: what is taken, what is not, what is lost."""

from __future__ import annotations

import gc
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from awscrt.eventstream.rpc import ClientContinuation

from tests.conditions import eventually
from tests.contract.ipc_bench import IpcBench
from tests.nucleus import CLASSIC, LITE, Behaviour
from weir.core.errors import NotTaken, Refused
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted
from weir.core.nucleus import TAKEN_BYTES, ConnectionGone
from weir.core.ports import Statistics
from weir.transports.ipc import REFUSED_MAX_SECONDS, REFUSED_MIN_SECONDS, IpcTransport

TOPIC = "telemetry/gw-17/vitals"
NOTHING = Statistics(0, 0, 0, 0)
Make = Callable[[Behaviour], IpcBench]


@pytest.fixture
def make() -> Iterator[Make]:
    """Give a way to make benches that are connected; they are closed in the end."""
    made: list[IpcBench] = []

    def make_one(behaviour: Behaviour) -> IpcBench:
        made.append(IpcBench(behaviour))
        return start(made[-1])

    yield make_one
    for bench in made:
        bench.close()


@pytest.fixture(params=[CLASSIC, LITE], ids=lambda behaviour: str(behaviour.name))
def bench(request: pytest.FixtureRequest, make: Make) -> IpcBench:
    return make(request.param)


@pytest.fixture
def lite(make: Make) -> IpcBench:
    return make(LITE)


@pytest.fixture
def classic(make: Make) -> IpcBench:
    return make(CLASSIC)


def start(bench: IpcBench) -> IpcBench:
    bench.transport.start()
    bench.until(lambda: heard(bench, Connected), "connected")
    return bench


def heard(bench: IpcBench, kind: type) -> list[Any]:
    return [event for event in list(bench.events) if isinstance(event, kind)]


def connected_again(bench: IpcBench, times: int) -> None:
    bench.until(lambda: len(heard(bench, Connected)) > times, "connected again")


def publish(bench: IpcBench, payload: bytes = b"a", qos: int = 1) -> Future[Any]:
    return bench.transport.publish(TOPIC, payload, qos)


def outcome(bench: IpcBench, operation: Future[Any]) -> BaseException | None:
    bench.until(operation.done, "an outcome")
    return operation.exception()


def refusal(bench: IpcBench, operation: Future[Any]) -> NotTaken:
    error = outcome(bench, operation)
    assert isinstance(error, NotTaken)
    return error


def publish_as_the_loop_does(bench: IpcBench, payloads: list[bytes], after_each: Callable[[], object]) -> int:
    """Publish all of them, again where they were not taken; say how often that was."""
    most = bench.transport.most_outstanding
    assert most is not None
    waiting, out = deque(payloads), dict[Future[Any], bytes]()
    hold_until, refused = 0.0, 0

    def turn() -> bool:
        nonlocal hold_until, refused
        for operation in [operation for operation in out if operation.done()]:
            payload, error = out.pop(operation), operation.exception()
            if isinstance(error, NotTaken):
                assert error.retry_seconds is not None
                waiting.append(payload)
                refused += 1
                hold_until = time.monotonic() + error.retry_seconds
            else:
                assert error is None
        while waiting and time.monotonic() >= hold_until and bench.transport.statistics().incomplete < most:
            payload = waiting.popleft()
            out[publish(bench, payload)] = payload
        after_each()
        return not waiting and not out

    bench.until(turn, "everything is taken")
    return refused


def test_what_is_published_fast_arrives_whole_once_what_was_not_taken_goes_again(bench: IpcBench) -> None:
    payloads = [b"%d" % number for number in range(200)]
    bench.standin.hold_acks()  # the device's few places are given back at the pace of the broker
    refused = publish_as_the_loop_does(bench, payloads, after_each=lambda: bench.standin.release_acks(9))
    bench.standin.release_acks()
    assert sorted(message.payload for message in bench.standin.delivered) == sorted(payloads)
    assert (refused > 0) == (bench.standin.kind is LITE)
    assert bench.events == [Connected(1, session_present=False)]


def test_the_largest_message_passes_and_a_larger_one_is_refused_without_costing_the_connection(bench: IpcBench) -> None:
    largest = TAKEN_BYTES[bench.nucleus.kind] - len(TOPIC)
    with pytest.raises(Refused, match=rf"{largest + len(TOPIC) + 1} bytes .*at most {largest + len(TOPIC)}"):
        publish(bench, b"x" * (largest + 1))
    assert outcome(bench, publish(bench, b"\xff" * largest)) is None
    assert bench.transport.statistics() == NOTHING
    assert bench.events == [Connected(1, session_present=False)]
    assert [len(message.payload) for message in bench.standin.delivered] == [largest]


@pytest.mark.parametrize("qos", [0, 1])
def test_an_empty_message_is_one_too(bench: IpcBench, qos: int) -> None:
    assert outcome(bench, publish(bench, b"", qos)) is None
    assert [(message.payload, message.qos) for message in bench.standin.delivered] == [(b"", qos)]


def test_offline_lite_takes_nothing_and_what_waits_goes_when_it_is_back(lite: IpcBench) -> None:
    lite.standin.go_offline()
    for qos in (0, 1):
        assert "ServiceError, which is all that lite says" in str(refusal(lite, publish(lite, b"a", qos)))
    assert lite.standin.published == []
    lite.standin.go_online()
    assert outcome(lite, publish(lite)) is None
    assert len(lite.standin.delivered) == 1
    assert lite.events == [Connected(1, session_present=False)]


def test_offline_classic_takes_what_its_spooler_has_room_for(classic: IpcBench) -> None:
    classic.standin.go_offline()
    large = b"x" * 100_000
    operations = [publish(classic, large) for _ in range(30)]
    errors = [outcome(classic, operation) for operation in operations]
    refused = [error for error in errors if error is not None]
    assert all(isinstance(error, NotTaken) for error in refused)
    assert "spool" in str(refused[0])
    classic.standin.go_online()
    assert len(classic.standin.delivered) == 30 - len(refused) == 26
    assert outcome(classic, publish(classic, large)) is None


def test_every_refusal_in_a_row_asks_for_a_longer_pause_and_a_success_ends_the_row(lite: IpcBench) -> None:
    transport = IpcTransport(lite.nucleus, lite.events.append, lite.outcomes.append, jitter=lambda: 1.0)
    transport.start()
    lite.until(lambda: transport.advance(lite.now()) is None and len(heard(lite, Connected)) == 2, "connected as well")

    def pause() -> float:
        error = refusal(lite, transport.publish(TOPIC, b"a", 1))
        assert error.retry_seconds is not None
        return error.retry_seconds

    lite.standin.go_offline()
    pauses = [pause() for _ in range(8)]
    assert pauses[:2] == [2 * REFUSED_MIN_SECONDS, 4 * REFUSED_MIN_SECONDS]
    assert pauses == sorted(pauses)
    assert pauses[-1] == REFUSED_MAX_SECONDS
    lite.standin.go_online()
    assert outcome(lite, transport.publish(TOPIC, b"a", 1)) is None
    lite.standin.go_offline()
    assert pause() == pauses[0]


def test_what_is_refused_together_is_one_refusal(lite: IpcBench) -> None:
    lite.standin.go_offline()
    with lite.standin.stalled():
        operations = [publish(lite) for _ in range(10)]
    pauses = [refusal(lite, operation).retry_seconds for operation in operations]
    assert all(pause is not None and pause <= 2 * REFUSED_MIN_SECONDS for pause in pauses)


def test_a_topic_that_is_not_allowed_is_named_with_the_remedy(bench: IpcBench) -> None:
    error = refusal(bench, bench.transport.publish("other/topic", b"a", 1))
    assert "'other/topic'" in str(error)
    assert "accessControl" in str(error)
    assert "\n" not in str(error)
    assert error.retry_seconds == REFUSED_MAX_SECONDS


def test_a_wildcard_never_reaches_the_nucleus(bench: IpcBench) -> None:
    with pytest.raises(Refused, match="wildcard"):
        bench.transport.publish("telemetry/#", b"a", 1)
    assert bench.standin.calls == []


def test_what_has_no_answer_when_the_connection_is_lost_may_have_been_taken(bench: IpcBench) -> None:
    bench.standin.stall()
    operations = [publish(bench) for _ in range(3)]
    bench.standin.stop()
    bench.until(lambda: heard(bench, Interrupted), "the loss is noticed")
    assert {type(outcome(bench, operation)) for operation in operations} == {ConnectionGone}
    assert bench.transport.statistics() == NOTHING
    assert sorted(map(id, bench.outcomes)) == sorted(map(id, operations))


def test_with_no_connection_a_message_is_not_taken(bench: IpcBench) -> None:
    bench.standin.stop()
    bench.until(lambda: heard(bench, Interrupted), "the loss is noticed")
    assert isinstance(publish(bench).exception(timeout=0), NotTaken)
    bench.standin.release()
    bench.standin.start()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "connected again")
    assert outcome(bench, publish(bench)) is None


def test_a_loss_that_the_loop_has_not_seen_yet_is_no_twin_either(bench: IpcBench) -> None:
    bench.standin.stop()
    eventually(lambda: bench.nucleus.publish(TOPIC, b"a", 1).done(), what="the client has noticed")
    assert isinstance(publish(bench).exception(timeout=0), NotTaken)


def test_after_a_restart_of_the_daemon_it_comes_back_though_lite_refuses_the_token_for_ever(bench: IpcBench) -> None:
    for restarts in (1, 2):
        bench.standin.restart()
        connected_again(bench, restarts)
        assert outcome(bench, publish(bench)) is None
    assert [type(event) for event in bench.events] == [Connected, Interrupted, Connected, Interrupted, Connected]
    assert {event.generation for event in bench.events} == {1}


def test_a_token_that_was_never_good_is_told_and_lite_takes_the_name(bench: IpcBench) -> None:
    stranger = IpcBench(bench.standin.kind)
    try:
        stranger.standin.token = secrets.token_hex()
        stranger.transport.start()
        stranger.until(lambda: len(heard(stranger, ConnectFailed)) == 1, "the token is refused")
        assert "token SVCUID" in heard(stranger, ConnectFailed)[0].reason
        if stranger.standin.kind is LITE:
            stranger.until(lambda: heard(stranger, Connected), "the name will do")
        else:
            stranger.until(lambda: len(heard(stranger, ConnectFailed)) > 2, "the name will not do")
            assert "component name io.weir.Forwarder" in heard(stranger, ConnectFailed)[1].reason
            assert "token SVCUID" in heard(stranger, ConnectFailed)[2].reason
    finally:
        stranger.close()


def test_an_answer_that_is_overdue_is_no_answer_and_keeps_its_place_until_it_comes(bench: IpcBench) -> None:
    with bench.standin.stalled():
        operation = publish(bench)
        due = bench.transport.advance(bench.now())
        assert due is not None
        assert due > bench.now()
        bench.ahead += 10.1
        error = outcome(bench, operation)
        assert type(error) is ConnectionGone
        assert "no answer within 10 s" in str(error)
        assert bench.transport.statistics().incomplete == 1
    bench.until(lambda: bench.transport.statistics() == NOTHING, "the late answer came")
    assert len(bench.standin.delivered) == 1
    assert bench.outcomes == [operation]
    assert outcome(bench, publish(bench)) is None
    assert bench.events == [Connected(1, session_present=False)]


def test_a_connection_that_is_not_accepted_in_time_is_tried_again(bench: IpcBench) -> None:
    bench.standin.stall()
    bench.standin.drop_connections()
    bench.until(lambda: heard(bench, Interrupted), "the loss is noticed")
    bench.transport.replace()
    for attempts in (1, 2):

        def failed(times: int = attempts) -> bool:
            bench.ahead += 1
            return len(heard(bench, ConnectFailed)) == times

        bench.until(failed, "given up")
    assert all("no answer within 10 s" in event.reason for event in heard(bench, ConnectFailed))
    assert all("token SVCUID" in event.reason for event in heard(bench, ConnectFailed))
    bench.standin.release()
    bench.until(lambda: heard(bench, Connected)[-1].generation == 2, "connected")


def test_answered_calls_leave_no_stream_behind(bench: IpcBench) -> None:
    for _ in range(20):
        assert outcome(bench, publish(bench)) is None

    def streams() -> list[object]:
        gc.collect()
        return [found for found in gc.get_objects() if isinstance(found, ClientContinuation)]

    bench.until(lambda: not streams(), "the streams are closed")
    bench.standin.go_offline()
    for _ in range(5):
        outcome(bench, publish(bench, qos=0))
    bench.until(lambda: not streams(), "those of refusals too")
    assert bench.standin.connections == 1


def test_replacing_the_connection_fails_what_it_held_after_closed(bench: IpcBench) -> None:
    bench.standin.stall()
    operations = [publish(bench) for _ in range(3)]
    bench.transport.replace()
    assert bench.transport.generation == 2
    assert bench.transport.statistics() == NOTHING
    order: list[type] = []
    operations[0].add_done_callback(lambda _: order.extend(map(type, bench.events)))
    bench.until(lambda: all(operation.done() for operation in operations), "they fail")
    assert order == [Connected, Closed]
    assert {type(operation.exception()) for operation in operations} == {ConnectionGone}
    bench.standin.release()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "the new one is up")
    assert [type(event) for event in bench.events] == [Connected, Closed, Connected]


def test_closing_waits_for_no_answer_and_fails_what_has_none(bench: IpcBench) -> None:
    bench.standin.stall()
    operations = [publish(bench, b"x" * 6_000) for _ in range(10)]
    bench.transport.close(0.5)
    assert all(operation.done() and operation.exception() is not None for operation in operations)
    assert bench.transport.advance(bench.now()) is None
    with pytest.raises(RuntimeError):
        publish(bench)


def test_a_nucleus_that_is_shared_outlives_the_transport(bench: IpcBench) -> None:
    events: list[Any] = []
    shared = IpcTransport(bench.nucleus, events.append, lambda _: None)
    shared.start()
    bench.until(lambda: shared.advance(bench.now()) is None and events, "it uses the connection that there is")
    assert bench.standin.connections == 1
    with bench.standin.stalled():
        operation = shared.publish(TOPIC, b"a", 1)
        shared.close(0.5)
        assert isinstance(operation.exception(timeout=0), ConnectionGone)
    assert outcome(bench, publish(bench)) is None
    bench.standin.restart()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "the other user has a connection again")
    assert [type(event) for event in events] == [Connected]

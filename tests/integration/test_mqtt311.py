"""What only the real client library does, with a real broker: threads, files, certificates, silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from awscrt import mqtt

from tests.broker import Broker
from tests.certificates import Certificates
from tests.conditions import eventually
from tests.contract.bench_steps import delivered, heard, publish, start
from tests.contract.benches import RealBench
from weir.core.events import Closed, Connected, ConnectFailed, ConnectionEvent, Interrupted
from weir.transports.mqtt311 import Mqtt311Transport

NEVER_SECONDS = 60  # a pause of the client's own that no test waits for
Make = Callable[..., RealBench]


@pytest.fixture
def make(broker: Broker) -> Iterator[Make]:
    """Give a way to make benches on one broker, with settings of their own; they are closed in the end."""
    made: list[RealBench] = []

    def make_one(**changes: object) -> RealBench:
        made.append(RealBench(broker, **changes))
        return made[-1]

    yield make_one
    for bench in made:
        bench.close()


def test_an_object_that_waits_for_its_own_next_attempt_is_given_up_in_time(make: Make, broker: Broker) -> None:
    bench = start(make(reconnect_min_seconds=NEVER_SECONDS, reconnect_max_seconds=NEVER_SECONDS))
    broker.kill()
    bench.until(lambda: heard(bench, Interrupted), "the loss is noticed")
    publish(bench, b"left behind")
    bench.transport.replace()
    now = time.monotonic()
    assert bench.transport.advance(now) == now + 10
    assert not heard(bench, Closed)
    broker.start()
    bench.transport.advance(now + 10)
    assert bench.events[-1] == Closed(1)
    bench.until(lambda: len(heard(bench, Connected)) == 2, "the next one is up")
    futures = publish(bench, b"new")
    bench.until(lambda: delivered(futures), "it delivers")
    assert [message.payload for message in bench.received()] == [b"new"]
    assert heard(bench, Closed) == [Closed(1)]


@pytest.mark.parametrize("broken", ["certificate", "private_key", "ca"])
def test_a_file_that_is_no_certificate_is_said_to_be_none(make: Make, tmp_path: Path, broken: str) -> None:
    (tmp_path / "secret").write_text("no PEM at all")
    bench = make(**{broken: str(tmp_path / "secret")})
    bench.transport.start()
    [failed] = heard(bench, ConnectFailed)
    assert "not PEM" in failed.reason
    assert "no PEM at all" not in failed.reason


def test_operations_of_others_on_the_same_connection_show_in_the_statistics(make: Make, broker: Broker) -> None:
    bench = start(make())
    broker.freeze()
    assert bench.transport.connection is not None
    for number in range(20):
        bench.transport.connection.publish("others", b"%d" % number, mqtt.QoS.AT_LEAST_ONCE)
    assert bench.transport.statistics().incomplete == 20
    broker.thaw()
    bench.until(lambda: bench.transport.statistics().incomplete == 0, "the others have their answers")
    assert bench.outcomes == []


class Unwelcome:
    """Attempts that our side refuses: the client library keeps silent about them for 10 to 30 seconds."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[ConnectionEvent] = []
        wrong: list[dict[str, object]] = [
            {"ca": broker.certificates.stranger_ca},
            {"endpoint": "127.0.0.2"},  # a name that the broker's certificate does not have
            {"ca": None},  # the system's authorities do not know ours
        ]
        self.transports = [
            Mqtt311Transport(broker.connection(**changes), "gw-17", self.heard.append, lambda _: None)
            for changes in wrong
        ]


@pytest.fixture(scope="module", autouse=True)
def unwelcome(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Unwelcome]:
    """Begin the slow refusals with the first test, so that the last one finds them done."""
    broker = Broker(tmp_path_factory.mktemp("broker"), certificates, also_at="127.0.0.2")
    broker.start()
    attempts = Unwelcome(broker)
    for transport in attempts.transports:
        transport.start()
    yield attempts
    for transport in attempts.transports:
        transport.close(0)
    broker.close()


def test_a_broker_that_does_not_prove_itself_is_never_spoken_to(unwelcome: Unwelcome) -> None:
    eventually(lambda: len(unwelcome.heard) == 3, seconds=90, what="wrong CA, wrong host name, unknown CA are refused")
    assert [type(event) for event in unwelcome.heard] == [ConnectFailed] * 3
    assert all("certificate" in event.reason for event in unwelcome.heard if isinstance(event, ConnectFailed))

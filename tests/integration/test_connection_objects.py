"""The life of a connection object, on both protocols: threads, files, attempts and their end, with a real broker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.broker import Broker
from tests.certificates import Certificates, Identity
from tests.conditions import eventually
from tests.contract.bench_steps import delivered, heard, publish, start
from tests.contract.benches import BrokerBench, RealBench
from tests.contract.mqtt5_bench import Mqtt5Bench
from weir.core.events import Closed, Connected, ConnectFailed, Interrupted

Bench: TypeAlias = BrokerBench[Any]
Make = Callable[..., Bench]


@pytest.fixture(params=[RealBench, Mqtt5Bench])
def make(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Give a way to make benches on one broker, with settings of their own; they are closed in the end."""
    made: list[Bench] = []

    def make_one(**changes: object) -> Bench:
        made.append(request.param(broker, **changes))
        return made[-1]

    yield make_one
    for bench in made:
        bench.close()


@pytest.fixture
def identity(tmp_path: Path, certificates: Certificates) -> Identity:
    """Give a certificate and key that a test may exchange."""
    ours = Identity(str(tmp_path / "device.pem"), str(tmp_path / "device.key"))
    exchange(ours, certificates.client)
    return ours


def exchange(old: Identity, new: Identity) -> None:
    shutil.copy(new.certificate, old.certificate)
    shutil.copy(new.key, old.key)


def client_threads() -> set[str]:
    """Give the ids of the threads that serve connections of the client library."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        try:
            name = (thread / "comm").read_text()
        except OSError:
            continue  # it ended while we looked
        if name.startswith("AwsEventLoop"):
            found.add(thread.name)
    return found


def test_everything_arrives_in_order_byte_for_byte(make: Make) -> None:
    bench = start(make())
    payloads = [b"%d:" % number + bytes(range(256)) * (number % 5) for number in range(3_000)] + [b"x" * 120_000, b""]
    futures = publish(bench, *payloads)
    bench.until(lambda: len(bench.received()) == len(payloads), "all are there")
    assert [message.payload for message in bench.received()] == payloads
    bench.until(lambda: delivered(futures), "all are answered")


def test_one_native_thread_serves_a_connection_and_ends_with_it(make: Make) -> None:
    before = client_threads()
    bench = start(make())
    assert len(client_threads() - before) == 1
    bench.transport.replace()
    bench.until(lambda: len(heard(bench, Connected)) == 2, "the next one is up")
    assert len(client_threads() - before) == 1
    bench.transport.close(5)
    eventually(lambda: not client_threads() - before, what="the thread ended")


def test_a_first_attempt_that_hangs_can_be_given_up(make: Make, broker: Broker) -> None:
    bench = make()
    broker.freeze()
    bench.transport.start()
    bench.transport.replace()
    bench.turn()
    bench.ahead = 11
    bench.turn()
    assert heard(bench, Closed) == [Closed(1)]
    broker.thaw()
    # Both get up under one client id; the old one leaves at once, whatever it did to the new one comes back.
    bench.until(lambda: 2 in [event.generation for event in heard(bench, Connected)], "the next one is up")
    futures = publish(bench, b"new")
    bench.until(lambda: delivered(futures), "it delivers")
    assert heard(bench, Closed) == [Closed(1)]


def test_close_leaves_no_attempt_behind(make: Make, broker: Broker) -> None:
    before = client_threads()
    bench = make()
    broker.freeze()
    bench.transport.start()
    bench.transport.close(0.5)  # comes back, although the attempt hangs
    broker.thaw()
    eventually(lambda: not client_threads() - before, what="whatever came of the attempt has ended")


def test_who_takes_the_client_id_interrupts_and_gives_it_back(make: Make) -> None:
    first = start(make())
    second = start(make())
    first.until(lambda: heard(first, Interrupted), "the first was thrown out")
    second.transport.close(5)
    first.until(lambda: isinstance(first.events[-1], Connected), "it is back")
    futures = publish(first, b"a")
    first.until(lambda: delivered(futures), "it delivers")


def test_a_client_whose_certificate_is_refused_is_told_so_and_takes_a_new_one(
    make: Make, identity: Identity, certificates: Certificates
) -> None:
    exchange(identity, certificates.stranger)
    bench = make(certificate=identity.certificate, private_key=identity.key)
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "it was refused")
    assert "certificate" in heard(bench, ConnectFailed)[0].reason
    exchange(identity, certificates.client)
    bench.until(lambda: heard(bench, Connected), "the new one is accepted")


def test_a_missing_key_is_named_and_waited_for(make: Make, identity: Identity, certificates: Certificates) -> None:
    Path(identity.key).unlink()
    bench = make(certificate=identity.certificate, private_key=identity.key)
    bench.transport.start()
    assert bench.events == [ConnectFailed(1, f"No such file or directory: {identity.key}")]
    exchange(identity, certificates.client)
    bench.until(lambda: heard(bench, Connected), "it connects once it is there")

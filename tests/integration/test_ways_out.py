"""Networks that let little out: an HTTP proxy, the port of HTTPS, or nothing; the same for both versions of MQTT."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.answering import MQTT_ON_HTTPS_PORT, answering_broker
from tests.broker import Broker
from tests.certificates import Certificates
from tests.contract.benches import RealBench
from tests.contract.mqtt5_bench import Mqtt5Bench
from tests.integration.http_proxy import http_proxy
from weir.core.events import Connected, ConnectFailed, Interrupted
from weir.transports import mutual_tls
from weir.transports.approach import HTTPS_PORT

Bench = RealBench | Mqtt5Bench
Make = Callable[..., Bench]


@pytest.fixture(params=[RealBench, Mqtt5Bench])
def make(request: pytest.FixtureRequest, broker: Broker) -> Iterator[Make]:
    """Give a way to make benches of one protocol on one broker; they are closed in the end."""
    made: list[Bench] = []

    def make_one(**changes: object) -> Bench:
        made.append(request.param(broker, **changes))
        return made[-1]

    yield make_one
    for bench in made:
        bench.close()


def heard(bench: Bench, kind: type) -> list[Any]:
    return [event for event in list(bench.events) if isinstance(event, kind)]


def complaint(bench: Bench) -> str:
    bench.transport.start()
    bench.until(lambda: heard(bench, ConnectFailed), "the attempt failed")
    reason: str = heard(bench, ConnectFailed)[0].reason
    return reason


def deliver(bench: Bench) -> None:
    bench.until(lambda: heard(bench, Connected), "connected")
    future = bench.transport.publish("a/b", b"a", 1)
    bench.until(future.done, "an answer")
    assert future.exception() is None


def test_it_goes_through_a_proxy_by_the_name_of_the_broker_and_comes_back_through_it(
    make: Make, broker: Broker
) -> None:
    with http_proxy() as (port, targets):
        bench = make(proxy_host="127.0.0.1", proxy_port=port)
        bench.transport.start()
        deliver(bench)
        broker.restart()
        bench.until(lambda: len(heard(bench, Connected)) == 2, "it is back")
        deliver(bench)
        assert set(targets) == {f"localhost:{broker.port}"}
        assert len(targets) >= 2
        bench.transport.close(5)


def test_a_proxy_that_is_down_is_told_and_waited_for(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    bench = make(proxy_host="127.0.0.1", proxy_port=port)
    assert "nothing listens at that address and port" in complaint(bench)


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("403 Forbidden", "the proxy did not let it through"),
        ("407 Proxy Authentication Required", "the proxy "),
        ("502 Bad Gateway", "the proxy did not let it through"),
    ],
)
def test_a_proxy_that_refuses_is_told_to_do_so(make: Make, broker: Broker, status: str, what: str) -> None:
    with http_proxy(status) as (port, targets):
        bench = make(proxy_host="127.0.0.1", proxy_port=port)
        assert what in complaint(bench)
        assert targets[0] == f"localhost:{broker.port}"
        assert not heard(bench, Connected)
        bench.transport.close(5)


@pytest.mark.parametrize("https", [True, False])
def test_mqtt_is_asked_for_by_alpn_on_the_port_of_https_and_nowhere_else(
    make: Make,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    https: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert HTTPS_PORT == 443
    with answering_broker(certificates, lambda _: 0) as answering:
        if https:  # only root may listen at 443, so another port takes its part
            monkeypatch.setattr(mutual_tls, "HTTPS_PORT", answering.port)
        bench = make(port=answering.port)
        bench.transport.start()
        bench.until(lambda: answering.protocols, "the handshake")
        assert answering.protocols[0] == (MQTT_ON_HTTPS_PORT if https else None)
        bench.transport.close(5)


def test_a_silent_broker_is_noticed_by_the_keep_alive(make: Make, broker: Broker) -> None:
    bench = make(keep_alive_seconds=3, ping_timeout_seconds=1)
    bench.transport.start()
    deliver(bench)
    broker.freeze()
    future = bench.transport.publish("a/b", b"in flight", 1)
    bench.until(lambda: heard(bench, Interrupted), "the silence is noticed")
    assert "no answer in time" in heard(bench, Interrupted)[0].reason
    broker.thaw()
    bench.until(future.done, "it is delivered in the end")
    assert future.exception() is None

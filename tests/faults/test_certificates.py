"""Certificates that do not do: nobody is spoken to, nothing is lost, and it goes on once they do.

The client library says nothing of a broker that it refuses for up to half a minute, so those cases wait side by side.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.broker import Broker
from tests.certificates import Identity
from tests.faults.authority import Authority
from tests.faults.frame import Tally
from tests.faults.linklife import Gateway, LinkLife
from tests.faults.relay import Relay


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def begin_broker(stack: ExitStack, directory: Path, authority: Authority, server: Identity) -> Broker:
    directory.mkdir()
    broker = Broker(directory, authority.certificates(server))
    stack.callback(broker.close)
    broker.start()
    return broker


def test_a_device_whose_certificate_has_expired_says_so_and_goes_on_with_a_new_one(
    stack: ExitStack, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    broker = begin_broker(stack, tmp_path / "broker", authority, authority.server())
    expired, good = authority.client(expired=True), authority.client()
    used = Identity(str(tmp_path / "device.pem"), str(tmp_path / "device.key"))
    exchange(used, expired)
    gateway = Gateway(tmp_path / "gateway", broker, certificate=used.certificate, privateKey=used.key)
    life = LinkLife(gateway, broker)
    stack.callback(life.close)
    life.start()
    life.feed()
    status = life.until(lambda s: reasons(s) & {"certificateExpired"}, "it says that its certificate has expired")
    assert status["state"] != "online"
    assert not life.observer.messages
    exchange(used, good)
    life.settles()
    life.until(lambda s: not reasons(s) & {"certificateExpired"}, "it is not said any more")
    judge(life, "the device's certificate expired")


def exchange(used: Identity, new: Identity) -> None:
    shutil.copy(new.certificate, used.certificate)
    shutil.copy(new.key, used.key)


def reasons(status: dict[str, list[dict[str, str]]]) -> set[str]:
    return {one["reason"] for one in status["degraded"]}


class Case(NamedTuple):
    """A gateway, and the way that first leads it to a broker that does not prove itself."""

    name: str
    life: LinkLife
    relay: Relay
    bad: Broker


@pytest.fixture
def cases(stack: ExitStack, tmp_path: Path) -> list[Case]:
    ours, stranger = Authority(tmp_path), Authority(tmp_path)
    good = begin_broker(stack, tmp_path / "good", ours, ours.server())
    bad = {
        "the broker's certificate expired": begin_broker(stack, tmp_path / "1", ours, ours.server(expired=True)),
        "a certificate for another host": begin_broker(stack, tmp_path / "2", ours, ours.server("other.weir.test")),
        "a broker of another authority": begin_broker(stack, tmp_path / "3", stranger, stranger.server()),
    }
    made = []
    for number, (name, broker) in enumerate(bad.items()):
        relay = stack.enter_context(Relay(broker.port).running())
        gateway = Gateway(tmp_path / f"gateway-{number}", good, relay.port, name=f"gateway{number}")
        life = LinkLife(gateway, good)
        stack.callback(life.close)
        made.append(Case(name, life, relay, broker))
    return made


def test_a_broker_that_does_not_prove_itself_gets_nothing_and_the_right_one_gets_all_of_it(cases: list[Case]) -> None:
    spies = [case.bad.observe() for case in cases]
    for case in cases:
        case.life.start()
        case.life.feed()
    for case in cases:
        was_refused(case.life)
        assert "certificate" in case.life.log()
    assert not any(spy.messages for spy in spies)
    for case, spy in zip(cases, spies, strict=True):
        case.relay.target = case.life.broker.port
        case.life.settles()
        assert not spy.messages
        judge(case.life, case.name)


def was_refused(life: LinkLife) -> None:
    life.until(lambda _: "event=connect_failed" in life.log(), "the broker was refused")


def judge(life: LinkLife, fault: str) -> None:
    tally = Tally(fault)
    tally.add(life.finish(), log=life.log())
    tally.close()

"""A black hole between two network namespaces: frames vanish, in both directions or in one, and nobody is told."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.faults.authority import HERE, Authority
from tests.faults.frame import LONG, Tally, run_tool
from tests.faults.linklife import Gateway, LinkLife

ROUNDS = 8 if LONG else 1
FAULTS = ["everything_vanishes", "answers_vanish", *(["unplugged"] if LONG else [])]


class Network:
    """A namespace for the device, and a cable of two ends: ours at the broker's side, theirs in the namespace."""

    def __init__(self) -> None:
        """Name everything after this process, so that two runs do not meet."""
        number = os.getpid() % 16_000
        self.name = f"weir{os.getpid()}"
        self.ours, self.theirs = f"wo{os.getpid()}", f"wt{os.getpid()}"
        network = f"10.213.{number // 64}.{number % 64 * 4}"
        base, last = network.rsplit(".", 1)
        self.address, self._other = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"

    def make(self) -> str:
        """Make it; give what went wrong, empty if nothing did."""
        commands = [
            f"ip netns add {self.name}",
            f"ip link add {self.ours} type veth peer name {self.theirs}",
            f"ip link set {self.theirs} netns {self.name}",
            f"ip addr add {self.address}/30 dev {self.ours}",
            f"ip link set {self.ours} up",
            f"ip -n {self.name} addr add {self._other}/30 dev {self.theirs}",
            f"ip -n {self.name} link set {self.theirs} up",
            f"ip -n {self.name} link set lo up",
            f"tc qdisc add dev {self.ours} root bfifo limit 1mb",
            f"tc -n {self.name} qdisc add dev {self.theirs} root bfifo limit 1mb",
        ]
        for command in commands:
            if why := _run(command):
                return why
        return ""

    def close(self) -> None:
        _run(f"ip link del {self.ours}")
        _run(f"ip netns del {self.name}")

    def answers_vanish(self, *, vanish: bool) -> None:
        """Throw away what the broker's side sends; a queue of one byte takes no frame."""
        _run(f"tc qdisc replace dev {self.ours} root bfifo limit {'1' if vanish else '1mb'}")

    def everything_vanishes(self, *, vanish: bool) -> None:
        """Throw away what either side sends."""
        self.answers_vanish(vanish=vanish)
        _run(f"tc -n {self.name} qdisc replace dev {self.theirs} root bfifo limit {'1' if vanish else '1mb'}")

    def unplugged(self, *, vanish: bool) -> None:
        """Pull the cable at the broker's side."""
        _run(f"ip link set {self.ours} {'down' if vanish else 'up'}")


def sweep() -> None:
    """Take away the namespaces that tests which were killed have left; their cables go with them."""
    for line in run_tool("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        number = name.removeprefix("weir")
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            _run(f"ip netns del {name}")


def _run(command: str) -> str:
    try:
        done = run_tool(*command.split())
    except FileNotFoundError as error:
        return f"no {error.filename}"
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    if os.geteuid():
        pytest.skip("SKIP: only root makes network namespaces")
    try:
        with contextlib.suppress(FileNotFoundError):
            sweep()
        if why := network.make():
            pytest.skip(f"SKIP: no network namespace with a cable here: {why}")
        yield network
    finally:
        network.close()


@pytest.fixture
def life(tmp_path: Path, network: Network) -> Iterator[LinkLife]:
    authority = Authority(tmp_path)
    (tmp_path / "broker").mkdir()
    certificates = authority.certificates(authority.server(*HERE, network.address))
    with ExitStack() as stack:
        broker = Broker(tmp_path / "broker", certificates, also_at=network.address)
        stack.callback(broker.close)
        broker.start()
        gateway = Gateway(tmp_path / "gateway", broker, endpoint=network.address)
        gateway.prefix = ["ip", "netns", "exec", network.name]
        life = LinkLife(gateway, broker)
        stack.callback(life.close)
        yield life


@pytest.mark.parametrize("fault", FAULTS)
def test_a_black_hole_is_noticed_and_what_it_swallowed_arrives_after_it(
    life: LinkLife, network: Network, fault: str
) -> None:
    life.start()
    life.feed()
    life.delivers()
    for _ in range(ROUNDS):
        life.feed()
        getattr(network, fault)(vanish=True)
        life.feed()
        life.loses_the_link()
        life.feed()
        getattr(network, fault)(vanish=False)
        life.settles()
    tally = Tally(f"black hole: {fault.replace('_', ' ')}")
    tally.add(life.finish(), log=life.log(), trials=ROUNDS)
    tally.close()

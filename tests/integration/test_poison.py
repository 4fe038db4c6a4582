"""A message that a real broker hangs up on, in the middle of others that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.certificates import Certificates
from tests.device import Device

LARGEST_PACKET = 2_000


@pytest.fixture
def device(tmp_path: Path, certificates: Certificates) -> Iterator[Device]:
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory, certificates, extra=f"max_packet_size {LARGEST_PACKET}")
    broker.start()
    device = Device(tmp_path / "device", broker)
    yield device
    device.close()
    broker.close()


def test_it_is_set_aside_and_the_rest_arrives(device: Device) -> None:
    assert device.broker is not None
    observer = device.broker.observe()
    fed = [b"%06d " % number + b"x" * (3 * LARGEST_PACKET if number == 100 else 20) for number in range(300)]
    (device.inbox / "a.log").write_bytes(b"\n".join(fed) + b"\n")
    device.start()
    status = device.until(lambda s: s["records"]["delivered"] == 299, seconds=120, what="all the others are delivered")
    assert status["records"]["quarantined"]["refused"] == 1
    [told] = [line for line in device.log().splitlines() if "event=quarantined" in line]
    assert "the broker hangs up on it" in told
    assert "xxx" not in device.log()
    interruptions = device.log().count("event=interrupted")
    (device.inbox / "b.log").write_bytes(b"and it goes on\n")
    device.until(lambda s: s["records"]["delivered"] == 300)
    assert device.log().count("event=interrupted") == interruptions
    assert device.terminate() == 0
    received = {message.payload for message in observer.messages}
    assert received == {*fed[:100], *fed[101:], b"and it goes on"}

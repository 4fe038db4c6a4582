"""What a hostile neighbour could make it use up: memory by lines, packed files and messages; the disk by records."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.device import Device
from tests.faults.frame import LONG
from tests.faults.guard import Guard, message
from weir.transports.mqtt5 import LARGEST_BYTES

MOST_MEMORY = 500 << 20  # of addresses: what is mapped of the interpreter and the client library counts too
MEMBER = gzip.compress(bytes(16 << 20))
MEMBERS = 256 if LONG else 20  # 4 GiB, or 320 MiB, which with what it has anyway is too much
LARGEST = (64 if LONG else 32) << 20  # of a message: the client library holds the whole of it
MAXIMUM_PACKET_SIZE = b"\x27"  # the property of MQTT 5 by which a client says so
FORMATS = ["lines", "jsonl", "csv", "json", "file"]


class Capped(Device):
    """A device that may map only so much memory."""

    def command(self, *words: str) -> list[str]:
        return ["prlimit", f"--as={MOST_MEMORY}", *super().command(*words)]


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    device = Capped(tmp_path, broker)
    yield device
    device.close()


def test_one_line_larger_than_its_memory_is_set_aside_and_the_rest_arrives(device: Device, broker: Broker) -> None:
    observer = broker.observe()
    with (device.inbox / "huge.log").open("wb") as file:
        file.write(b"before\n")
        file.truncate(2 * MOST_MEMORY)  # a line of zero bytes, that takes no room on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"\nafter\n")
    assert device.run("--once") == 0, device.log()
    assert sorted(message.payload for message in observer.wait_for(2)) == [b"after", b"before"]
    records = device.status("--verify")["records"]
    assert (records["read"], records["quarantined"]["tooLarge"]) == (3, 1)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_packed_file_that_is_larger_than_its_memory_is_set_aside_and_the_next_one_arrives(
    device: Device, broker: Broker, fmt: str
) -> None:
    observer = broker.observe()
    (device.inbox / "bomb.gz").write_bytes(gzip.compress(b'"') + MEMBERS * MEMBER + gzip.compress(b"\n"))
    last = b"a,b\n1,2\n" if fmt == "csv" else b'{"last":1}\n'
    (device.inbox / "last.gz").write_bytes(gzip.compress(last))
    assert device.run("--once", streams__telemetry__source__format=fmt) == 0, device.log()
    records = device.status("--verify")["records"]
    assert (records["delivered"], records["quarantinedTotal"]) == (1, 1), records
    [arrived] = observer.wait_for(1)
    assert arrived.payload.strip() in {last.strip(), b'{"a":1,"b":2}'}


def test_what_is_packed_in_a_packed_file_stays_packed(device: Device, broker: Broker) -> None:
    observer = broker.observe()
    inner = gzip.compress(b"inside\n", mtime=0)
    (device.inbox / "outer.gz").write_bytes(gzip.compress(inner))
    assert device.run("--once", streams__telemetry__source__format="file") == 0, device.log()
    assert [arrived.payload for arrived in observer.wait_for(1)] == [inner]


@pytest.mark.parametrize("protocol", ["mqtt311", "mqtt5"])
def test_messages_that_nobody_asked_for_harm_nobody(device: Device, broker: Broker, protocol: str) -> None:
    properties = b"\0" if protocol == "mqtt5" else b""
    flood = [message(b"any/topic", bytes(100_000), properties=properties)] * 500
    flood += [message(b"any/topic", b"x", packet_id=number, properties=properties) for number in range(1, 200)]
    flood.append(message(b"any/topic", bytes(LARGEST), properties=properties))
    observer = broker.observe("telemetry/#")
    guard = Guard(broker.certificates, observer.path, lambda *_: True)
    guard.flood = flood
    with guard.running():
        (device.inbox / "a.log").write_bytes(b"".join(b"%d\n" % number for number in range(500)))
        device.start(connection__port=guard.port, connection__protocol=protocol)
        observer.wait_for(500)
        device.until(lambda status: status["records"]["delivered"] == 500)
        assert "any/topic" not in device.log()
        told = MAXIMUM_PACKET_SIZE + LARGEST_BYTES.to_bytes(4, "big")
        assert all((told in connect) == (protocol == "mqtt5") for connect in guard.connects)
        assert device.terminate() == 0


def kept_on_disk(state: Path) -> int:
    kept = 0
    for path in state.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            kept += 512 * path.stat().st_blocks
    return kept


def test_what_it_keeps_on_the_disk_is_bounded(device: Device, broker: Broker) -> None:
    broker.stop()  # a directory is read past a full queue only while nothing goes
    mebibyte, largest = 1 << 20, 0
    (device.inbox / "a.jsonl").write_bytes(b"".join(b'{"n":%d,"pad":"%0200d"}\n' % (n, n) for n in range(100_000)))
    (device.inbox / "b.jsonl").write_bytes(b"".join(b"%0200d no JSON\n" % number for number in range(20_000)))
    device.start(
        streams__telemetry__queue__mode=3,
        streams__telemetry__queue__maxBytes=mebibyte,
        streams__telemetry__queue__maxRecords="none",
        state__quarantineMaxBytes=mebibyte,
    )

    def is_read(status: dict[str, Any]) -> bool:
        nonlocal largest
        largest = max(largest, kept_on_disk(device.state))
        return bool(status["records"]["read"] == 120_000)

    device.until(is_read, 120)
    assert device.status()["records"]["droppedTotal"] > 90_000
    assert device.terminate() == 0
    assert largest < 16 * mebibyte  # two of records, one of reserve, the rest for the log and what is being rewritten

"""How long a message waits to be full: never for ever, never past its linger, and never in a busy loop."""

from __future__ import annotations

import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loop import Loop

Make = Callable[..., Loop]
BY_UNIT = {"topic": "telemetry/{record.unit}"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    loops: list[Loop] = []

    def start(batch: dict[str, Any], stream: dict[str, Any] | None = None, **options: Any) -> Loop:
        source = {"path": str(tmp_path / "a"), "format": "jsonl"}
        stream = {"queue": {"mode": 4}, "source": source, "batch": batch, **(stream or {})}
        loop = Loop(tmp_path, {"a": stream}, **options)
        loops.append(loop)
        loop.run(1)
        return loop

    yield start
    for loop in loops:
        loop.close()


def numbered(count: int, begin: int = 0) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(begin, begin + count)]


def of_units(*units: str) -> list[bytes]:
    return [b'{"unit":"%s"}' % unit.encode() for unit in units]


# `Loop.run` fails where the loop turns without waiting.


def test_a_linger_that_ends_while_the_link_is_down_wakes_nobody(make: Make) -> None:
    loop = make({"maxRecords": 50, "lingerMs": 5_000})
    loop.write("a", *numbered(2))
    loop.run(1)
    loop.transport.interrupt()
    loop.run(30)
    loop.transport.resume(session_present=True)
    loop.run(1)
    assert loop.received == [b"\n".join(numbered(2))]


def test_a_linger_that_ends_in_a_pause_wakes_nobody(make: Make) -> None:
    loop = make({"maxRecords": 50, "lingerMs": 5_000})
    loop.write("a", *numbered(2))
    loop.run(1)
    loop.forwarder.paused = True
    loop.run(30)
    loop.forwarder.paused = False
    loop.run(1)
    assert loop.received == [b"\n".join(numbered(2))]


def test_a_pace_that_held_when_the_link_was_lost_wakes_nobody(make: Make) -> None:
    loop = make({"maxRecords": 2}, pace={"publishesPerSecond": 2, "bytesPerSecond": None})
    loop.write("a", *numbered(100))
    loop.run(3)
    assert loop.forwarder.held_by == "pace"
    loop.transport.interrupt()
    loop.run(30)


def test_a_linger_that_ends_while_the_gate_holds_another_message_wakes_nobody(make: Make) -> None:
    gate = {"maxInFlightBytes": 300, "maxIncompleteBytes": 300}
    loop = make({"maxRecords": 5, "lingerMs": 5_000}, BY_UNIT, gate=gate)
    loop.transport.hold_acks = True
    loop.write("a", *of_units("rare", *["often"] * 20))
    loop.run(30)
    assert str(loop.forwarder.held_by).endswith("Bytes")


def test_a_link_on_which_nothing_comes_back_is_not_taken_for_one_on_which_records_linger(make: Make) -> None:
    loop = make({"maxRecords": 5, "lingerMs": 60_000}, BY_UNIT)
    loop.transport.hold_acks = True
    loop.write("a", *of_units("rare", *["often"] * 5))
    loop.run(20)
    now = loop.inbox.now
    assert not loop.forwarder.link.works(now, None, nothing_waits=False)


@pytest.mark.parametrize(("mode", "most"), [(0, 100), (2, 100), (3, 5_000)])
def test_a_pipe_that_never_ceases_to_bring_more_is_sent_from(make: Make, mode: int, most: int) -> None:
    loop = make({"maxRecords": 10_000}, {"queue": {"mode": mode, "maxRecords": most}}, pipe=True)
    for turn in range(20):
        loop.write("a", *numbered(4_200, 4_200 * turn))
        loop.turn()
        loop.inbox.now += 0.05
    assert loop.received


def test_a_flood_of_records_that_cannot_be_sent_waits_for_no_timer(make: Make) -> None:
    loop = make({"maxRecords": 5}, BY_UNIT)
    before = loop.inbox.now
    loop.write("a", *numbered(3_000), *of_units("a"))
    while not loop.received:
        loop.turn()
    assert loop.inbox.now == before


def test_messages_of_records_that_are_much_alike_are_filled_too(make: Make) -> None:
    loop = make({"maxRecords": 10_000, "compression": "gzip"})
    loop.transport.message_bytes = 20_000
    loop.write("a", *[b'{"n":1,"text":"%s"}' % (b"abcdefgh" * 100)] * 9_000)
    loop.run(60)
    assert len(loop.received) < 20


def test_a_large_record_among_small_ones_costs_few_attempts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    begin = zlib.compressobj

    def counted(level: int, method: int, window_bits: int) -> object:
        attempts.append(level)
        return begin(level, method, window_bits)

    monkeypatch.setattr(zlib, "compressobj", counted)
    loop = make({"maxRecords": 10_000, "compression": "gzip"})
    loop.transport.message_bytes = 20_000
    noise = random.Random(1)
    large = b'"%s"' % b64encode(noise.randbytes(19_000))
    loop.write("a", large, *[b"%d" % noise.getrandbits(40) for _ in range(9_000)])
    loop.run(1)
    assert len(loop.received) + 12 >= len(attempts)

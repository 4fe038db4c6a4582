"""How long a message waits to be full: never for ever, never past its linger, and never in a busy loop."""

from __future__ import annotations

import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.loop import Loop
from weir.core.batching import Slice
from weir.core.span import Span
from weir.forwarder import stream as forwarder_stream

Make = Callable[..., Loop]
BY_UNIT = {"topic": "telemetry/{record.unit}"}


@pytest.fixture
def make(make: Make) -> Make:
    """Make loops that have begun."""

    def start(*given: Any, **options: Any) -> Loop:
        loop = make(*given, **options)
        loop.run(1)
        return loop

    return start


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


# -- what it costs to look for records --------------------------------------------------------------------------------


def test_a_backlog_of_one_record_a_row_is_looked_through_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make({"maxRecords": 900}, pipe=True)
    loop.transport.interrupt()
    for number in range(1_800):
        loop.write("a", *numbered(1, number))
        loop.stream("a").admit(loop.forwarder._look())  # noqa: SLF001 - a turn for each would take seconds
    monkeypatch.setattr(forwarder_stream, "RESIDENT_BYTES", 1)
    monkeypatch.setattr(forwarder_stream, "KEEP_BYTES", 1)
    loop.run(3)
    assert loop.stream("a").line.gap_records > 1_700
    looks: list[object] = []
    runs = Span.waiting_runs

    def counted(span: Span, *, newest: bool = False) -> Iterator[tuple[int, int]]:
        looks.append(span)
        return runs(span, newest=newest)

    monkeypatch.setattr(Span, "waiting_runs", counted)
    loop.transport.resume()
    loop.run(3)
    assert [len(message.split(b"\n")) for message in loop.received] == [900, 900]
    assert len(looks) < 3 * 1_800


def test_records_that_come_one_by_one_fill_messages_of_each_topic(make: Make) -> None:
    loop = make({"maxRecords": 20, "lingerMs": 60_000}, BY_UNIT)
    for number in range(400):
        loop.write("a", *of_units(f"u{number % 20}"))
        loop.turn()
        loop.inbox.now += 0.01
    loop.run(1)
    assert [len(message.split(b"\n")) for message in loop.received] == [20] * 20


# -- what is held back may change -------------------------------------------------------------------------------------


def held_back(loop: Loop) -> None:
    """Let a second message be made, and held by the gate."""
    loop.transport.hold_acks = True
    limits = loop.forwarder.releaser.limits
    loop.forwarder.releaser.limits = limits._replace(incomplete_bytes=60, in_flight_bytes=60)
    loop.write("a", *numbered(10))
    loop.run(0.5)
    assert str(loop.forwarder.held_by).endswith("Bytes")


def test_a_message_that_was_held_back_is_not_sent_once_its_file_is_gone(make: Make) -> None:
    loop = make({"maxRecords": 5})
    held_back(loop)
    loop.write("a", *numbered(5, 10))
    loop.run(0.1)
    first, second = loop.stream("a").line.durable()
    assert second.file is not None
    stream = loop.stream("a")
    assert stream.batches is not None
    stream.batches.keep_together([Slice(first, 5, 6), Slice(second, 0, 2)])
    loop.turn()
    loop.transport.ack()
    first.stored, second.file.vanished = True, True  # as its source finds out in this very turn
    loop.forwarder.turn()
    assert second.waiting == 5
    first.stored = False


def test_records_that_are_to_stay_together_do_so_though_their_message_was_held_back(make: Make) -> None:
    loop = make({"maxRecords": 5})
    held_back(loop)
    stream = loop.stream("a")
    assert stream.batches is not None
    [span] = stream.line.durable()
    stream.batches.keep_together([Slice(span, 7, 9)])
    loop.turn()
    stream.batches.keep_together([Slice(span, 5, 7)])
    loop.transport.hold_acks = False
    loop.run(2)
    assert loop.received[1:] == [b"\n".join(numbered(2, 7)), b"\n".join(numbered(2, 5)), *numbered(1, 9)]

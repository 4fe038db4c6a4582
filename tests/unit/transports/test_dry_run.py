"""The dry run: all is written, at once, and nothing is ever outstanding."""

from __future__ import annotations

from weir.core.events import Closed, Connected, ConnectionEvent
from weir.core.ports import Operation, Statistics, Transport
from weir.transports.dry_run import DryRunTransport


class Bench:
    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self.events: list[ConnectionEvent] = []
        self.settled: list[Operation] = []
        self.transport: Transport = DryRunTransport(self._write, self.events.append, self.settled.append)

    def _write(self, topic: str, payload: bytes) -> None:
        self.written.append((topic, payload))


def test_it_is_up_at_once() -> None:
    bench = Bench()
    bench.transport.start()
    assert bench.events == [Connected(1, session_present=False)]
    assert bench.transport.advance(0.0) is None


def test_a_message_is_written_and_settled_in_the_same_call() -> None:
    bench = Bench()
    future = bench.transport.publish("a/b", b"\x00\n", 1)
    assert bench.written == [("a/b", b"\x00\n")]
    assert bench.settled == [future]
    assert future.exception() is None
    assert bench.transport.statistics() == Statistics(0, 0, 0, 0)


def test_replaced_it_is_a_new_one() -> None:
    bench = Bench()
    bench.transport.start()
    bench.transport.replace()
    assert bench.events[1:] == [Closed(1), Connected(2, session_present=False)]


def test_it_closes_without_a_word() -> None:
    bench = Bench()
    bench.transport.close(0.5)
    assert bench.events == []

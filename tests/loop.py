"""Several streams in one loop, in memory but for the state, with a clock that is moved by hand.

The sources are tapes, the broker is a fake; waiting costs no time, the clock is moved to where the loop would wake.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes import FakeTransport
from tests.fakes.source import EPOCH, FakeSource, Tape
from weir.core.accounting import Counts
from weir.core.changes import StreamState
from weir.core.configuration import Surroundings, parse
from weir.forwarder.forwarder import Clock, Forwarder
from weir.forwarder.health import Health
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import Ledger, Store
from weir.forwarder.stream import Stream
from weir.store.directory import own
from weir.wiring.assembly import store_maker

HERE = Surroundings(thing_name="loop", host_name="loop", work_path="/here", under_nucleus=False, root_ca_path=None)
MOST_TURNS = 5_000


class ClockedInbox(Inbox):
    """An inbox whose waiting moves the clock."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now
        self.waits = 0

    def wait(self, seconds: float, items: int) -> None:
        woken = len(self._items) >= max(1, items) or bool(self._selector.select(0))
        super().wait(0.0, items)
        self.now += 0.0 if woken else seconds
        self.waits += 1


class Loop:
    """A forwarder with a tape for each stream; `streams` are parts of their configuration."""

    def __init__(
        self,
        path: Path,
        streams: dict[str, dict[str, Any]],
        *,
        pipe: bool = False,
        reachable: bool = True,
        now: float = 1_000.0,
        commit_seconds: float = 1,
        tapes: dict[str, Tape] | None = None,
        most_outstanding: int | None = None,
        **sections: Any,
    ) -> None:
        document = {
            "pace": {"publishesPerSecond": None, "bytesPerSecond": None},
            "state": {"path": str(path / "state"), "minFreeBytes": 1, "commitSeconds": commit_seconds},
            "streams": {name: {"source": {"path": str(path / name)}, **stream} for name, stream in streams.items()},
            **sections,
        }
        self.settings = parse(document, HERE)
        self.pipe = pipe
        self.free_bytes = 1 << 40
        self.tapes = {} if tapes is None else tapes
        self.events: list[tuple[str, dict[str, object]]] = []
        self.directory = own(Path(self.settings.state.path), wait_seconds=0)
        self.inbox = ClockedInbox(now)
        self.transport = FakeTransport(self.inbox.post, self.inbox.settled, reachable=reachable)
        self.transport.most_outstanding = most_outstanding
        make_store = store_maker(self.settings, self.directory, self._notice)
        self.ledger = Ledger(self.settings, make_store, self._make_source, lambda: self.free_bytes, self._notice)
        self.forwarder = Forwarder(
            settings=self.settings,
            ledger=self.ledger,
            transport=self.transport,
            inbox=self.inbox,
            clock=Clock(lambda: EPOCH + self.inbox.now, lambda: self.inbox.now),
            health=Health(self._notice),
            notice=self._notice,
        )
        self.transport.start()

    def _make_source(self, name: str, state: StreamState, store: Store, *, same_boot: bool) -> FakeSource:
        configured = self.settings.streams[name].source.format
        fmt = "lines" if configured == "auto" else configured
        tape = self.tapes.setdefault(name, Tape(replayable=not self.pipe, fmt=fmt))
        return FakeSource(tape, state)

    def _notice(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields))

    def told(self, event: str) -> list[dict[str, object]]:
        """Give the fields of every event of this name."""
        return [fields for name, fields in self.events if name == event]

    def stream(self, name: str) -> Stream:
        return next(stream for stream in self.ledger.streams if stream.name == name)

    def counts(self, name: str) -> Counts:
        """Give the committed counters of a stream."""
        return self.stream(name).books.committed

    def write(self, name: str, *records: bytes) -> None:
        self.tapes[name].write(list(records))
        self.inbox.wake()

    def turn(self) -> None:
        """Take one turn, and wait as the loop would; a broker that can be reached acknowledges when it is asked to."""
        self.forwarder.turn()
        self.forwarder.wait()

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        end = self.inbox.now + seconds
        for _ in range(MOST_TURNS):
            if self.inbox.now >= end:
                return
            self.turn()
        raise AssertionError(f"{MOST_TURNS} turns did not take {seconds} seconds: the loop does not wait")

    @property
    def received(self) -> list[bytes]:
        return [message.payload for message in self.transport.received]

    def received_of(self, name: str) -> list[bytes]:
        topic = self.settings.topic_of(name)
        return [message.payload for message in self.transport.received if message.topic == topic]

    def close(self) -> None:
        """Stop in order."""
        self.forwarder.stop()
        self.ledger.store.close()
        self.directory.close()
        self.inbox.close()

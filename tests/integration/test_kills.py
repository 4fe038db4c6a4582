"""The law over SIGTERM and SIGKILL: real processes, a real broker that comes and goes, twenty kills in a row.

Each round of a life ends with a kill at a random moment: after so many more messages at the subscriber, or so many
changes of the status. The random numbers come from a seed that is printed; a failure shows it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.checker import Evidence, Look, judge
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.device import Device
from weir.control.protocol import ask

KILLS = 20
WINDOW = 20
COMMIT_RECORDS = 100
BATCH_RECORDS = 10
LINE_BYTES = 128  # a divisor of a page: whatever is read of a pipe at once are whole lines
BURST = 32  # lines; what is written at once to a pipe arrives as a whole
MOST_FED = 256  # lines while waiting for one thing
SETTINGS: dict[str, Any] = {
    "streams__telemetry__queue__maxRecords": 200,
    "streams__telemetry__source__format": "jsonl",
    "gate__maxIncomplete": 2 * WINDOW,
    "gate__maxInFlight": WINDOW,
    "state__commitRecords": COMMIT_RECORDS,
    "state__commitSeconds": 0.2,
}


class Producer:
    """Writes lines, each unlike every other, and knows what it wrote."""

    def __init__(self) -> None:
        self.fed: list[bytes] = []

    def _burst(self) -> list[bytes]:
        numbers = range(len(self.fed), len(self.fed) + BURST)
        return [json.dumps({"n": number}).ljust(LINE_BYTES - 1).encode() for number in numbers]

    def feed(self) -> None:
        """Write one burst of lines, as far as they can be taken now."""
        lines = self._burst()
        if self._write(b"".join(line + b"\n" for line in lines)):
            self.fed += lines

    def _write(self, content: bytes) -> bool:
        raise NotImplementedError

    def end(self) -> None:
        """Let nothing more come."""


class Appender(Producer):
    """Appends to files, a new one now and then."""

    def __init__(self, inbox: Path) -> None:
        super().__init__()
        self._inbox = inbox

    def _write(self, content: bytes) -> bool:
        with (self._inbox / f"{len(self.fed) // 1_000:03}.jsonl").open("ab") as file:
            file.write(content)
        return True


class Piper(Producer):
    """Writes to a pipe that every process of the device reads from in turn; what does not fit is not written."""

    def __init__(self) -> None:
        super().__init__()
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def _write(self, content: bytes) -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.write(self._write_end, content) == len(content)
        return False

    def end(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def close(self) -> None:
        self.end()
        os.close(self.read_end)


class Life:
    """One device, its producer and its broker, over many processes."""

    def __init__(  # noqa: PLR0917 - all that a life is made of
        self, device: Device, broker: Broker, producer: Producer, mode: int, seed: int, batch: int
    ) -> None:
        self.device = device
        self.broker = broker
        self.producer = producer
        self.mode = mode
        self.batch = batch
        self.random = random.Random(seed)
        self.observer = broker.observe()
        self.looks: list[Look] = []
        self.kills = self.interruptions = 0
        self._seen: set[str] = set()

    # One process

    def start(self) -> None:
        mode: dict[str, Any] = {"streams__telemetry__queue__mode": self.mode}
        if self.batch > 1:
            mode["streams__telemetry__batch__maxRecords"] = self.batch
            mode["streams__telemetry__batch__compression"] = "gzip"
        if isinstance(self.producer, Piper):
            with os.fdopen(os.dup(self.producer.read_end), "rb") as stdin:
                self.device.start("--stdin", stdin=stdin, **SETTINGS, **mode)
        else:
            self.device.start(**SETTINGS, **mode)

    def status(self) -> dict[str, Any] | None:
        """Ask the process for its status; None if it is not ready to answer."""
        process = self.device.process
        assert process is not None
        assert process.poll() is None, self.device.log()
        answer = ask(self.device.state, {"command": "status"})
        return None if answer is None else answer["status"]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Feed until a condition holds."""
        most = len(self.producer.fed) + MOST_FED

        def fed_and_true() -> object:
            if len(self.producer.fed) < most:
                self.producer.feed()
            return condition()

        self._wait(fed_and_true, what)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        try:
            eventually(condition, DEADLINE_SECONDS, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}\n{self.device.log()[-3_000:]}") from None

    @property
    def received(self) -> list[bytes]:
        """The records that have arrived at the subscriber."""
        if self.batch == 1:
            return self.observer.payloads
        return [record for payload in self.observer.payloads for record in gzip.decompress(payload).split(b"\n")]

    def messages(self, most: int) -> None:
        """Wait for a random number of records more at the subscriber."""
        goal = len(self.received) + self.random.randint(1, most)
        self.until(lambda: len(self.received) >= goal, f"{goal} records")

    def changes(self, most: int) -> None:
        """Wait for a random number of changes of the status, feeding some more after each."""
        self._seen.clear()
        goal = self.random.randint(1, most)

        def changed() -> bool:
            status = self.status()
            if status is not None:
                queued = status["streams"]["telemetry"]["queueRecords"]
                seen = json.dumps([status["records"], queued, status["state"], status["source"]])
                if seen not in self._seen:
                    self._seen.add(seen)
                    self.producer.feed()
            return len(self._seen) > goal

        self._wait(changed, f"{goal} changes of the status")

    # What happens to the broker meanwhile

    def works(self) -> None:
        self.messages(150)

    def is_down(self) -> None:
        self.changes(6)

    def comes(self) -> None:
        self.changes(3)
        self.broker.start()
        self.messages(60)

    def goes(self) -> None:
        self.messages(60)
        self.interruptions += 1
        self.broker.stop()
        self.changes(4)

    def is_frozen(self) -> None:
        self.messages(60)
        self.broker.freeze()
        self.changes(2)

    def round(self, end: Callable[[], object]) -> None:
        """Live one process from its start to its end."""
        what = self.random.choice([self.works, self.works, self.is_down, self.comes, self.goes, self.is_frozen])
        up = what not in {self.is_down, self.comes}
        if up and not self.broker.running:
            self.broker.start()
        elif not up and self.broker.running:
            self.broker.stop()
        self.start()
        what()
        end()
        self.broker.thaw()
        self.look()

    # Looking

    def kill(self) -> None:
        self.device.kill()
        self.kills += 1

    def stop(self) -> None:
        assert self.device.terminate() == 0
        self.interruptions += 1  # what had no answer by then is sent again by the next process

    def look(self) -> dict[str, Any]:
        """Look at the state that nobody owns; the law must hold, row by row."""
        arrived = len(self.received)
        answer = self.device.ask("status", "--json", "--verify")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        status: dict[str, Any] = json.loads(answer.stdout)
        assert status["verified"]
        self.looks.append(Look(status, arrived, self.kills))
        return status

    def finish(self) -> dict[str, Any]:
        """Let everything be delivered that still can be, and look at the end of it."""
        if not self.broker.running:
            self.broker.start()
        self.producer.end()
        self.start()
        if isinstance(self.producer, Piper):
            process = self.device.process
            assert process is not None
            assert process.wait(2 * DEADLINE_SECONDS) == 0, self.device.log()
        else:
            self._wait(self._is_idle, "everything is delivered")
            assert self.device.terminate() == 0
        status = self.look()
        self.observer.wait_for(lambda: len(set(self.received)) >= status["records"]["delivered"])
        self.looks[-1] = self.looks[-1]._replace(arrived=len(self.received))
        return status

    def _is_idle(self) -> bool:
        status = self.status()
        if status is None or status["source"]["bytesUnread"] or status["streams"]["telemetry"]["queueRecords"]:
            return False
        records = status["records"]
        return bool(records["inFlight"] == 0 and records["read"] >= len(self.producer.fed))

    @property
    def bound(self) -> int:
        """The most records that one crash can make arrive twice."""
        return COMMIT_RECORDS + WINDOW * self.batch

    def judge(self, status: dict[str, Any]) -> None:
        lost = len(self.producer.fed) - status["records"]["read"] if isinstance(self.producer, Piper) else 0
        evidence = Evidence(
            self.producer.fed,
            self.received,
            self.looks,
            lost_unread=lost,
            bound=self.bound,
            interrupted=self.interruptions * WINDOW * self.batch,
        )
        assert judge(evidence) == [], self.device.log()[-5_000:]


Begin = Callable[..., Life]


@pytest.fixture
def begin(tmp_path: Path, broker: Broker) -> Iterator[Begin]:
    device = Device(tmp_path, broker)
    pipes: list[Piper] = []

    def begin_one(mode: int, *, pipe: bool, batch: int = 1) -> Life:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
        if not pipe:
            return Life(device, broker, Appender(device.inbox), mode, seed, batch)
        pipes.append(Piper())
        return Life(device, broker, pipes[-1], mode, seed, batch)

    yield begin_one
    device.close()
    for piper in pipes:
        piper.close()


@pytest.mark.parametrize(
    ("mode", "pipe", "batch"),
    [(3, False, 1), (4, False, 1), (3, True, 1), (4, True, 1), (3, True, BATCH_RECORDS), (4, False, BATCH_RECORDS)],
)
def test_twenty_kills_in_a_row_break_no_promise(begin: Begin, mode: int, *, pipe: bool, batch: int) -> None:
    life = begin(mode, pipe=pipe, batch=batch)
    for _ in range(KILLS):
        life.round(life.kill)
    status = life.finish()
    life.judge(status)
    records = status["records"]
    assert status["beside"]["possibleTwins"] >= KILLS * life.bound
    assert (records["droppedTotal"] > 0) == (mode == 3)
    if not pipe and mode == 4:
        assert set(life.received) == set(life.producer.fed)


@pytest.mark.parametrize("pipe", [False, True], ids=["directory", "pipe"])
@pytest.mark.parametrize("mode", [3, 4])
def test_counters_and_backlog_continue_over_orderly_stops(begin: Begin, mode: int, *, pipe: bool) -> None:
    life = begin(mode, pipe=pipe)
    for _ in range(5):
        life.round(life.stop)
    status = life.finish()
    assert status["records"]["read"] == len(life.producer.fed)  # of a pipe too: what its reader had is committed
    life.judge(status)

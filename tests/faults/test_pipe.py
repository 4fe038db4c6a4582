"""A pipe is read by a process that is killed: what was taken out of it and not committed is gone, and nothing else is.

How much was taken is told by the pipe itself, how much was committed by the state. What lies between is what the kill
may cost; none of it may have been sent, and none of it is counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import termios
from collections.abc import Callable, Iterator

import pytest

from tests.checker import Evidence, Verdict, verdict
from tests.faults.frame import LONG, Ended, Tally, Trial
from tests.faults.shim import KILL, Board
from tests.faults.test_crash import begin_counted, look_if_there_is_a_state
from tests.faults.workload import BOUND, Step

SHARDS = 4 if LONG else 1
SAMPLES = 3  # in the short form
OUTAGE, MORE, BAD = 60, 30, 3
Begin = Callable[..., Trial]


class PipeLife:
    """A forwarder whose only stream is a pipe that overflows while the link is down."""

    def __init__(self, trial: Trial) -> None:
        """Make the pipe; nothing runs yet."""
        queue = {"mode": 3, "maxRecords": 20}
        trial.forwarder.configuration["streams"] = {
            "pipe": {"source": {"type": "stdin", "format": "jsonl"}, "queue": queue}
        }
        self.trial = trial
        self.written: list[bytes] = []
        self.lost: list[bytes] = []  # in the process that was killed
        self._read_end, self._write_end = os.pipe()
        self.steps = iter(self._steps())

    def _steps(self) -> list[Step]:
        def overflowed(status: dict[str, dict[str, dict[str, int]]]) -> bool:
            records = status["records"]
            return records["dropped"]["queueFullFront"] > 0 and records["quarantined"]["malformed"] == BAD

        return [
            Step(lambda: self._write(OUTAGE, bad=BAD), overflowed, "records overflow and are set aside"),
            Step(self.trial.link_up, lambda s: not s["records"]["pending"], "what waited is delivered"),
            Step(lambda: self._write(MORE), lambda s: s["records"]["delivered"] >= MORE, "the rest is delivered"),
        ]

    def _write(self, count: int, *, bad: int = 0) -> None:
        numbers = range(len(self.written), len(self.written) + count)
        lines = [json.dumps({"n": number, "pad": "x" * 40}).encode() for number in numbers]
        lines += [b"not JSON %d" % number for number in range(bad)]
        self.written += lines
        os.write(self._write_end, b"".join(line + b"\n" for line in lines))

    def start(self) -> None:
        with os.fdopen(os.dup(self._read_end), "rb") as stdin:
            self.trial.forwarder.start(stdin=stdin)

    def live(self) -> int:
        """Live to the end of the input, or until the process is killed; give its exit code."""
        try:
            for step in self.steps:
                self.trial.do(step)
        except Ended:
            return self.trial.ended()
        return self.ends()

    def ends(self) -> int:
        """Close the pipe, and wait for the process to come to its end; give its exit code."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1
        return self.trial.ended()

    def note_loss(self) -> None:
        """See what the kill has cost."""
        left = int.from_bytes(fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4)), "little")
        taken = b"".join(line + b"\n" for line in self.written)
        taken = taken[: len(taken) - left]
        assert not taken or taken.endswith(b"\n")
        look_if_there_is_a_state(self.trial)
        committed = self.trial.looks[-1].status["records"]["read"] if self.trial.looks else 0
        self.lost = taken.splitlines()[committed:]

    def go_on(self) -> None:
        """Start again on what is left in the pipe, and write the rest."""
        self.trial.link_up()
        self.start()
        for step in self.steps:
            step.action()
        assert self.ends() == 0, self.trial.log()
        self.trial.look()

    def judge(self) -> Verdict:
        """Judge as if what was lost had never been written: had any of it been sent, it would be a stranger."""
        lost = set(self.lost)
        fed = [line for line in self.written if line not in lost]
        return verdict(Evidence(fed, self.trial.received(), self.trial.looks, bound=BOUND))

    def close(self) -> None:
        for descriptor in (self._read_end, self._write_end):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def begin_life(begin: Begin, board: Board) -> Iterator[Callable[[], PipeLife]]:
    lives: list[PipeLife] = []

    def begin_one() -> PipeLife:
        lives.append(PipeLife(begin_counted(begin, board)))
        return lives[-1]

    yield begin_one
    for life in lives:
        life.close()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_costs_a_pipe_what_was_not_committed_and_no_more(
    begin_life: Callable[[], PipeLife], board: Board, shard: int
) -> None:
    tally = Tally("SIGKILL at a write-class call, reading a pipe")
    board.arm(0, KILL)
    life = begin_life()
    life.start()
    assert life.live() == 0, life.trial.log()
    last, struck = board.calls, 0
    for at in range(1 + shard, last + 1, SHARDS if LONG else max(1, last // SAMPLES)):
        life = begin_life()
        board.arm(at, KILL)
        life.start()
        if code := life.live():
            assert code == -signal.SIGKILL, life.trial.log()
            struck += 1
            board.arm(0, KILL)
            life.note_loss()
            life.go_on()
        tally.add(life.judge(), f"call {at} of {last}", life.trial.log())
    assert struck, "none of the calls came"
    tally.close()

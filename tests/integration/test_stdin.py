"""A program that pipes its records: what it sees of the queue, how its end ends the run, and what a crash leaves."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.broker import Broker, Observer
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.device import Device, environment

LINE_BYTES = 128  # a divisor of every size that a pipe is read in: no read ends inside of a line


def lines(count: int, word: str = "reading") -> list[bytes]:
    return [f"{word} {number} ".encode().ljust(LINE_BYTES - 1, b".") for number in range(count)]


def text_of(records: list[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


class Producer:
    """Writes as fast as it is let, in a thread of its own, and closes the pipe when it is done."""

    def __init__(self, pipe: int, records: list[bytes]) -> None:
        self.pipe = pipe
        self.written = 0
        self._thread = threading.Thread(target=self._write, args=(text_of(records),), daemon=True)
        self._thread.start()

    def _write(self, text: bytes) -> None:
        try:
            while self.written < len(text):
                self.written += os.write(self.pipe, text[self.written : self.written + select.PIPE_BUF])
        except BrokenPipeError:
            return
        finally:
            os.close(self.pipe)

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def is_blocked(self) -> bool:
        """Tell whether the pipe takes nothing more, so that the writer waits."""
        return not self.is_done and not select.select([], [self.pipe], [], 0)[1]

    def join(self) -> None:
        self._thread.join(DEADLINE_SECONDS)
        assert self.is_done


def pipe_into(device: Device, *flags: str, **keys: object) -> tuple[subprocess.Popen[bytes], int]:
    """Start to forward a pipe; give the process and the end to write to."""
    readable, writable = os.pipe()
    try:
        return device.start("--stdin", *flags, stdin=readable, **keys), writable
    finally:
        os.close(readable)


def ended(device: Device) -> int:
    """Wait for the end of the run by itself; give its exit code."""
    assert device.process is not None
    code = device.process.wait(DEADLINE_SECONDS)
    device.process = None
    return code


def records_of(device: Device) -> tuple[int, int, int]:
    records = device.status("--verify")["records"]
    return records["read"], records["delivered"], records["pending"]


# -- the producer and the queue ---------------------------------------------------------------------------------------


def test_a_queue_that_returns_errors_blocks_the_producer_and_loses_nothing(
    device: Device, broker: Broker, observer: Observer
) -> None:
    broker.kill()
    records = lines(20_000)
    _, pipe = pipe_into(device, "--once", "--queue-limit", "1000")
    producer = Producer(pipe, records)
    status = device.until(lambda s: s["sourceHeldBy"] == "queueFull")
    assert status["streams"]["telemetry"]["queueRecords"] == 1_000
    eventually(lambda: producer.is_blocked, what="the producer is blocked")
    assert producer.written < LINE_BYTES * 20_000 / 2  # what the queue and the read-ahead hold is far less
    broker.start()
    producer.join()
    assert ended(device) == 0, device.log()
    observer.wait_for(20_000)
    assert observer.arrived() == records
    assert records_of(device) == (20_000, 20_000, 0)


def test_a_paced_link_slows_the_producer(device: Device, observer: Observer) -> None:
    records = lines(20_000)
    _, pipe = pipe_into(device, "--once", "--queue-limit", "100", pace__publishesPerSecond=5)
    producer = Producer(pipe, records)
    observer.wait_for(3)
    eventually(lambda: producer.is_blocked, what="the producer is blocked")
    assert not producer.is_done
    assert device.terminate() == 0
    producer.join()
    read, _, pending = records_of(device)
    assert pending > 0
    assert device.run("--stdin") == 0, device.log()
    observer.wait_for(read)
    assert observer.arrived() == records[:read]


def test_a_rolling_queue_never_blocks_the_producer_and_counts_what_fell_off(
    device: Device, broker: Broker, observer: Observer
) -> None:
    broker.kill()
    records = lines(20_000)
    _, pipe = pipe_into(device, "--once", "--queue-mode", "3", "--queue-limit", "100")
    producer = Producer(pipe, records)
    producer.join()
    status = device.until(lambda s: s["records"]["read"] == 20_000)
    assert status["records"]["dropped"]["queueFullFront"] == 19_900
    broker.start()
    assert ended(device) == 0, device.log()
    observer.wait_for(100)
    assert observer.arrived() == records[-100:]
    assert records_of(device) == (20_000, 100, 0)


def test_a_rolling_queue_on_a_slow_link_delivers_or_counts_every_record(device: Device, observer: Observer) -> None:
    records = lines(20_000)
    _, pipe = pipe_into(device, "--once", "--queue-mode", "3", "--queue-limit", "50", pace__publishesPerSecond=200)
    Producer(pipe, records).join()
    assert ended(device) == 0, device.log()
    status = device.status("--verify")["records"]
    arrived = observer.wait_for(status["delivered"])
    assert [message.payload for message in arrived] == sorted(
        {message.payload for message in arrived}, key=records.index
    )
    assert arrived[-1].payload == records[-1]
    assert status["read"] == 20_000
    assert len(arrived) + status["dropped"]["queueFullFront"] == 20_000


def test_a_small_queue_does_not_wait_for_the_clock(device: Device, observer: Observer) -> None:
    """What is read from a pipe may go only when it is committed; with nothing else to do that is worth a commit."""
    records = lines(1_000)
    _, pipe = pipe_into(device, "--once", "--queue-limit", "50", state__commitSeconds=60)
    Producer(pipe, records).join()
    observer.wait_for(1_000)
    assert observer.arrived() == records
    assert ended(device) == 0, device.log()


def test_processes_that_follow_each_other_on_one_pipe_cut_no_line_in_two(device: Device, observer: Observer) -> None:
    records = [b"reading %d" % number for number in range(100_000)]
    readable, writable = os.pipe()
    producer = Producer(writable, records)
    for _ in range(2):  # each takes half a MiB, and the producer has more than that twice
        device.start("--stdin", "--queue-limit", "1000", stdin=readable, pace__publishesPerSecond=5)
        device.until(lambda s: s["sourceHeldBy"] == "queueFull")
        eventually(lambda: producer.is_blocked, what="the producer is blocked")
        assert device.terminate() == 0, device.log()
    device.start("--stdin", stdin=readable)
    os.close(readable)
    assert ended(device) == 0, device.log()
    observer.wait_for(100_000)
    assert list(dict.fromkeys(observer.payloads)) == records
    assert records_of(device) == (100_000, 100_000, 0)


# -- the end of the input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--once",)])
def test_the_end_of_the_input_ends_the_run_once_all_is_delivered(
    flags: tuple[str, ...], device: Device, observer: Observer
) -> None:
    assert device.run("--stdin", *flags, stdin=b"1\n\n2\r\n3 has no line end") == 0, device.log()
    assert [message.payload for message in observer.wait_for(3)] == [b"1", b"2", b"3 has no line end"]
    assert records_of(device) == (3, 3, 0)


def test_an_input_of_nothing_ends_at_once(device: Device, observer: Observer, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert device.run("--stdin", stdin=b"") == 0, device.log()
    assert device.run("--stdin") == 0, device.log()  # /dev/null
    with (tmp_path / "empty").open("rb") as file:
        device.start("--stdin", stdin=file)
    assert ended(device) == 0, device.log()
    assert records_of(device) == (0, 0, 0)
    assert not observer.messages


def test_a_closed_input_is_an_input_of_nothing(device: Device, observer: Observer) -> None:
    command = device.command("run", *device.arguments("--stdin"))
    finished = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command],
        capture_output=True,
        env=environment(),
        cwd=device.directory,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert b"Traceback" not in finished.stderr
    assert records_of(device) == (0, 0, 0)
    assert not observer.messages


def test_a_file_as_input_is_read_to_its_end(device: Device, observer: Observer, tmp_path: Path) -> None:
    records = lines(3_000)
    (tmp_path / "records").write_bytes(text_of(records))
    with (tmp_path / "records").open("rb") as file:
        device.start("--stdin", stdin=file)
    assert ended(device) == 0, device.log()
    observer.wait_for(3_000)
    assert observer.arrived() == records


def test_a_producer_that_is_silent_for_long_is_waited_for(device: Device, observer: Observer) -> None:
    flags = ("--once", "--drain-timeout", "3")
    _, pipe = pipe_into(device, *flags, report__logSeconds=1, state__commitSeconds=0.1)
    os.write(pipe, b"1\n")
    observer.wait_for(1)
    eventually(lambda: device.log().count("event=stats") >= 5, what="five seconds have passed")
    os.write(pipe, b"2\n")
    os.close(pipe)
    assert ended(device) == 0, device.log()
    assert [message.payload for message in observer.wait_for(2)] == [b"1", b"2"]


# -- stops and crashes ------------------------------------------------------------------------------------------------


def test_a_stop_commits_what_was_read_and_the_next_run_goes_on_with_the_pipe(
    device: Device, broker: Broker, observer: Observer
) -> None:
    broker.kill()
    records = lines(10_000)
    readable, writable = os.pipe()
    device.start("--stdin", "--queue-limit", "100", stdin=readable)
    producer = Producer(writable, records)
    device.until(lambda s: s["sourceHeldBy"] == "queueFull")
    eventually(lambda: producer.is_blocked, what="the producer is blocked")
    assert device.terminate() == 0
    device.process = None
    read, delivered, pending = records_of(device)
    assert delivered == 0
    assert read == pending > 100  # what was read cannot be given back: it is kept, limit or not

    broker.start()
    device.start("--stdin", stdin=readable)
    os.close(readable)
    producer.join()
    assert ended(device) == 0, device.log()
    observer.wait_for(10_000)
    assert observer.arrived() == records
    assert records_of(device) == (10_000, 10_000, 0)


def test_half_a_line_at_a_stop_is_set_aside_and_counted(device: Device, broker: Broker, observer: Observer) -> None:
    broker.kill()
    _, pipe = pipe_into(device)
    os.write(pipe, b"whole\nhal")
    device.until(lambda s: s["records"]["read"] == 1)
    assert device.terminate() == 0
    device.process = None
    os.close(pipe)
    records = device.status("--verify")["records"]
    assert (records["read"], records["pending"], records["quarantined"]["malformed"]) == (2, 1, 1)
    broker.start()
    assert device.run("--stdin", stdin=b"next\n") == 0, device.log()
    assert [message.payload for message in observer.wait_for(2)] == [b"whole", b"next"]


def test_after_a_crash_all_that_was_committed_arrives_and_the_numbers_go_on(
    device: Device, broker: Broker, observer: Observer
) -> None:
    broker.kill()
    records = lines(20_000)
    _, pipe = pipe_into(device)
    producer = Producer(pipe, records)
    device.until(lambda s: s["records"]["read"] > 0)
    device.kill()
    device.process = None
    producer.join()
    read, _, pending = records_of(device)
    assert read == pending > 0
    assert sequence_of(device) == read

    broker.start()
    later = lines(100, "later")
    assert device.run("--stdin", stdin=text_of(later)) == 0, device.log()
    observer.wait_for(read + 100)
    assert observer.arrived() == records[:read] + later
    assert records_of(device) == (read + 100, read + 100, 0)
    assert sequence_of(device) == read + 100


def test_a_crash_in_full_flow_repeats_no_more_than_it_says(device: Device, observer: Observer) -> None:
    records = lines(20_000)
    _, pipe = pipe_into(device, pace__publishesPerSecond=3_000, state__commitRecords=500)
    producer = Producer(pipe, records)
    before = device.until(lambda s: s["records"]["delivered"] > 0)
    device.kill()
    device.process = None
    producer.join()
    read, delivered, pending = records_of(device)
    assert read == delivered + pending
    assert read >= before["records"]["read"]

    assert device.run("--stdin", stdin=b"") == 0, device.log()
    observer.wait_for(lambda: set(observer.payloads) >= set(records[:read]))
    status = device.status("--verify")
    assert status["records"]["delivered"] == read
    arrived = Counter(observer.payloads)
    assert set(arrived) == set(records[:read])
    twins = arrived.total() - len(arrived)
    assert twins <= before["duplicateBound"] <= status["beside"]["possibleTwins"]


def sequence_of(device: Device) -> int:
    """Give the next number of a record of the pipe, as the state has it."""
    with closing(sqlite3.connect(device.state / "weir.db")) as database:
        [sequence] = database.execute("SELECT sequence FROM stream").fetchone()
    return int(sequence)


def test_an_interrupt_from_the_keyboard_is_a_stop(device: Device, observer: Observer) -> None:
    _, pipe = pipe_into(device)
    os.write(pipe, b"1\n")
    observer.wait_for(1)
    assert device.signal(signal.SIGINT) == 0
    os.close(pipe)
    assert records_of(device) == (1, 1, 0)

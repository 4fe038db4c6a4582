"""A pipe as a source: real pipes, real files, a real terminal."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.core.ports import Reading, Reject, SourceCounts
from weir.sources import stdin
from weir.sources.stdin import BLOCKS, PipeSource

PATIENCE = 10.0


class Pipe:
    """A source on a descriptor, read as the loop would: it sleeps until it is woken."""

    def __init__(
        self, fd: int, *, fmt: Literal["lines", "jsonl"] = "lines", max_record_bytes: int = 1_000, first: int = 1
    ) -> None:
        self.woken = threading.Event()
        self.rejects: list[Reject] = []
        self.source = PipeSource(
            fd,
            fmt=fmt,
            max_record_bytes=max_record_bytes,
            clock=lambda: 1_700_000_000.0,
            wake=self.woken.set,
            first_sequence=first,
        )

    def next(self, limit: int = 256) -> Reading | None:
        """Read once there is something, or the end."""
        while not self.source.exhausted():
            self.woken.clear()
            reading = self.source.read(0.0, limit)
            if reading is not None:
                return reading
            if not self.source.exhausted():
                assert self.woken.wait(PATIENCE), "nothing came, and nobody woke the loop"
        return None

    def records(self, limit: int = 256) -> Iterator[tuple[int, bytes]]:
        """Give every record to the end of the input, with its number."""
        while (reading := self.next(limit)) is not None:
            if reading.span is not None:
                assert len(reading.span) + len(reading.rejects) <= limit
                for index in range(len(reading.span)):
                    yield reading.span.place(index), reading.span.payload(index)
            self.rejects.extend(reading.rejects)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue  # closed by the test


def feed(writing: int, content: bytes, sizes: list[int]) -> threading.Thread:
    """Write in pieces of these sizes, from another thread, and close."""

    def write() -> None:
        rest = memoryview(content)
        turn = 0
        while rest:
            size = sizes[turn % len(sizes)]
            turn += 1
            rest = rest[os.write(writing, rest[:size]) :]
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_lines_come_in_order_with_consecutive_numbers(ends: tuple[int, int]) -> None:
    writer = feed(ends[1], b"".join(b"%d\n" % number for number in range(50_000)), [65_536, 7, 4_096])
    pipe = Pipe(ends[0], first=101)
    assert list(pipe.records()) == [(101 + number, b"%d" % number) for number in range(50_000)]
    writer.join()
    assert pipe.source.exhausted()
    assert pipe.source.unread() == (0, 0)
    pipe.source.close()


def test_an_unterminated_last_line_is_a_record(ends: tuple[int, int]) -> None:
    feed(ends[1], b"\xef\xbb\xbfone\r\n\r\n \ntwo\r", [3]).join()
    pipe = Pipe(ends[0])
    assert list(pipe.records()) == [(1, b"one"), (2, b"two")]
    pipe.source.close()


def test_bad_records_are_set_aside_and_numbered_like_good_ones(ends: tuple[int, int]) -> None:
    long = b"x" * 300_000
    feed(ends[1], b'1\n{\n2\n"' + long[:50_000] + b'"\n3\n', [1_000])
    pipe = Pipe(ends[0], fmt="jsonl")
    assert list(pipe.records()) == [(1, b"1"), (3, b"2"), (5, b"3")]
    assert [(reject.reason, reject.begin, reject.end, reject.size) for reject in pipe.rejects] == [
        ("malformed", 2, 2, 1),
        ("tooLarge", 4, 4, 50_002),
    ]
    assert pipe.rejects[1].digest == hashlib.sha256(b'"' + long[:50_000] + b'"').digest()
    pipe.source.close()


def test_a_record_larger_than_a_block_is_read(ends: tuple[int, int]) -> None:
    large = b"x" * 200_000
    feed(ends[1], b"a\n" + large + b"\r\n" + large + b"y\nb\n" + large, [65_536])
    pipe = Pipe(ends[0], max_record_bytes=200_000)
    assert [record for _, record in pipe.records()] == [b"a", large, b"b", large]
    assert [reject.size for reject in pipe.rejects] == [200_001]
    pipe.source.close()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"a", b"0123456789", b"\0", b"\xff"]), max_size=40),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 4),
)
def test_any_bytes_in_any_pieces_give_the_same_lines(parts: list[bytes], sizes: list[int], limit: int) -> None:
    content = b"".join(parts)
    reading, writing = os.pipe()
    writer = feed(writing, content, sizes)
    pipe = Pipe(reading, max_record_bytes=12)
    records = [record for _, record in pipe.records(limit)]
    writer.join()
    pipe.source.close()
    os.close(reading)
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    wanted = [line for line in lines if line.strip(b" \r")]
    assert records == [line for line in wanted if len(line) <= 12]
    assert [reject.size for reject in pipe.rejects] == [len(line) for line in wanted if len(line) > 12]


def test_a_line_without_end_is_passed_by_in_bounded_memory(ends: tuple[int, int]) -> None:
    content = bytes(64 << 20) + b"\nlast"
    tracemalloc.start()
    try:
        writer = feed(ends[1], content, [1 << 20])
        pipe = Pipe(ends[0])
        assert list(pipe.records()) == [(2, b"last")]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    writer.join()
    assert [(reject.reason, reject.size) for reject in pipe.rejects] == [("tooLarge", 64 << 20)]
    pipe.source.close()


def test_a_pipe_that_nobody_reads_pushes_back(ends: tuple[int, int]) -> None:
    reading, writing = ends
    os.set_blocking(writing, False)
    pipe = Pipe(reading)
    written = 0
    quiet = 0
    while quiet < 20:
        try:
            written += os.write(writing, b"x\n" * 32_768)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.005)
    assert written <= (BLOCKS + 1) * 65_536 + 65_536
    assert pipe.source.unread()[0] <= (BLOCKS + 1) * 65_536
    os.close(writing)
    assert sum(1 for _ in pipe.records()) == written // 2
    pipe.source.close()


def test_the_loop_is_woken_only_when_it_found_nothing(ends: tuple[int, int]) -> None:
    pipe = Pipe(ends[0])
    os.write(ends[1], b"1\n")
    wait_for(lambda: pipe.source.unread()[0] == 2)
    assert not pipe.woken.is_set()
    assert pipe.source.read(0.0, 10) is not None
    assert pipe.source.read(0.0, 10) is None
    os.write(ends[1], b"2\n")
    assert pipe.woken.wait(PATIENCE)
    pipe.source.close()


def test_after_a_stop_complete_lines_can_still_be_read_and_a_part_of_one_is_set_aside(ends: tuple[int, int]) -> None:
    os.write(ends[1], b"one\ntwo\nthr")
    pipe = Pipe(ends[0])
    wait_for(lambda: pipe.source.unread()[0] == 11)
    pipe.source.close()
    os.write(ends[1], b"ee\nfour\n")
    assert list(pipe.records()) == [(1, b"one"), (2, b"two")]
    (reject,) = pipe.rejects
    assert (reject.reason, reject.detail, reject.kept, reject.begin) == (
        "malformed",
        "unterminated at stop",
        b"thr",
        3,
    )
    assert pipe.source.exhausted()
    assert os.read(ends[0], 100) == b"ee\nfour\n", "nothing is taken after the stop"
    pipe.source.close()


def test_a_line_that_our_own_block_has_cut_in_two_is_read_to_its_end_at_a_stop_and_no_further(
    ends: tuple[int, int],
) -> None:
    content = b"".join(b"%099d\n" % number for number in range(7_000))
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    assert os.write(ends[1], content) == len(content)
    pipe = Pipe(ends[0])
    ahead = BLOCKS * 65_536
    wait_for(lambda: pipe.source.unread()[0] == ahead)
    pipe.source.close()
    taken = [record for _, record in pipe.records()]
    assert taken == content[: (ahead // 100 + 1) * 100].splitlines()
    assert pipe.rejects == []
    rest = Pipe(ends[0])
    os.close(ends[1])
    assert taken + [record for _, record in rest.records()] == content.splitlines()
    rest.source.close()


def test_a_writer_in_the_middle_of_a_line_is_waited_for_at_a_stop(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINE_SECONDS", "JOIN_SECONDS"):
        monkeypatch.setattr(stdin, name, PATIENCE)
    os.write(ends[1], b"one\ntw")
    pipe = Pipe(ends[0])
    wait_for(lambda: pipe.source.unread()[0] == 6)
    stopping = threading.Thread(target=pipe.source.close)
    stopping.start()
    wait_for(lambda: pipe.source._reader._stopping)  # noqa: SLF001 - else it may not be stopping yet
    os.write(ends[1], b"o\nthree\n")
    stopping.join()
    assert list(pipe.records()) == [(1, b"one"), (2, b"two")]
    assert pipe.rejects == []
    assert os.read(ends[0], 100) == b"three\n"


def test_an_input_that_ends_in_the_middle_of_a_line_at_a_stop_ends_with_a_record(ends: tuple[int, int]) -> None:
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    os.write(ends[1], b"x" * (BLOCKS * 65_536) + b"end")
    os.close(ends[1])
    pipe = Pipe(ends[0], max_record_bytes=1 << 20)
    wait_for(lambda: pipe.source.unread()[0] == BLOCKS * 65_536)
    pipe.source.close()
    assert [record for _, record in pipe.records()] == [b"x" * (BLOCKS * 65_536) + b"end"]


def test_a_stop_takes_no_time_while_the_pipe_is_silent_or_full(ends: tuple[int, int]) -> None:
    os.set_blocking(ends[1], False)
    for content in (b"", b"x\n" * 1_000_000):
        pipe = Pipe(ends[0])
        end = time.monotonic() + 0.05
        while content and time.monotonic() < end:
            try:
                os.write(ends[1], content[:65_536])
            except BlockingIOError:
                time.sleep(0.001)
        pipe.source.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "weir-stdin"]
        assert all(record == b"x" for _, record in pipe.records())


@pytest.mark.parametrize("content", [b"", b"\n\n", b"one\ntwo"])
def test_a_file_is_read_like_a_pipe(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("stdin") / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        pipe = Pipe(file.fileno())
        assert [record for _, record in pipe.records()] == content.split()
        pipe.source.close()


def test_nothing_is_read_from_the_null_device_a_closed_descriptor_and_none_at_all() -> None:
    with Path(os.devnull).open("rb") as file:
        fd = file.fileno()
        assert list(Pipe(fd).records()) == []
    assert list(Pipe(fd).records()) == []
    assert list(Pipe(-1).records()) == []


def test_a_descriptor_that_does_not_block_is_waited_for(ends: tuple[int, int]) -> None:
    os.set_blocking(ends[0], False)
    pipe = Pipe(ends[0])
    assert pipe.source.read(0.0, 10) is None
    feed(ends[1], b"one\n", [1])
    assert list(pipe.records()) == [(1, b"one")]
    pipe.source.close()


def test_a_terminal_is_read_until_it_hangs_up() -> None:
    controller, terminal = pty.openpty()
    pipe = Pipe(terminal)
    os.write(controller, b"one\n")
    first = pipe.next()
    assert first is not None
    assert first.span is not None
    assert first.span.payload(0) == b"one"
    os.close(controller)
    assert list(pipe.records()) == []
    pipe.source.close()
    os.close(terminal)


def test_a_pipe_has_no_files(ends: tuple[int, int]) -> None:
    source = Pipe(ends[0]).source
    assert not source.replayable
    assert source.advance(0.0) is None
    assert source.before_commit() == []
    assert source.forgotten() == []
    source.after_commit(0.0)
    assert source.counts() == SourceCounts()
    assert source.held_by() is None
    assert source.read(0.0, 0) is None
    source.close()

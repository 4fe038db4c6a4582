"""The log: one event, one line, on the right stream, whatever its values hold."""

from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path

import pytest

from weir.core import accounting
from weir.core.view import StreamView, View
from weir.report.log import GATHER_SECONDS, Log
from weir.report.stats import Stats


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def make(form: str = "text", level: str = "INFO") -> tuple[Log, io.StringIO, io.StringIO, Clock]:
    out, err, clock = io.StringIO(), io.StringIO(), Clock()
    return Log(level=level, form=form, out=out, err=err, wall=lambda: 0.0, monotonic=clock), out, err, clock


def test_up_to_info_goes_to_stdout_and_from_warning_on_to_stderr() -> None:
    log, out, err, _ = make()
    log("connected", inFlight=3)
    log("interrupted", reason="the broker is gone")
    assert out.getvalue() == "1970-01-01T00:00:00Z INFO event=connected inFlight=3\n"
    assert err.getvalue() == '1970-01-01T00:00:00Z WARNING event=interrupted reason="the broker is gone"\n'


def test_the_level_silences_what_is_below_it() -> None:
    log, out, err, _ = make(level="WARNING")
    log("connected")
    log("degraded", reason="diskLow")
    assert (out.getvalue(), err.getvalue().count("\n")) == ("", 1)


def test_json_lines_carry_the_same_fields() -> None:
    log, out, _, _ = make("json")
    log("started", pending=5, better=None, seconds=1.5, file=b"a \xff.log")
    assert json.loads(out.getvalue()) == {
        "time": "1970-01-01T00:00:00Z",
        "level": "INFO",
        "event": "started",
        "pending": 5,
        "seconds": 1.5,
        "file": "a \\xff.log",
    }


STATS = [
    "state",
    "read",
    "delivered",
    "unconfirmed",
    "handedOver",
    "dropped",
    "quarantined",
    "pending",
    "inFlight",
    "bytesUnread",
    "oldestSeconds",
    "inPerSecond",
    "outPerSecond",
    "etaSeconds",
]


@pytest.mark.parametrize("nothing", [True, False])
def test_a_stats_line_has_every_field_in_both_formats_every_time(*, nothing: bool) -> None:
    view = View(epoch=None, epoch_since=None, streams={}) if nothing else busy(1_000)
    for form in ("text", "json"):
        log, out, _, _ = make(form)
        stats = Stats()
        if not nothing:
            stats.fields(busy(0), 0.0, 100.0)
        log("stats", **stats.fields(view, 10.0, 100.0))
        words = out.getvalue().split()
        told = json.loads(out.getvalue()) if form == "json" else dict(word.split("=") for word in words[2:])
        assert list(told)[-len(STATS) :] == STATS
        assert told["oldestSeconds"] == ({"text": "none", "json": None}[form] if nothing else told["oldestSeconds"])


def busy(sent: int) -> View:
    counts = accounting.zero() | {"read": 2 * sent, "delivered": sent // 2, "handedOver": sent // 2, "pending": sent}
    stream = StreamView(
        counts=counts,
        mode="back/return-error",
        in_flight=50,
        queue_records=100,
        queue_bytes=16_400,
        bytes_unread=15_000,
    )
    return View(epoch="e", epoch_since=0.0, streams={"a": stream}, oldest_at=40.0, state="online")


def test_rates_are_those_since_the_line_before_and_what_is_not_read_yet_is_still_to_go() -> None:
    stats = Stats()
    stats.fields(busy(0), 0.0, 100.0)
    told = stats.fields(busy(1_000), 10.0, 100.0)
    assert (told["inPerSecond"], told["outPerSecond"]) == (200.0, 100.0)
    assert (told["oldestSeconds"], told["bytesUnread"]) == (60, 15_000)
    assert told["etaSeconds"] == 3  # 100 wait, 50 are out, and 15,000 bytes are 150 more of 100 bytes each
    assert stats.fields(busy(1_000), 20.0, 100.0)["etaSeconds"] is None  # nothing went


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", ["a\nevent=stopped", "\x1b[2J", "a\u202eb", "nul\x00", "tab\t", "\u2028", b"\xff\n"])
def test_hostile_values_never_break_the_line_or_reach_the_terminal(form: str, name: str | bytes) -> None:
    log, _, err, _ = make(form)
    log("source_skipped", name=name)
    line = err.getvalue()
    assert line.count("\n") == 1
    assert line[:-1].isprintable()


def test_drops_of_one_reason_are_one_line_in_ten_seconds_and_none_is_left_out() -> None:
    log, _, err, clock = make()
    for _ in range(100):
        log("dropped", stream="s", reason="queueFullFront", records=5, mode="back/drop-front")
    assert err.getvalue().count("records=5 ") == 1
    clock.now += GATHER_SECONDS
    log("dropped", stream="s", reason="queueFullFront", records=5, mode="back/drop-front")
    log("dropped", stream="s", reason="expired", records=1, mode="back/drop-front")
    log.flush()
    lines = err.getvalue().splitlines()
    assert len(lines) == 3
    assert "records=500" in lines[1]
    assert "reason=expired" in lines[2]


def test_under_journald_a_line_begins_with_its_priority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log = Log(level="INFO", form="text", out=stream, err=stream)
        log("connected")
        log("degraded", reason="diskLow")
        stream.seek(0)
        assert stream.read().splitlines() == ["<6>event=connected", "<3>event=degraded reason=diskLow"]


def test_the_socket_of_journald_is_known_and_each_line_of_it_has_the_priority_of_its_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, journald = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, journald, os.fdopen(os.dup(ours.fileno()), "w", encoding="utf-8") as stream:
        status = os.fstat(ours.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        for form in ("text", "json"):
            log = Log(level="DEBUG", form=form, out=stream, err=stream)
            for event in ("stats", "interrupted", "config_refused"):
                log(event, reason="a\n<0>forged")
        ours.shutdown(socket.SHUT_WR)
        lines = b"".join(iter(lambda: journald.recv(65_536), b"")).splitlines()
    assert [line[:3] for line in lines] == [b"<6>", b"<4>", b"<3>"] * 2
    assert lines[0] == b'<6>event=stats reason="a\\u000a<0>forged"'  # journald knows the time and the level
    assert json.loads(lines[4][3:])["event"] == "interrupted"


def test_a_stream_that_is_not_the_one_of_journald_has_no_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = socket.socketpair()
    with ours, other, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")  # inherited, and then the output went elsewhere
        Log(level="INFO", form="text", out=stream, err=stream)("connected")
        assert other.recv(1_000).split()[1:] == [b"INFO", b"event=connected"]


def test_a_log_that_nobody_reads_does_not_stop_the_work() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", closefd=True) as stream:
        log = Log(level="INFO", form="text", out=stream, err=stream)
        log("connected")
        with pytest.raises(BrokenPipeError):
            stream.flush()
        read, write = os.pipe()  # so that closing has somewhere to write what is left
        os.dup2(write, stream.fileno())
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        os.close(write)


def test_what_is_drawn_on_the_terminal_makes_way_before_a_line_and_only_then() -> None:
    out, ways = io.StringIO(), list[str]()
    log = Log(level="INFO", form="text", out=out, err=out, make_way=lambda: ways.append(out.getvalue()))
    log("connected")
    log("dropped", stream="s", reason="expired", records=1)
    log("dropped", stream="s", reason="expired", records=1)  # gathered: no line yet
    assert [way.count("\n") for way in ways] == [0, 1]

"""The log: one event, one line, on the right stream, whatever its values hold."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from weir.report.log import GATHER_SECONDS, Log


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
    log("stats", read=5, oldestSeconds=None, inPerSecond=1.5)
    assert json.loads(out.getvalue()) == {
        "time": "1970-01-01T00:00:00Z",
        "level": "INFO",
        "event": "stats",
        "read": 5,
        "inPerSecond": 1.5,
    }


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

"""The benchmarks' own arithmetic and its table; what they measure is not for a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import figures, page, plot, workload
from benchmarks.__main__ import main
from benchmarks.figures import RATIO, Figure
from benchmarks.processes import Mark, Report, Run, read_report, write_report


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_is_median_and_spread_of_its_rounds() -> None:
    rows = figures.table(
        [
            Figure("a", "rate", "1/s", [10_000.4, 30_000, 20_000]),
            Figure("b", "ratio", RATIO, [0.9, 0.7], "at least 0.8"),
        ]
    ).splitlines()
    assert [cells(row) for row in rows[2:]] == [
        ["rate", "20,000 1/s", "10,000 to 30,000", "3", ""],
        ["ratio", "0.80", "0.70 to 0.90", "2", "at least 0.8"],
    ]
    assert len({len(row) for row in rows}) == 1
    assert set(rows[1]) == {"|", "-", ":"}


def test_ratios_are_taken_round_by_round() -> None:
    assert figures.ratios([1, 10], [2, 10]) == [0.5, 1.0]
    with pytest.raises(ValueError, match=r"longer|shorter"):
        figures.ratios([1], [1, 2])


def test_a_benchmark_writes_between_its_own_markers_only(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "page.md"
    page.write("one", "first", file)
    page.write("two", "of another", file)
    file.write_text("before\n" + file.read_text() + "after\n")
    page.write("one", "second", file)
    blocks = (
        f"{page.begin(name)}\n\n{text}\n\n{page.END}" for name, text in (("one", "second"), ("two", "of another"))
    )
    assert file.read_text() == "\n\n".join(["before\n# What it costs and what it carries", *blocks]) + "\nafter\n"


def test_a_page_that_was_cut_off_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"text\n{page.begin('one')}\nolder figures\n")
    with pytest.raises(ValueError, match="second"):
        page.write("one", "new", file)
    assert "older figures" in file.read_text()


def test_the_plot_shows_what_the_page_says(tmp_path: Path) -> None:
    file, drawing = tmp_path / "page.md", tmp_path / "page.svg"
    plot.write(file, drawing)
    assert "<text" not in drawing.read_text()
    rates = [
        Figure("peers", "aiomqtt: rate", RATIO, [0.25]),
        Figure("peers", "aiomqtt: arrived of what it was given", "%", [100]),
    ]
    page.write("peers", figures.table(rates), file)
    page.write("scale", figures.table([Figure("scale", "1,000 records: CPU a record", "µs", [1_234.5])]), file)
    assert list(page.figures("scale", file)) == [("1,000 records: CPU a record", 1_234.5)]
    plot.write(file, drawing)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawing.read_text())
    assert texts[1:5] == ["aiomqtt", "0.25", "the bare client, one record a message", "1"]
    assert texts[-2:] == ["1,000 records", "1234.5"]


def test_records_are_json_of_one_size_and_all_different(tmp_path: Path) -> None:
    workload.write_records(tmp_path / "records", 10_001)
    lines = (tmp_path / "records").read_bytes().splitlines()
    assert {len(line) for line in lines} == {workload.RECORD_BYTES}
    assert [int(json.loads(line)["sequence"]) for line in lines] == list(range(10_001))


def test_a_run_is_timed_from_the_first_publish_to_the_last_acknowledgement(tmp_path: Path) -> None:
    report = Report(Mark(100.0, 1.0), Mark(102.0, 1.5), 1000, 30.0)
    write_report(tmp_path / "report", report)
    run = Run(read_report(tmp_path / "report"), 4.0)
    assert run.report == report
    assert (run.rate, run.whole_rate, run.cpu_micros) == (500.0, 250.0, 500.0)


def test_an_unknown_benchmark_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["large", "wide"])
    known = "messages, batches, peers, pace, scale, streams, large, flash, idle, operation_queue"
    assert f"no such benchmark: wide (there are {known})" in capsys.readouterr().err

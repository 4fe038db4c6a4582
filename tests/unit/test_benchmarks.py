"""The benchmarks' own arithmetic and its table; what they measure is not for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import figures, workload
from benchmarks.__main__ import main
from benchmarks.figures import BEGIN, END, RATIO, Figure
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
        ["a", "rate", "20,000 1/s", "10,000 to 30,000", "3", ""],
        ["b", "ratio", "0.80", "0.70 to 0.90", "2", "at least 0.8"],
    ]
    assert len({len(row) for row in rows}) == 1
    assert set(rows[1]) == {"|", "-", ":"}


def test_ratios_are_taken_round_by_round() -> None:
    assert figures.ratios([1, 10], [2, 10]) == [0.5, 1.0]
    with pytest.raises(ValueError, match=r"longer|shorter"):
        figures.ratios([1], [1, 2])


def test_only_what_is_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    figures.write(page, "first")
    page.write_text("before\n" + page.read_text() + "after\n")
    figures.write(page, "second")
    assert page.read_text() == f"before\n# Figures\n\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"


def test_a_page_that_was_cut_off_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"text\n{BEGIN}\nolder figures\n")
    with pytest.raises(ValueError, match="second"):
        figures.write(page, "new")
    assert "older figures" in page.read_text()


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
    assert "no such benchmark: wide (there are directory, backlog, large, operation_queue)" in capsys.readouterr().err

"""The metrics file, read by the parser that Prometheus' own client comes with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from weir import __version__
from weir.core import accounting
from weir.core.accounting import BESIDE, DROP_REASONS, MESSAGES, QUARANTINE_REASONS
from weir.core.view import Degradation, StreamView, View
from weir.report import metrics

HOSTILE = 'a"b\\c\nd{e}=,# f'


def numbered(first: int) -> accounting.Counts:
    """Give counters of which each has a value of its own."""
    return {name: first + number for number, name in enumerate(accounting.COUNTERS)}


def make(**changes: object) -> View:
    shown = {
        "epoch": "6f1c",
        "epoch_since": 1.5,
        "streams": {
            "a": StreamView(
                counts=numbered(1_000),
                mode="back/drop-front",
                in_flight=2,
                queue_records=3,
                queue_bytes=4,
                bytes_unread=5,
                files_waiting=6,
            ),
            "b": StreamView(counts=numbered(2_000), mode=None, orphaned=True),
        },
        "possible_twins": 7,
        "state_lost": 1,
        "duplicate_bound": 5_050,
        "bytes_written": 10**15,
        "oldest_at": 1_700_000_000.25,
        "updated": 1_700_000_001.0,
        "state": "online",
        "thing_name": "gw-17",
        "transport": "mqtt311",
    }
    return View(**(shown | changes))  # type: ignore[arg-type]  # the names are the struct's own


def parsed(view: View) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(metrics.exposition(view)))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    (sample,) = [one for one in families[name].samples if one.labels == labels]
    return sample.value


def test_every_metric_has_a_type_a_help_and_a_name_as_they_are_used_to() -> None:
    for name, family in parsed(make()).items():
        assert family.type in {"counter", "gauge"}, name
        assert family.documentation.endswith("."), name
        assert name.startswith("weir_")
        for sample in family.samples:
            assert sample.name == (f"{name}_total" if family.type == "counter" else name)


def test_every_counter_of_the_status_is_there_with_its_own_figure() -> None:
    families, view = parsed(make()), make()
    shown = {sample.value for family in families.values() for sample in family.samples}
    for stream in view.streams.values():
        for name in accounting.COUNTERS:
            if name not in {*MESSAGES, "possibleTwins"}:
                assert stream.counts[name] in shown, name
    for name in MESSAGES:
        assert sum(stream.counts[name] for stream in view.streams.values()) in shown, name
    assert value(families, "weir_records_possible_twins") == 7 + sum(
        stream.counts["possibleTwins"] for stream in view.streams.values()
    )
    assert len(BESIDE) == 7  # a new one wants its metric


def test_the_records_of_a_stream_balance_in_the_file_too() -> None:
    counts = accounting.zero() | {"read": 21, "delivered": 1, "unconfirmed": 2, "handedOver": 3, "pending": 4}
    counts |= {"dropped.expired": 5, "quarantined.malformed": 6}
    families = parsed(make(streams={"a": StreamView(counts=counts, mode="back/return-error")}))
    ends = ["delivered", "unconfirmed", "handed_over", "dropped", "quarantined", "pending"]
    together = sum(sample.value for word in ends for sample in families[f"weir_records_{word}"].samples)
    assert together == value(families, "weir_records_read", stream="a") == 21


def test_every_reason_is_a_label() -> None:
    families = parsed(make())
    for word, reasons in (("dropped", DROP_REASONS), ("quarantined", QUARANTINE_REASONS)):
        for reason in reasons:
            assert value(families, f"weir_records_{word}", stream="a", reason=reason) > 0


def test_what_runs_is_told_with_its_epoch() -> None:
    families = parsed(make(held_by="pace", degraded=[Degradation("diskLow", 0.0, "free space")]))
    labels = {"version": __version__, "epoch": "6f1c", "thing": "gw-17", "transport": "mqtt311"}
    assert value(families, "weir_info", **labels) == 1
    assert (value(families, "weir_up"), value(families, "weir_online")) == (1, 1)
    assert value(families, "weir_degraded", reason="diskLow") == 1
    assert value(families, "weir_gate_held", reason="pace") == 1
    assert value(families, "weir_oldest_pending_timestamp_seconds") == 1_700_000_000.25
    assert value(families, "weir_store_written_bytes") == 10**15


def test_what_is_not_known_is_left_out_and_the_rest_can_be_read() -> None:
    nothing = View(epoch=None, epoch_since=None, streams={})
    families = parsed(nothing)
    assert value(families, "weir_up") == 0
    assert not {"weir_records_read", "weir_oldest_pending_timestamp_seconds", "weir_degraded"} & set(families)


def test_a_label_keeps_its_value_whatever_that_is() -> None:
    stream = make().streams["a"]
    families = parsed(make(streams={HOSTILE: stream}, thing_name=HOSTILE))
    assert value(families, "weir_queue_records", stream=HOSTILE) == 3
    assert [sample.labels["thing"] for sample in families["weir_info"].samples] == [HOSTILE]


def test_the_file_is_replaced_whole_and_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "weir.prom"
    before = os.umask(0o077)
    try:
        metrics.replace(path, "old\n" * 1_000)
        with path.open() as reader:
            metrics.replace(path, "new\n")
            assert reader.read() == "old\n" * 1_000  # whoever reads meanwhile sees the old one, whole
    finally:
        os.umask(before)
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["weir.prom"]


def test_what_a_process_left_when_it_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".weir.prom.tmp").symlink_to(other)
    metrics.replace(tmp_path / "weir.prom", "new\n")
    assert (other.read_text(), (tmp_path / "weir.prom").read_text()) == ("mine", "new\n")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "weir.prom").mkdir()
    with pytest.raises(OSError, match=r"weir\.prom"):
        metrics.replace(tmp_path / "weir.prom", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["weir.prom"]

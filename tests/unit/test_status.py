"""The status document and its table."""

from __future__ import annotations

import json

import pytest

from weir.core import accounting
from weir.core.view import Degradation, StreamView, View
from weir.report import status

CONTRACT_KEYS = {
    "version", "epoch", "epochSince", "running", "pid", "thingName", "state", "heldBy", "sourceHeldBy", "transport",
    "updated", "degraded", "records", "beside", "source", "messages", "storeBytesWritten", "duplicateBound",
    "oldestPendingSeconds", "streams",
}  # fmt: skip


def counts(**figures: int) -> accounting.Counts:
    return accounting.zero() | {name.replace("__", "."): value for name, value in figures.items()}


def make() -> View:
    return View(
        epoch="6f1c" * 8,
        epoch_since=0.0,
        streams={
            "a": StreamView(
                counts=counts(read=10, delivered=4, pending=3, dropped__expired=2, quarantined__malformed=1),
                mode="back/drop-front",
                in_flight=2,
                queue_records=1,
                bytes_unread=100,
                files_waiting=1,
                held_by="queueFull",
            ),
            "b": StreamView(counts=counts(read=5, delivered=5), mode=None, orphaned=True),
        },
        possible_twins=7,
        oldest_at=40.0,
        state="online",
        pid=4711,
    )


def test_the_document_has_the_keys_of_the_contract() -> None:
    document = status.document(make(), 100.0)
    assert set(document) == CONTRACT_KEYS
    assert set(document["streams"]["a"]) == {"records", "queueRecords", "queueBytes", "mode", "orphaned"}


def test_totals_are_the_sums_of_the_streams_and_the_law_is_checked_on_them() -> None:
    document = status.document(make(), 100.0)
    records = document["records"]
    assert (records["read"], records["delivered"], records["pending"], records["inFlight"]) == (15, 9, 3, 2)
    assert (records["droppedTotal"], records["quarantinedTotal"], records["balanced"]) == (2, 1, True)
    assert document["beside"]["possibleTwins"] == 7
    assert (document["oldestPendingSeconds"], document["sourceHeldBy"]) == (60, "queueFull")


def test_a_broken_law_is_shown() -> None:
    view = make()
    view.streams["b"].counts["read"] += 1
    document = status.document(view, 100.0)
    assert document["records"]["balanced"] is False
    assert "≠" in status.table(document)


def test_without_a_state_everything_is_zero_and_there_is_no_epoch() -> None:
    document = status.document(View(epoch=None, epoch_since=None, streams={}), 100.0)
    assert (document["epoch"], document["running"], document["records"]["read"]) == (None, False, 0)
    assert document["records"]["balanced"] is True


def test_the_table_says_what_a_person_looks_for() -> None:
    view = make()
    view.degraded = [Degradation("diskLow", 0.0, "free space")]
    table = status.table(status.document(view, 100.0))
    for words in (
        "read 15 =",
        "back/drop-front",
        "orphaned",
        "expired 2",
        "degraded: diskLow",
        "oldest pending: 1m00s",
    ):
        assert words in table


def test_a_status_that_fits_is_published_whole() -> None:
    document = status.document(make(), 100.0)
    assert json.loads(status.message(document, 131_072)) == document


@pytest.mark.parametrize(("streams", "reasons"), [(50, 1), (50, 20), (1, 40)])
def test_a_status_that_is_published_has_at_most_four_kilobytes_and_says_what_it_leaves_out(
    streams: int, reasons: int
) -> None:
    view = make()
    view.thing_name = "t" * 128
    view.streams |= {f"s{number}": view.streams["a"] for number in range(streams)}
    view.degraded = [Degradation(f"reason{number}", 0.0, "x" * 400) for number in range(reasons)]
    document = status.document(view, 100.0)
    message = status.message(document, 131_072)
    assert len(message) <= 4_096
    told = json.loads(message)
    assert told["truncated"] is True
    assert told["records"] == document["records"]
    assert [one["reason"] for one in told["degraded"]] == [one["reason"] for one in document["degraded"]]


def test_a_status_keeps_to_the_limit_of_the_transport_as_well() -> None:
    assert len(status.message(status.document(make(), 100.0), 1_700)) <= 1_700


def test_names_from_outside_cannot_act_on_the_terminal() -> None:
    view = make()
    view.streams["x\x1b[2J"] = view.streams.pop("b")
    assert "\x1b" not in status.table(status.document(view, 100.0))
    entry = ("s\x1b", "t\n", "expired", 0.0, 1.0, 3, 30)
    table = status.losses_table(status.losses([entry]))
    assert "\x1b" not in table
    assert table.count("\n") == 1

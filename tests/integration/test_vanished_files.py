"""Files that are deleted while records of them wait: what was read of them is in no other place, as with a pipe.

In process: the real loop, ledger, source and store, with the broker in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes import FakeTransport
from tests.rig import Faults, Rig
from weir.forwarder.inbox import Inbox

Make = Callable[..., Rig]
RECORDS = [b'{"id":%d}' % number for number in range(50)]


def unreachable(inbox: Inbox) -> FakeTransport:
    return FakeTransport(inbox.post, inbox.settled, reachable=False)


def reachable(inbox: Inbox) -> FakeTransport:
    return FakeTransport(inbox.post, inbox.settled)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    rigs: list[Rig] = []

    def make_one(faults: Faults | None = None, **changes: object) -> Rig:
        rigs.append(Rig(tmp_path / str(len(rigs)), unreachable, faults=faults, changes=changes))
        return rigs[-1]

    yield make_one
    for rig in rigs:
        rig.close()


def write(rig: Rig, name: str, records: list[bytes]) -> Path:
    path = rig.inbox_path / name
    path.write_bytes(b"".join(record + b"\n" for record in records))
    return path


def arrived(rig: Rig) -> list[bytes]:
    assert isinstance(rig.transport, FakeTransport)
    return [message.payload for message in rig.transport.received]


def deliver(rig: Rig) -> list[bytes]:
    assert isinstance(rig.transport, FakeTransport)
    rig.transport.reachable = True
    rig.until(lambda: rig.forwarder.drained and not rig.counts["pending"], "all is delivered")
    return arrived(rig)


@pytest.mark.parametrize(("when", "failures"), [("before", 1), ("before", 3), ("after", 1)])
@pytest.mark.parametrize("has_row", [True, False])
def test_records_of_a_file_that_is_gone_outlive_a_commit_that_fails(
    make: Make, when: str, failures: int, *, has_row: bool
) -> None:
    failing = False
    faults = Faults(lambda _number, call: when if failing and call == "commit" else None)
    rig = make(faults, state__commitSeconds=10)
    write(rig, "stays.jsonl", [b"{}"])
    rig.seconds(1)
    gone = write(rig, "a.jsonl", [*RECORDS, b"{bad"])
    rig.seconds(12 if has_row else 2)  # the clock by hand goes on a second though the new file wakes the loop at once
    gone.unlink()
    rig.seconds(3)
    failing = True
    rig.until(lambda: faults.failures >= failures, "commits fail")
    failing = False
    assert sorted(deliver(rig)) == sorted([b"{}", *RECORDS])
    assert rig.counts["quarantined.malformed"] == 1
    assert rig.counts["read"] == rig.counts["delivered"] + 1 == 52
    assert rig.counts["sourceVanishedFiles"] == 0
    assert rig.ledger.store.law() == []


def test_what_was_not_read_of_a_file_that_is_gone_is_counted_when_the_store_fails(make: Make) -> None:
    failing = False
    rig = make(
        Faults(lambda _number, call: "before" if failing and call == "commit" else None),
        streams__telemetry__queue__maxRecords=20,
    )
    gone = write(rig, "a.jsonl", RECORDS)
    write(rig, "stays.jsonl", [b"{}"])
    rig.seconds(3)
    failing = True
    gone.unlink()
    rig.until(lambda: rig.faults.failures, "a commit fails")
    failing = False
    found = deliver(rig)
    assert sorted(set(found)) == sorted([b"{}", *RECORDS[:20]])
    assert rig.counts["sourceVanishedFiles"] == 1


@pytest.mark.parametrize(("when", "failures"), [("before", 1), ("before", 3), ("after", 1)])
@pytest.mark.parametrize("room", [20, 1])
def test_what_was_dropped_of_a_file_that_is_gone_is_counted_though_a_commit_fails(
    make: Make, when: str, failures: int, room: int
) -> None:
    failing = False
    faults = Faults(lambda _number, call: when if failing and call == "commit" else None)
    changes = {"state__commitSeconds": 60, "streams__telemetry__queue__mode": 3}
    rig = make(faults, **changes, streams__telemetry__queue__maxRecords=room)
    gone = write(rig, "a.jsonl", RECORDS)
    stays = write(rig, "stays.jsonl", [b"{}"] * room)  # the newer one, so what waits in the end is of this one alone
    rig.seconds(30)
    gone.unlink()
    rig.seconds(3)
    failing = True
    rig.until(lambda: faults.failures >= failures, "commits fail")
    failing = False
    assert deliver(rig)[-room:] == [b"{}"] * room
    rig.seconds(70)
    assert stays.exists()
    assert rig.counts["read"] == len(RECORDS) + room
    assert rig.counts["delivered"] + rig.counts["dropped.queueFullFront"] == len(RECORDS) + room
    (loss,) = rig.ledger.store.losses()
    assert loss[-2] == rig.counts["dropped.queueFullFront"] > 0
    assert rig.ledger.store.law() == []
    assert rig.counts["sourceVanishedFiles"] == 0


def test_a_file_that_was_gone_and_dropped_when_the_store_failed_is_not_read_again_by_the_next_process(
    make: Make, tmp_path: Path
) -> None:
    failing = False
    faults = Faults(lambda _number, call: "before" if failing and call == "commit" else None)
    changes = {"state__commitSeconds": 60, "streams__telemetry__queue__mode": 3}
    rig = make(faults, **changes, streams__telemetry__queue__maxRecords=1)
    gone = write(rig, "a.jsonl", RECORDS)
    write(rig, "stays.jsonl", [b"{}"])
    rig.seconds(30)
    elsewhere = gone.rename(tmp_path / "elsewhere")
    rig.seconds(10)
    failing = True
    rig.until(lambda: faults.failures, "a commit fails")
    failing = False
    rig.seconds(70)
    rig.stop()
    elsewhere.rename(gone)
    rig.begin(reachable)
    deliver(rig)
    rig.seconds(70)
    assert rig.counts["read"] == len(RECORDS) + 1
    assert rig.counts["dropped.queueFullFront"] == len(RECORDS)


@pytest.mark.parametrize("how", ["unread", "half read", "not settled", "settled"])
@pytest.mark.parametrize("failures", [1, 3])
def test_a_file_that_is_deleted_while_the_store_fails_is_counted_if_anything_of_it_is_missing(
    make: Make, how: str, failures: int
) -> None:
    failing = False
    faults = Faults(lambda _number, call: "before" if failing and call == "commit" else None)
    rig = make(faults, streams__telemetry__queue__maxRecords=100 if how == "settled" else 20)
    write(rig, "a.jsonl", [b"{}"] * (25 if how == "unread" else 1))
    rig.seconds(1)
    gone = write(rig, "b.jsonl", RECORDS[:5] if how in {"not settled", "settled"} else RECORDS)
    if how == "settled":
        deliver(rig)
        rig.seconds(2)
        assert rig.counts["read"] == 6
    rig.seconds(2)
    failing = True
    write(rig, "c.jsonl", [b"{bad"])
    assert isinstance(rig.transport, FakeTransport)
    rig.transport.reachable = True
    rig.until(lambda: faults.failures, "a commit fails")
    gone.unlink()
    rig.until(lambda: faults.failures >= failures, "commits fail")
    failing = False
    deliver(rig)
    rig.seconds(5)
    assert rig.counts["sourceVanishedFiles"] == int(how != "settled")
    assert rig.ledger.store.law() == []


def test_what_was_not_read_of_a_file_that_is_gone_is_counted_at_a_stop(make: Make) -> None:
    rig = make(streams__telemetry__queue__maxRecords=20)
    gone = write(rig, "a.jsonl", RECORDS)
    write(rig, "stays.jsonl", [b"{}"])
    rig.seconds(3)
    gone.unlink()
    rig.seconds(3)
    assert rig.counts["sourceVanishedFiles"] == 0, "it is open, and can be read to its end"
    rig.stop()
    rig.begin(reachable)
    assert sorted(deliver(rig)) == sorted([b"{}", *RECORDS[:20]])
    assert rig.counts["sourceVanishedFiles"] == 1


def test_what_was_read_of_a_file_that_is_gone_is_kept_at_a_stop_though_there_is_no_room(make: Make) -> None:
    rig = make(streams__telemetry__queue__maxRecords="none", streams__telemetry__queue__maxBytes=1_000)
    gone = write(rig, "a.jsonl", RECORDS)
    write(rig, "stays.jsonl", [b"{}"])
    rig.seconds(3)
    gone.unlink()
    rig.seconds(3)
    assert rig.counts["pending"] < len(RECORDS)
    rig.stop()
    rig.begin(reachable)
    assert sorted(deliver(rig)) == sorted([b"{}", *RECORDS])
    assert rig.counts["sourceVanishedFiles"] == 0

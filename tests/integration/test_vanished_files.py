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
    rig.seconds(12 if has_row else 1)
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

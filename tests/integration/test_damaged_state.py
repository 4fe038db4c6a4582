"""A forwarder whose state is damaged: it goes on by itself, says so, and what can be read of the state arrives."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.conditions import eventually
from tests.device import Device
from tests.observer import Message
from tests.rig import Rig
from tests.world import Mortal

COUNT = 300


@pytest.fixture
def device(tmp_path: Path, stopped_broker: Broker) -> Iterator[Device]:
    device = Device(tmp_path, stopped_broker)
    yield device
    device.close()


def change(device: Device, statement: str) -> None:
    with sqlite3.connect(device.state / "weir.db") as database:
        database.execute(statement)
    database.close()


def recoveries(device: Device) -> list[str]:
    return [line for line in device.log().splitlines() if "event=state_recovered" in line]


def leave_a_backlog(device: Device, records: list[bytes]) -> str:
    """Let a process that is killed leave these records of a pipe, read and not sent; give its epoch."""
    readable, writable = os.pipe()
    try:
        device.start("--stdin", stdin=readable)
        os.write(writable, b"".join(record + b"\n" for record in records))
        before = device.until(lambda s: s["records"]["pending"] == len(records))
        device.kill()
        device.process = None
    finally:
        os.close(readable)
        os.close(writable)
    return str(before["epoch"])


DAMAGES = {
    "a counter": "UPDATE stream SET delivered = delivered + 4",
    "a row that makes no sense": "UPDATE stream SET positions = '[[1'",
    "a table": "DROP TABLE loss",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_a_pipe_had_given_arrives_though_the_state_is_damaged(
    device: Device, stopped_broker: Broker, what: str
) -> None:
    records = [b"record %d" % number for number in range(COUNT)]
    epoch = leave_a_backlog(device, records)
    change(device, DAMAGES[what])
    answer = device.ask("status", "--json")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "is damaged" in answer.stderr
    assert "Traceback" not in answer.stderr

    stopped_broker.start()
    observer = stopped_broker.observe()
    assert device.run("--stdin", stdin=b"") == 0, device.log()
    observer.wait_for(COUNT)
    assert sorted(observer.arrived()) == sorted(records)
    status = device.status("--verify")
    assert (status["beside"]["stateLost"], status["verified"]) == (1, True)
    assert status["epoch"] != epoch
    assert (status["records"]["read"], status["records"]["delivered"]) == (COUNT, COUNT)
    [line] = recoveries(device)
    assert f"records={COUNT}" in line
    assert len(list(device.state.glob("weir.db.corrupt-*"))) == 1
    assert "Traceback" not in device.log()

    assert device.run("--stdin", stdin=b"") == 0
    assert device.status()["beside"]["stateLost"] == 1, "it was over with that"


def test_commits_that_are_missing_are_never_shown_as_a_fall(device: Device, stopped_broker: Broker) -> None:
    stopped_broker.start()
    (device.inbox / "a.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % number for number in range(COUNT)))
    device.start(state__commitSeconds=0.1)
    epoch = device.until(lambda s: s["records"]["delivered"] == COUNT)["epoch"]
    device.kill()
    log = device.state / "weir.db-wal"
    used = len(log.read_bytes().rstrip(b"\0"))  # it is made longer ahead of what is written to it
    os.truncate(log, used // 2)
    device.start()
    eventually(lambda: recoveries(device), what="it is noticed")
    status = device.until(lambda s: s["running"] and s["records"]["delivered"] > 0, what="it goes on")
    assert status["epoch"] != epoch
    assert status["beside"]["stateLost"] == 1
    assert "transactions are not there" in recoveries(device)[0]
    assert device.terminate() == 0


def test_damage_that_is_met_in_the_middle_of_a_run_is_mended_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.store.inspection.SMALL_BYTES", 0)  # as in a large state, where not all is looked at first
    received: list[Message] = []
    rig = Rig(tmp_path, lambda inbox: Mortal(inbox, None, received), pipe=True)
    for _ in range(40):
        rig.feed(30)
        rig.until(lambda: rig.counts["read"] == len(rig.fed), "each has a row of its own, and they have several pages")
    epoch = rig.document()["epoch"]
    rig.die()
    content = bytearray((tmp_path / "state" / "weir.db").read_bytes())
    page = max(range(0, len(content), 4096), key=lambda at: content[at : at + 4096].count(b'{"id":6'))
    content[page : page + 4096] = bytes(4096)
    (tmp_path / "state" / "weir.db").write_bytes(content)

    rig.begin(lambda inbox: Mortal(inbox, None, received))
    assert isinstance(rig.transport, Mortal)
    rig.transport.resume()
    rig.until(lambda: rig.ledger.opened and rig.document()["beside"]["stateLost"], "it is noticed")
    assert rig.document()["epoch"] != epoch
    rig.until(lambda: not rig.counts["pending"], "all that is left is sent")
    assert not rig.degraded
    assert rig.ledger.store.law() == []
    arrived = {message.payload for message in received}
    good = [record for record in rig.fed if record.endswith(b"}")]
    assert arrived <= set(good)
    assert 0.5 * len(good) < len(arrived) < len(good), "what was on that page is gone, and not much more"
    rig.close()

"""The demonstration, as `make demo` runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.broker import Broker
from demo.certificates import make_certificates
from demo.workplace import Workplace
from tests.conditions import eventually

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 150.0  # of the whole; each phase of it has one of its own


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a directory for temporary files, with a path that a careless program would split."""
    place = tmp_path / "a place of its own"
    place.mkdir()
    return place


def started(place: Path) -> subprocess.Popen[str]:
    # The broker is named: where mosquitto is missing this fails, rather than show another broker.
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--quick", "--broker", "mosquitto"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        umask=0,
        preexec_fn=heeds_ctrl_c,  # noqa: PLW1509 - it runs one call, and no thread of ours holds a lock of the interpreter
    )


def heeds_ctrl_c() -> None:
    """Take SIGINT as a terminal's foreground does; who runs tests in the background passes on that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def at_work_in(place: Path) -> Iterator[int]:
    """Give the processes whose current directory is in there: broker and forwarder, while they run."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink().is_relative_to(place):
                yield int(link.parent.name)
        except OSError:  # gone, or not ours to look at
            continue


def test_it_tells_the_whole_story_and_the_account_balances(place: Path) -> None:
    process = started(place)
    told, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 0, told
    assert "a client without a certificate is turned away" in told
    assert re.findall(r"^-- (\d)\.", told, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert re.search(r"offline \(gate held by offline\)", told)
    account = told.partition("-- The account")[2]
    figures = re.search(
        r"ok +read ([\d,]+) = delivered ([\d,]+) \+ dropped ([\d,]+) \+ pending 0$", account, re.MULTILINE
    )
    assert figures, told
    read, delivered, dropped = (int(figure.replace(",", "")) for figure in figures.groups())
    assert read == delivered + dropped
    assert min(delivered, dropped) > 0
    assert f"ok     fed {read:,} = read {read:,}" in account
    assert "WRONG" not in account
    assert account.endswith("It balances: every record is accounted for.\n")
    assert not list(place.iterdir())
    assert not list(at_work_in(place))


def test_ctrl_c_in_the_middle_leaves_no_process_and_no_file_behind(place: Path) -> None:
    process = started(place)
    assert process.stdout is not None
    for line in process.stdout:
        if "weir status" in line:  # the forwarder runs by now
            break
    (directory,) = place.iterdir()
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*.key")} == {0o600}
    eventually(lambda: len(list(at_work_in(place))) >= 2, what="broker and forwarder are at work")

    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 130, told
    assert not list(place.iterdir())
    assert not list(at_work_in(place))


@pytest.mark.parametrize(("name", "demands"), [("mosquitto", True), ("amqtt", False)])
def test_whether_a_broker_demands_a_certificate_is_found_out_by_trying(name: str, *, demands: bool) -> None:
    workplace = Workplace(keep=False)
    broker = Broker(workplace, make_certificates(workplace.path), name)
    try:
        broker.start()
        assert broker.admits_without_certificate() is not demands
    finally:
        broker.close()
        workplace.close()

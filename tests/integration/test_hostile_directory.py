"""A watched directory as it may really look: what cannot be read is counted and passed by, all else arrives."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, Observer
from tests.conditions import eventually
from tests.device import Device

SECRET = b"payload-4711"  # in every record, so that the log can be searched for it
NAMES = (
    b"new\nline.log",
    b"escape\x1b[31m.log",
    b"not UTF-8 \xff\xfe.log",
    b"tab\tand return\r.log",
    b"\xe2\x80\xaeright to left.log",
    b"event=delivered records=1000.log",
    b'quote".log',
    b"-rf.log",
    b"$(reboot).log",
    b"n" * 255,
)
HIDDEN = (b".dot.log", b"half.tmp", b"half.part", b"backup~", b".weir-archive")


class Unprivileged(Device):
    """A device whose process may read only what permissions allow, though its user may be root."""

    def command(self, *words: str) -> list[str]:
        without = "-dac_override,-dac_read_search"
        prefix = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"] if os.geteuid() == 0 else []
        return [*prefix, *super().command(*words)]


@pytest.fixture
def unprivileged(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    device = Unprivileged(tmp_path, broker)
    yield device
    device.inbox.chmod(0o700)
    device.close()


def write(device: Device, name: bytes, *records: bytes) -> None:
    (device.inbox / os.fsdecode(name)).write_bytes(b"".join(record + b" " + SECRET + b"\n" for record in records))


def arrived(observer: Observer, count: int) -> list[bytes]:
    return sorted(message.payload.removesuffix(b" " + SECRET) for message in observer.wait_for(count))


def check_text_log(device: Device) -> None:
    """One event a line, nothing that a terminal would act upon, and nothing of a record."""
    log = b"".join(path.read_bytes() for path in sorted(device.directory.glob("run-*.log")))
    assert SECRET not in log
    for line in log.decode().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) event=\w+( |$)", line), line
        assert line.isprintable(), line


# -- an inbox that is empty, or not there -----------------------------------------------------------------------------


def test_an_empty_directory_is_no_trouble(device: Device) -> None:
    assert device.run("--once") == 0, device.log()
    assert device.status()["records"]["read"] == 0
    check_text_log(device)


def test_a_missing_directory_is_waited_for_and_said_once(device: Device, observer: Observer) -> None:
    device.inbox = device.directory / "later"
    device.start(report__logSeconds=1)
    device.until(lambda s: s["sourceHeldBy"] == "missing")
    eventually(lambda: device.log().count("event=stats") >= 2, what="it has looked again and again")
    assert device.log().count("event=source_missing") == 1
    device.inbox.mkdir()
    write(device, b"a.log", b"1")
    assert arrived(observer, 1) == [b"1"]
    assert device.until(lambda s: s["records"]["delivered"] == 1)["sourceHeldBy"] is None
    assert device.log().count("event=source_missing") == 1
    check_text_log(device)


def test_a_single_run_does_not_wait_for_a_missing_directory_for_ever(device: Device) -> None:
    device.inbox = device.directory / "never"
    assert device.run("--once", "--drain-timeout", "0.5") == 3
    assert "event=source_missing" in device.log()


# -- what cannot be read ----------------------------------------------------------------------------------------------


def test_an_unreadable_file_is_counted_and_read_once_it_may_be(unprivileged: Device, observer: Observer) -> None:
    device = unprivileged
    write(device, b"a.log", b"a")
    write(device, b"closed.log", b"closed")
    (device.inbox / "closed.log").chmod(0)
    device.start()
    assert arrived(observer, 1) == [b"a"]
    device.until(lambda s: s["beside"]["sourceSkippedFiles"] == 1)
    write(device, b"b.log", b"b")
    assert arrived(observer, 2) == [b"a", b"b"]
    (device.inbox / "closed.log").chmod(0o600)
    assert arrived(observer, 3) == [b"a", b"b", b"closed"]
    status = device.until(lambda s: s["records"]["delivered"] == 3)
    assert status["beside"]["sourceSkippedFiles"] == 1
    assert "reason=unreadable" in device.log()
    check_text_log(device)


def test_an_unreadable_directory_is_waited_for(unprivileged: Device, observer: Observer) -> None:
    device = unprivileged
    write(device, b"a.log", b"a")
    device.inbox.chmod(0)
    device.start()
    device.until(lambda s: s["sourceHeldBy"] == "unreadable")
    device.inbox.chmod(0o700)
    assert arrived(observer, 1) == [b"a"]
    device.until(lambda s: s["sourceHeldBy"] is None)
    check_text_log(device)


def test_only_regular_files_are_read(device: Device, observer: Observer) -> None:
    inbox = device.inbox
    os.mkfifo(inbox / "fifo")
    (inbox / "link.log").symlink_to("/etc/passwd")
    (inbox / "dangling.log").symlink_to("nowhere")
    (inbox / "loop.log").symlink_to("loop.log")
    (inbox / "directory.log").mkdir()
    (inbox / "directory.log" / "inside.log").write_bytes(SECRET)
    with socket.socket(socket.AF_UNIX) as listener:
        where = Path.cwd()
        os.chdir(inbox)  # the address of a socket may not be as long as a path
        listener.bind("socket.log")
        os.chdir(where)
    write(device, b"a.log", b"a")
    write(device, b"z.log", b"z")
    assert device.run("--once") == 0, device.log()
    assert arrived(observer, 2) == [b"a", b"z"]
    status = device.status("--verify")
    assert status["records"]["read"] == 2
    assert status["beside"]["sourceSkippedFiles"] == 5
    for reason in ("fifo", "symlink", "socket"):
        assert f"reason={reason}" in device.log()
    check_text_log(device)


def test_a_line_of_a_gibibyte_is_set_aside_and_the_rest_arrives(device: Device, observer: Observer) -> None:
    write(device, b"a.log", b"a")
    write(device, b"z.log", b"z")
    with (device.inbox / "huge.log").open("wb") as file:
        file.write(b"before " + SECRET + b"\nstart of it")
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nafter " + SECRET + b"\n")
    assert device.run("--once") == 0, device.log()
    assert arrived(observer, 4) == [b"a", b"after", b"before", b"z"]
    records = device.status("--verify")["records"]
    assert (records["read"], records["delivered"], records["quarantined"]["tooLarge"]) == (5, 4, 1)
    assert "reason=tooLarge" in device.log()
    check_text_log(device)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_any_name_will_do_and_none_reaches_a_terminal(form: str, device: Device, observer: Observer) -> None:
    for number, name in enumerate(NAMES):
        write(device, name, b"%d" % number)
        (device.inbox / os.fsdecode(b"link " + name[:250])).symlink_to("/etc/passwd")
    for name in HIDDEN:
        write(device, name, b"hidden")
    assert device.run("--once", log__format=form) == 0, device.log()
    assert arrived(observer, len(NAMES)) == sorted(b"%d" % number for number in range(len(NAMES)))
    status = device.status("--verify")
    assert status["records"]["delivered"] == len(NAMES)
    assert status["beside"]["sourceSkippedFiles"] == len(NAMES)
    assert "event=source_skipped" in device.log() or form == "json"
    if form == "text":
        check_text_log(device)
    else:
        check_json_log(device)


def check_json_log(device: Device) -> None:
    log = b"".join(path.read_bytes() for path in sorted(device.directory.glob("run-*.log")))
    assert SECRET not in log
    events = [json.loads(line) for line in log.split(b"\n")[:-1]]
    assert all(event["event"] and event["level"] and event["time"] for event in events)
    assert all(letter.isprintable() for letter in log.decode().replace("\n", ""))
    assert {event["event"] for event in events} >= {"started", "source_skipped", "stopped"}


def test_a_pattern_chooses_and_hidden_files_stay_hidden(device: Device, observer: Observer) -> None:
    for name in (b"a.log", b"a.txt", b"A.LOG", b".a.log", b"b.log~", b"b.log.part", b"b.log.tmp", b"[x].log"):
        write(device, name, name)
    assert device.run("--once", streams__telemetry__source__pattern="*.log") == 0, device.log()
    assert arrived(observer, 2) == [b"[x].log", b"a.log"]
    assert device.status()["beside"]["sourceSkippedFiles"] == 0

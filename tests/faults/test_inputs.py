"""Hostile input: a record is delivered as it is or set aside, and reaches no terminal, topic or file but its own."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from tests.broker import Observer
from tests.checker import Verdict
from tests.conditions import eventually
from tests.device import Device
from tests.faults.corpus import json_cases, json_documents, naughty_strings
from tests.faults.frame import LONG, Tally

PREFIX = "telemetry/gateway"
SWAPS = 50_000 if LONG else 3_000
SECRET = b"what another user's file holds"
LONGEST_NAME = 255
# No JSON, and yet no record of it is bad: an array that ends between two elements, or zero bytes at the end.
NOTHING_LOST = re.compile(rb"\xef\xbb\xbf|\[([^\[\]{},][^\[\]{}]*,)?\s*|[^\0]*\0+")


def put(device: Device, name: str, lines: list[bytes]) -> None:
    (device.inbox / name).write_bytes(b"".join(line + b"\n" for line in lines))


def finished(device: Device, **keys: Any) -> dict[str, int]:
    """Run over all that is there; give what became of it."""
    assert device.run("--once", **keys) == 0, device.log()[-3_000:]
    records = device.status("--verify")["records"]
    assert records["pending"] == 0
    tally = Tally("hostile input")
    missing = records["read"] - records["delivered"] - records["quarantinedTotal"]
    tally.add(Verdict(records["read"], 0, abs(missing), 0, 0, []))
    tally.close()
    return {"read": records["read"], "delivered": records["delivered"], **records["quarantined"]}


def test_every_json_case_is_delivered_byte_for_byte_or_set_aside(device: Device, observer: Observer) -> None:
    good, bad, either = json_cases()
    put(device, "good.jsonl", good)
    put(device, "bad.jsonl", bad)
    put(device, "either.jsonl", either)
    ended = finished(device)
    assert ended["read"] == len(good) + len(bad) + len(either)
    arrived = {message.payload for message in observer.wait_for(ended["delivered"])}
    assert [case for case in good if case not in arrived] == []
    assert [case[:100] for case in bad if case in arrived] == []
    assert arrived <= {*good, *either}
    assert ended["malformed"] + ended["tooLarge"] == ended["read"] - ended["delivered"]


def put_documents(device: Device, cases: list[bytes]) -> None:
    for number, case in enumerate(cases):
        (device.inbox / f"{number:04}.json").write_bytes(case)


def test_every_json_case_is_a_document_that_is_taken_or_of_which_the_bad_part_is_set_aside_once(
    device: Device, observer: Observer
) -> None:
    good, bad, _ = json_documents()
    put_documents(device, good)
    taken = finished(device, streams__telemetry__source__format="json")
    assert (taken["malformed"], taken["tooLarge"]) == (0, 0)
    arrived = {message.payload for message in observer.wait_for(taken["delivered"])}
    assert [case for case in good if not case.strip().startswith(b"[") and case.strip() not in arrived] == []
    for path in device.inbox.iterdir():
        path.unlink()
    put_documents(device, bad)
    ended = finished(device, streams__telemetry__source__format="json")
    assert ended["malformed"] + ended["tooLarge"] == len([case for case in bad if not NOTHING_LOST.fullmatch(case)])


def test_no_string_in_a_record_reaches_a_topic_outside_the_prefix(device: Device, observer: Observer) -> None:
    strings = naughty_strings()
    put(device, "values.jsonl", [json.dumps({"v": one}).encode() for one in strings])
    ended = finished(device, streams__telemetry__topic=f"{PREFIX}/{{record.v}}", streams__telemetry__envelope="json")
    assert ended["read"] == len(strings)
    for message in observer.wait_for(ended["delivered"]):
        assert re.fullmatch(rf"{PREFIX}/[A-Za-z0-9_.:-]{{1,64}}", message.topic), message.topic
        assert json.loads(message.payload)["data"]["v"] == message.topic.removeprefix(f"{PREFIX}/")
    fit = [one for one in strings if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", one)]
    assert (ended["delivered"], ended["badTopic"]) == (len(fit), len(strings) - len(fit))
    check_log(device)


def test_any_string_is_a_line_and_a_field_name(device: Device, observer: Observer) -> None:
    strings = naughty_strings()
    lines = [b"%d:" % number + one.encode("utf-8", "surrogatepass") for number, one in enumerate(strings)]
    lines = [line for line in lines if b"\n" not in line and b"\r" not in line]
    fields = [json.dumps({one: number}).encode() for number, one in enumerate(strings)]
    put(device, "lines.log", lines)
    put(device, "fields.jsonl", fields)
    ended = finished(device)
    assert ended["delivered"] == len(lines) + len(fields)
    assert {message.payload for message in observer.wait_for(ended["delivered"])} == {*lines, *fields}
    check_log(device)


def test_any_string_is_the_name_of_a_file_and_none_reaches_a_topic_or_a_terminal(
    device: Device, observer: Observer
) -> None:
    names = {re.sub(r"[/\0]", "_", one) for one in naughty_strings()}
    names = {f"n{one}" for one in names if len(f"n{one}.log".encode("utf-8", "surrogateescape")) <= LONGEST_NAME}
    for name in names:
        put(device, f"{name}.log", [b"of " + name.encode()[:100].replace(b"\n", b" ").replace(b"\r", b" ")])
    ended = finished(device, streams__telemetry__topic=f"{PREFIX}/{{file}}")
    assert ended["read"] == len(names)
    assert {message.topic.rpartition("/")[0] for message in observer.wait_for(ended["delivered"])} == {PREFIX}
    assert ended["badTopic"] > 0
    check_log(device)
    for word in ("status", "losses"):
        assert device.ask(word).stdout.replace("\n", "").isprintable()


def check_log(device: Device) -> None:
    """One event a line, and nothing that a terminal would act upon."""
    for line in device.log().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) event=\w+( |$)", line), line
        assert line.isprintable(), line
    assert not list(device.directory.rglob("naughty"))


class Swapper:
    """Swaps one name between a regular file and a symbolic link, as fast as it can."""

    def __init__(self, device: Device, secret: Path) -> None:
        self._inbox = device.inbox
        self._aside = device.directory
        self._secret = secret
        self.swaps = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Swapper:  # noqa: PYI034 - Self came only with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        link, file, target = self._aside / "made.link", self._aside / "made.file", self._inbox / "swapped.log"
        while not self._stop.is_set():
            file.write_bytes(b"mine %d\n" % self.swaps)
            file.rename(target)
            link.symlink_to(self._secret)
            link.rename(target)
            self.swaps += 1


def test_a_name_swapped_with_a_symbolic_link_again_and_again_leaks_nothing(device: Device, observer: Observer) -> None:
    secret = device.directory / "shadow"
    secret.write_bytes(b"".join(SECRET + b" %d\n" % number for number in range(20)))
    secret.chmod(0o600)
    device.start()
    with Swapper(device, secret) as swapper:
        eventually(lambda: swapper.swaps >= SWAPS or device.process is None or device.process.poll() is not None, 120)
    (device.inbox / "last.log").write_bytes(b"the last one\n")
    observer.wait_for(lambda: b"the last one" in observer.payloads)
    assert swapper.swaps >= SWAPS
    assert device.terminate() == 0, device.log()
    assert not [payload for payload in observer.payloads if SECRET in payload]
    assert SECRET.decode() not in device.log()
    check_log(device)


def test_a_link_in_the_watched_directory_leads_nowhere(device: Device, observer: Observer) -> None:
    outside = device.directory / "outside"
    outside.mkdir()
    (outside / "theirs.log").write_bytes(SECRET + b"\n")
    (device.inbox / "sub.log").symlink_to(outside)
    (device.inbox / "theirs.log").symlink_to("../outside/theirs.log")
    put(device, "a.log", [b"a"])
    assert finished(device)["delivered"] == 1
    assert [message.payload for message in observer.wait_for(1)] == [b"a"]
    assert device.status()["beside"]["sourceSkippedFiles"] == 2

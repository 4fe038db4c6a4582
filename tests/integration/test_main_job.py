"""The main job: what lies in a directory arrives at the broker, complete, in order, byte for byte, each once."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tests.broker import Broker, Observer
from tests.conditions import eventually
from tests.device import TOPIC, Device, environment

PLACES = ("Zürich", "São Tomé", "東京", "Οία", "Київ", "القاهرة", "🛰 Ny-Ålesund", "back\\slash", 'quo"te', "plain")


def measurements() -> Iterator[tuple[str, Any]]:
    """Give real measurements, row by row, each with the name of its data set."""
    spec = importlib.util.find_spec("vega_datasets")
    assert spec is not None
    assert spec.origin is not None
    for path in sorted((Path(spec.origin).parent / "_data").iterdir()):
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from ((path.stem, row) for row in csv.DictReader(file))
            elif path.suffix == ".json" and isinstance(rows := json.load(file), list):
                yield from ((path.stem, row) for row in rows)


def json_lines(count: int) -> dict[str, list[bytes]]:
    """Give so many JSON lines, by data set; no two are equal, and many are more than ASCII."""
    files: dict[str, list[bytes]] = {}
    for number, (name, row) in enumerate(islice(measurements(), count)):
        line = json.dumps({"n": number, "place": PLACES[number % len(PLACES)], **row}, ensure_ascii=False)
        files.setdefault(f"{name}.jsonl", []).append(line.encode())
    return files


def text_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- complete, in order, byte for byte --------------------------------------------------------------------------------


def test_twenty_thousand_measurements_arrive_each_once_in_the_order_of_their_file(
    device: Device, observer: Observer
) -> None:
    files = json_lines(20_000)
    assert sum(map(len, files.values())) == 20_000
    for name, lines in files.items():
        (device.inbox / name).write_bytes(text_of(lines))
    assert device.run("--once") == 0, device.log()

    received = [message.payload for message in observer.wait_for(20_000)]
    home = {line: name for name, lines in files.items() for line in lines}
    assert len(received) == len(home)
    assert {name: [line for line in received if home[line] == name] for name in files} == files
    assert {message.topic for message in observer.messages} == {TOPIC}

    answer = device.ask("status", "--json", "--verify")
    assert answer.returncode == 0, answer.stderr
    status = json.loads(answer.stdout)
    assert status["verified"]
    records = status["records"]
    assert (records["read"], records["delivered"], records["balanced"]) == (20_000, 20_000, True)
    assert records["pending"] == records["droppedTotal"] == records["quarantinedTotal"] == 0
    assert status["messages"]["published"] == status["messages"]["acknowledged"] == 20_000


def test_one_file_arrives_in_its_own_order(device: Device, observer: Observer) -> None:
    lines = [line for lines in json_lines(5_000).values() for line in lines]
    (device.inbox / "all.jsonl").write_bytes(text_of(lines))
    assert device.run("--once") == 0, device.log()
    observer.wait_for(5_000)
    assert observer.arrived() == lines
    assert device.status()["records"]["delivered"] == 5_000


def test_a_second_run_sends_nothing_again(device: Device, observer: Observer) -> None:
    (device.inbox / "a.log").write_bytes(b"1\n2\n")
    assert device.run("--once") == 0
    with (device.inbox / "a.log").open("ab") as file:
        file.write(b"3\n")
    assert device.run("--once") == 0
    assert [message.payload for message in observer.wait_for(3)] == [b"1", b"2", b"3"]
    assert device.status()["records"]["delivered"] == 3


def test_lines_may_be_any_bytes(device: Device, observer: Observer) -> None:
    everything = bytes(byte for byte in range(256) if byte not in b"\r\n")
    contents = b"\n".join(
        [
            everything,
            b"\xff\xfe not UTF-8 \x80",
            b"windows\r",
            b"a\rreturn inside\r",
            b"two returns\r\r",
            b"",
            b"  \t ",
            b"\r",
            b"a\x00",
            b"  leading and trailing  ",
            "κόσμε".encode(),
            b"x" * 100_000,
            b"the last one has no line end",
        ]
    )
    (device.inbox / "bytes.log").write_bytes(contents)
    assert device.run("--once") == 0, device.log()
    expected = [
        everything,
        b"\xff\xfe not UTF-8 \x80",
        b"windows",
        b"a\rreturn inside",
        b"two returns\r",
        b"a\x00",
        b"  leading and trailing  ",
        "κόσμε".encode(),
        b"x" * 100_000,
        b"the last one has no line end",
    ]
    observer.wait_for(len(expected))
    assert observer.arrived() == expected
    assert device.status()["records"]["read"] == len(expected)


# -- formats ----------------------------------------------------------------------------------------------------------


def test_malformed_lines_are_set_aside_and_the_others_arrive(device: Device, observer: Observer) -> None:
    lines = [line for lines in json_lines(2_000).values() for line in lines]
    bad = [b'{"secret": ', b"{'secret': 1}", b'"\xff secret"', b"secret", b"[1,] secret", b'{"a":1} secret']
    mixed = list(lines)
    for index, line in enumerate(bad * 5):
        mixed.insert(index * 67, line)
    (device.inbox / "mixed.jsonl").write_bytes(text_of(mixed))
    assert device.run("--once") == 0, device.log()
    observer.wait_for(len(lines))
    assert observer.arrived() == lines
    records = device.status("--verify")["records"]
    assert records["quarantined"]["malformed"] == records["quarantinedTotal"] == 30
    assert (records["read"], records["delivered"]) == (2_030, 2_000)
    assert "event=quarantined" in device.log()
    assert "secret" not in device.log()


JSON_NAMES = ("a.jsonl", "b.NDJSON", "c.jsonl.1", "d.jsonl-20260131", "e.ndjson.12", "f.json")
LINE_NAMES = ("g.log", "h.txt", "i", "j.log.1", "k.jsonl.bak", "l.jsonl.d", "m-20260131")


def test_a_name_says_which_format_a_file_has(device: Device, observer: Observer) -> None:
    for name in JSON_NAMES + LINE_NAMES:
        (device.inbox / name).write_text(f'{{"file": "{name}"}}\nno JSON in {name}\n')
    assert device.run("--once") == 0, device.log()
    expected = {f'{{"file": "{name}"}}' for name in JSON_NAMES + LINE_NAMES}
    expected |= {f"no JSON in {name}" for name in LINE_NAMES}
    observer.wait_for(len(expected))
    assert {payload.decode() for payload in observer.payloads} == expected
    assert device.status()["records"]["quarantined"]["malformed"] == len(JSON_NAMES)


# -- streams ----------------------------------------------------------------------------------------------------------


def test_two_streams_have_topics_of_their_own_and_the_urgent_one_goes_first(device: Device, broker: Broker) -> None:
    observer = broker.observe()
    broker.kill()
    urgent = device.directory / "urgent"
    urgent.mkdir()
    (device.inbox / "a.log").write_bytes(text_of([b"a%d" % number for number in range(300)]))
    (urgent / "b.log").write_bytes(text_of([b"b%d" % number for number in range(300)]))
    device.start(
        streams__telemetry__priority=-1,
        streams__alarms__source__path=urgent,
        streams__alarms__topic="alarms/{thingName}",
    )
    device.until(lambda s: [stream["queueRecords"] for stream in s["streams"].values()] == [300, 300])
    broker.start()
    observer.wait_for(600)
    status = device.until(lambda s: s["records"]["delivered"] == 600)
    assert {stream["records"]["delivered"] for stream in status["streams"].values()} == {300}
    for topic, letter in ((TOPIC, b"a"), ("alarms/gateway", b"b")):
        mine = [message.payload for message in observer.messages if message.topic == topic]
        assert mine == [letter + b"%d" % number for number in range(300)]
    # Every sixteenth turn is for whoever would else wait for ever.
    topics = [message.topic for message in observer.messages]
    while_urgent = topics[: 600 - topics[::-1].index("alarms/gateway")]
    assert 0 < while_urgent.count(TOPIC) <= len(while_urgent) // 16 + 1


# -- ways to run ------------------------------------------------------------------------------------------------------


def test_what_nobody_acknowledges_is_counted_as_unconfirmed(device: Device, observer: Observer) -> None:
    lines = [b"reading %d" % number for number in range(300)]
    (device.inbox / "a.log").write_bytes(text_of(lines))
    assert device.run("--once", "--qos", "0", pace__publishesPerSecond=1_000) == 0, device.log()
    observer.wait_for(300)
    assert observer.arrived() == lines
    records = device.status()["records"]
    assert (records["read"], records["unconfirmed"], records["delivered"]) == (300, 300, 0)


def test_a_run_without_a_broker_gives_up_and_the_next_one_delivers(device: Device, broker: Broker) -> None:
    observer = broker.observe()
    broker.kill()
    (device.inbox / "a.log").write_bytes(b"1\n2\n3\n")
    assert device.run("--once", "--drain-timeout", "0.5") == 3
    records = device.status("--verify")["records"]
    assert records["delivered"] == records["droppedTotal"] == 0
    broker.start()
    assert device.run("--once") == 0, device.log()
    assert [message.payload for message in observer.wait_for(3)] == [b"1", b"2", b"3"]


def test_a_dry_run_prints_topic_and_payload_and_leaves_nothing_behind(tmp_path: Path) -> None:
    device = Device(tmp_path / "device")
    lines = [line for lines in json_lines(500).values() for line in lines]
    (device.inbox / "a.jsonl").write_bytes(text_of(lines))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = (device.inbox / "a.jsonl").stat()
    finished = subprocess.run(
        device.command("run", *device.arguments("--dry-run", "--once", streams__telemetry__source__onDone="delete")),
        capture_output=True,
        env={**environment(), "TMPDIR": str(temporary)},
        cwd=device.directory,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == b"".join(TOPIC.encode() + b"\t" + line + b"\n" for line in lines)
    assert names_in(device.directory) == ["inbox"]
    assert names_in(device.inbox) == ["a.jsonl"]
    assert names_in(temporary) == []
    after = (device.inbox / "a.jsonl").stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_a_pause_stops_releasing_but_not_reading(device: Device, observer: Observer) -> None:
    device.start()
    device.until(lambda s: s["state"] == "online")
    assert device.ask("pause").returncode == 0
    (device.inbox / "a.log").write_bytes(b"1\n2\n3\n")
    status = device.until(lambda s: s["streams"]["telemetry"]["queueRecords"] == 3)
    assert status["heldBy"] == "paused"
    assert not observer.messages
    assert device.ask("resume").returncode == 0
    assert [message.payload for message in observer.wait_for(3)] == [b"1", b"2", b"3"]
    assert device.until(lambda s: s["records"]["delivered"] == 3)["heldBy"] is None


def test_nobody_can_be_paused_who_does_not_run(tmp_path: Path) -> None:
    device = Device(tmp_path)
    for command in ("pause", "resume"):
        answer = device.ask(command)
        assert answer.returncode not in {0, 1}
        assert "Traceback" not in answer.stderr


def test_a_running_forwarder_takes_what_comes_later_and_stops_when_told(device: Device, observer: Observer) -> None:
    device.start()
    for number in range(5):
        (device.inbox / f"{number}.log").write_bytes(b"%d\n" % number)
        observer.wait_for(number + 1)
    assert observer.arrived() == [b"0", b"1", b"2", b"3", b"4"]
    assert device.terminate() == 0
    eventually(lambda: "event=stopped" in device.log())
    assert device.status()["records"]["delivered"] == 5

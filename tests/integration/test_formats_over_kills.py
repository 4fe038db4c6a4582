"""Every format, plain and compressed, through a real broker and over kills: each record arrives and none is changed.

What must arrive is said by the csv, json and gzip of the standard library.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import Broker
from tests.device import Device

KILLS = 5
RECORDS = 600  # of each file
SETTINGS: dict[str, Any] = {
    "gate__maxIncomplete": 20,
    "gate__maxInFlight": 20,
    "state__commitRecords": 50,
    "state__commitSeconds": 0.1,
    "streams__telemetry__queue__maxRecords": 200,
}
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # RFC 8259
FIELDS = (
    "",
    "plain",
    "with, comma",
    'with "quotes"',
    "two\nlines",
    "ümläut",
    "007",
    "1.50",
    "-3e2",
    "nan",
    " 5",
    "true",
)


def exact(text: str | bytes) -> object:
    """Read JSON so that every character of a number counts."""
    return json.loads(text, parse_int=lambda digits: ("number", digits), parse_float=lambda digits: ("number", digits))


def csv_of(chance: random.Random, name: str) -> tuple[bytes, list[object]]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["id", "first", "second"])
    for number in range(RECORDS):
        writer.writerow([f"{name}-{number}", chance.choice(FIELDS), chance.choice(FIELDS)])
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert len(rows) == RECORDS
    return out.getvalue().encode(), [{key: value_of(field) for key, field in row.items()} for row in rows]


def value_of(field: str) -> object:
    if not field:
        return None
    return ("number", field) if NUMBER.fullmatch(field) else field


def values(chance: random.Random, name: str) -> list[str]:
    odd = ['"\\u00fc\\n"', "1.0", "-0", "1e400", "[ ]", '{"a": {"b": [1, 2.50]}}', "null", '"]},{"']
    return [f'{{"id": "{name}-{number}", "odd": {chance.choice(odd)}}}' for number in range(RECORDS)]


def array_of(chance: random.Random, name: str) -> tuple[bytes, list[object]]:
    text = "[\n" + ",\n ".join(values(chance, name)) + "\n]\n"
    expected = exact(text)
    assert isinstance(expected, list)
    return text.encode(), expected


def lines_of(chance: random.Random, name: str) -> tuple[bytes, list[object]]:
    lines = values(chance, name)
    return "".join(line + "\r\n" for line in lines).encode(), [exact(line) for line in lines]


MAKERS = {"csv": csv_of, "json": array_of, "jsonl": lines_of}


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Iterator[Device]:
    found = Device(tmp_path, broker)
    yield found
    found.close()


def live(device: Device, broker: Broker, chance: random.Random, records: int, **settings: Any) -> list[bytes]:
    """Read everything in a life of so many kills; give what has arrived."""
    observer = broker.observe("telemetry/#")
    for kill in range(KILLS):
        device.start(**SETTINGS, **settings)
        step = chance.randrange(1, max(2, 2 * records // (KILLS + 2)))
        # What is left may be less than that: then it is killed while it has nothing to do.
        goal = min(len(observer.arrived()) + step, (kill + 1) * records // (KILLS + 1))
        observer.wait_for(goal)
        device.kill()
        assert device.status("--verify")["verified"]
    device.start(**SETTINGS, **settings)
    status = device.until(lambda s: s["records"]["read"] >= records and not s["records"]["pending"], 60)
    assert device.terminate() == 0
    status = device.status("--verify")
    assert status["records"]["delivered"] == status["records"]["read"] == records
    arrived = observer.arrived()
    assert records <= len(arrived) <= records + status["beside"]["possibleTwins"]
    return arrived


def test_csv_json_and_lines_arrive_as_other_readers_read_them(device: Device, broker: Broker) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    expected: list[object] = []
    for suffix, make in MAKERS.items():
        for packed in (False, True):
            name = f"{suffix}-{'packed' if packed else 'plain'}"
            content, records = make(chance, name)
            expected += records
            if packed:  # in two members, as what is appended to such a file is
                half = len(content) // 2
                content = gzip.compress(content[:half]) + gzip.compress(content[half:])
            (device.inbox / f"{name}.{suffix}{'.gz' if packed else ''}").write_bytes(content)
    arrived = live(device, broker, chance, len(expected))
    wanted = Counter(map(repr, expected))
    assert len(wanted) == len(expected)
    assert set(map(repr, map(exact, arrived))) == set(wanted)


def test_whole_files_arrive_byte_for_byte(device: Device, broker: Broker) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - as above
    chance = random.Random(seed)
    expected = set()
    for number in range(200):
        content = chance.randbytes(chance.choice([1, 100, 5_000, 100_000])) + b"\n\0" + b"%d" % number
        expected.add(hashlib.sha256(content).digest())
        packed = number % 2
        (device.inbox / f"{number}.bin{'.gz' if packed else ''}").write_bytes(
            gzip.compress(content) if packed else content
        )
    arrived = live(device, broker, chance, 200, streams__telemetry__source__format="file")
    assert {hashlib.sha256(payload).digest() for payload in arrived} == expected

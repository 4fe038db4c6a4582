"""Files that make it hard: many, huge, with inodes used again, rotated by copying, with damage of every kind.

The long forms (100,000 files, five gigabytes) run where `WEIR_LONG` is set.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox, open_descriptors

LONG = bool(os.environ.get("WEIR_LONG"))
MANY_FILES = 100_000 if LONG else 4_000
HUGE_BYTES = (5 << 30) if LONG else (256 << 20)
RESIDENT_KIB = 64 * 1024

READ_ALL = """
import json, re, sys
from pathlib import Path
from tests.contract.inbox import Inbox, open_descriptors

box = Inbox(Path(sys.argv[1]))
records = most = numbers = 0


def commit():  # as the box does, but the rows are not kept: a store has them on disk
    global numbers
    for position in box.source.before_commit():
        numbers += not position.number
        position.number = position.number or numbers
        position.changed = False
    box.source.forgotten()
    box.source.after_commit(box.now)


for _ in range(100_000):
    box.look(1.0)
    while (reading := box.source.read(box.now, 256)) is not None:
        if reading.span is not None:
            records += len(reading.span)
            box.spans.append(reading.span)
        box.rejects.extend(reading.rejects)
        if len(box.spans) >= 64:
            most = max(most, len(open_descriptors(box.path)))
            box.settle()
            box.rejects.clear()
            commit()
    box.settle()
    commit()
    if box.source.exhausted() and not box.source.unread()[0]:
        break
rss = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])  # getrusage counts the parent in
print(json.dumps({"records": records, "open": most, "rss": rss, "unread": box.source.unread()}))
"""


def read_all(path: Path) -> dict[str, int]:
    """Read a directory in a process of its own; say what that took."""
    result = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(path)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    found: dict[str, int] = json.loads(result.stdout)
    print(f"\n{path.name}: {found}")  # noqa: T201 - the figures; pytest shows them if asked
    return found


def test_many_small_files_need_little_memory_and_few_descriptors(path: Path) -> None:
    for number in range(MANY_FILES):
        (path / f"{number:06}.jsonl").write_bytes(b'{"n":%d}\n' % number)
    found = read_all(path)
    assert found["records"] == MANY_FILES
    assert found["open"] <= 64
    assert found["rss"] <= RESIDENT_KIB


def test_what_waits_counts_the_memory_of_its_files_as_well(box: Inbox) -> None:
    for number in range(500):
        box.write(f"{number}.jsonl", b"%d\n" % number)
    box.look(1.0)
    gc.collect()
    tracemalloc.start()
    try:
        assert len(box.read()) == 500
        gc.collect()
        needed, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * needed <= sum(span.weight for span in box.spans) <= 2 * needed


@pytest.mark.parametrize("name", ["huge.jsonl", "huge.csv"])
def test_a_huge_file_is_read_in_bounded_memory(path: Path, name: str) -> None:
    lines = b'"%s"\n' % (b"x" * 900) * 100
    with (path / name).open("wb") as file:
        file.write(b'"a"\n')
        for part in range(5):
            file.seek(max(file.tell(), part * HUGE_BYTES // 4))  # between are zeros, as a power cut leaves them
            file.write(lines)
    found = read_all(path)
    assert found["records"] == 501 - (name == "huge.csv")  # where the first line is the header
    assert found["open"] <= 1
    assert found["rss"] <= RESIDENT_KIB


def test_files_that_are_deleted_and_made_again_with_the_same_header_are_each_read_whole(box: Inbox) -> None:
    box.write("stays", b"x\n")
    box.pass_on(3.0)
    inodes = set()
    for number in range(1_000):
        made = box.write("a.csv", b"time,value\n%d,1\n%d,2\n" % (number, number))
        inodes.add(made.stat().st_ino)
        assert box.pass_on(1.0) == [b'{"time":%d,"value":%d}' % (number, each) for each in (1, 2)]
        made.unlink()
        if number % 7 == 0:
            box.restart()
    if len(inodes) > 900:
        pytest.skip("this file system does not use inodes again at once")
    assert box.counts().vanished_files == 0


@pytest.mark.parametrize("pattern", ["*.log", "*.csv"])
def test_a_log_rotated_by_copying_is_never_read_twice_and_lacks_only_what_nobody_saw_before_it_was_truncated(
    path: Path, pattern: str
) -> None:
    box = Inbox(path, pattern=pattern)  # it does not ask for the copies
    log = path / pattern.replace("*", "app")
    head = b"n\n" if log.suffix == ".csv" else b""
    arrived: list[bytes] = []
    with log.open("ab", buffering=0) as file:
        for rotation in range(20):
            file.write(head)
            for number in range(50 * rotation, 50 * rotation + 50):
                file.write(b"%d\n" % number)
                if number % 17 == 0:
                    arrived += box.pass_on(1.0)
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)
    numbers = [json.loads(record) for record in arrived + box.pass_on(5.0)]
    numbers = [number["n"] if isinstance(number, dict) else number for number in numbers]
    expected = [
        number
        for rotation in range(20)
        for number in range(50 * rotation, 1 + max(n for n in range(50 * rotation, 50 * rotation + 50) if n % 17 == 0))
    ]
    assert numbers == expected
    assert box.rejects == []


def test_files_of_every_kind_side_by_side_leave_no_descriptor_behind(box: Inbox) -> None:
    for round_ in range(30):
        for number in range(20):
            box.append(f"grows-{number}.log", b"%d\n" % round_)
            box.write(f"done-{round_}-{number}.csv", b"a\n%d\n" % number)
        assert len(box.pass_on(1.0)) == 40
        if round_ > 2:
            for number in range(20):
                (box.path / f"done-{round_ - 3}-{number}.csv").unlink()
    box.pass_on(70.0)
    assert open_descriptors(box.path) == []
    assert box.counts().vanished_files == 0

"""A fuzzer for the readers: the corpus, spoilt at random; each byte is accounted for, and no reader raises or hangs."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.checker import Verdict
from tests.faults.corpus import json_documents, naughty_strings
from tests.faults.frame import LONG, Tally
from tests.unit.test_readers import FORMATS, account, read_all

SHARDS = 8 if LONG else 1
CASES = 5_000 if LONG else 800  # of each shard
LONGEST = 400
SPLICES = [b"\n", b"\r\n", b",", b'"', b"\\", b"{", b"}", b"[", b"]", b":", b"\0", b"\xef\xbb\xbf", b"\xff", b"1", b" "]

Dice = random.Random
Spoil = Callable[[bytearray, Dice], None]


def flip(case: bytearray, dice: Dice) -> None:
    if case:
        case[dice.randrange(len(case))] ^= 1 << dice.randrange(8)


def insert(case: bytearray, dice: Dice) -> None:
    at = dice.randint(0, len(case))
    case[at:at] = dice.choice(SPLICES)


def remove(case: bytearray, dice: Dice) -> None:
    at = dice.randint(0, len(case))
    del case[at : at + dice.randint(1, 8)]


def repeat(case: bytearray, dice: Dice) -> None:
    at = dice.randint(0, len(case))
    case[at:at] = case[at : at + dice.randint(1, 40)] * dice.randint(1, 3)


SPOILS: tuple[Spoil, ...] = (flip, insert, remove, repeat)


def seeds() -> list[bytes]:
    table = b'a,b,c\n1,"x, y",\n2,"line\nend",3\n'
    lines = b'{"a":1}\n{"b":[1,2,{"c":null}]}\r\n\n"last"'
    strings = [one.encode("utf-8", "surrogatepass") for one in naughty_strings()]
    cases = [case for kind in json_documents() for case in kind]
    return [case for case in (table, lines, *strings, *cases) if len(case) <= LONGEST]


def made(seeds: list[bytes], dice: Dice) -> bytes:
    """Join some of the seeds, spoil them a few times, and pack some of that, and spoil that too."""
    case = bytearray(dice.choice([b"", b"\n", b","]).join(dice.choices(seeds, k=dice.randint(1, 4)))[:LONGEST])
    for _ in range(dice.randint(0, 6)):
        dice.choice(SPOILS)(case, dice)
    if dice.random() < 0.3:
        case = bytearray(gzip.compress(case, mtime=0) * dice.randint(1, 2))
        for _ in range(dice.randint(0, 2)):
            dice.choice(SPOILS)(case, dice)
    return bytes(case)


def check(case: bytes, fmt: str, dice: Dice) -> int:
    """Read it; give how many records and faults there were."""
    outcome, position = read_all(case, fmt, limit=dice.randint(1, 5), block=dice.randint(4, 60))
    extents = outcome.extents()
    assert all(end <= begin for (_, end), (begin, _) in pairwise(extents)), "overlap"
    account(position, extents)
    assert position.beyond == [], "gap"
    if not case.startswith(b"\x1f\x8b"):
        assert position.position == len(case), "not read to its end"
    for line in outcome.records:
        if fmt in {"csv", "json", "jsonl"}:
            json.loads(line.record, parse_constant=pytest.fail)
    return len(outcome.records) + len(outcome.rejects)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_a_file_holds_is_read_to_its_end_and_accounted_for(shard: int) -> None:
    tally = Tally("fuzzed files")
    dice, given, records = random.Random(shard), seeds(), 0
    for number in range(CASES):
        case, fmt = made(given, dice), dice.choice(FORMATS)
        try:
            records += check(case, fmt, dice)
        except Exception as error:  # noqa: BLE001 - to tell of all of them
            tally.broken.append(f"{shard}/{number} {fmt} {case!r}: {type(error).__name__} {error}")
    tally.add(Verdict(records, 0, len(tally.broken), 0, 0, []), trials=CASES)
    tally.close()

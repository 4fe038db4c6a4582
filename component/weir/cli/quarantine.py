"""`weir quarantine`: the records set aside, whether a forwarder runs or not.

Owns what is printed. One request covers a part of the entries, so that neither side holds more than that.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from pathlib import Path

from weir.cli.state import ask_or_read, opened, state_directory
from weir.control.protocol import Message
from weir.core.errors import UsageError
from weir.report import quarantine as report
from weir.wiring import aside

DONE, SOME_STAY = 0, 3
MOST_TOLD = 20  # of those that stay: so many are named, the others counted

NOTHING: Message = {
    "entries": [],
    "held": {"entries": 0, "bytes": 0, "notKept": 0},
    "entry": None,
    "replayed": 0,
    "stay": [],
    "purged": 0,
    "looked": [],
    "after": 0,
    "upto": 0,
    "more": False,
}


def quarantine(arguments: argparse.Namespace) -> int:
    """Do one of the four things; give the exit code."""
    path = state_directory(arguments.state)
    match arguments.do:
        case "list":
            return _list(path, as_json=arguments.json)
        case "show":
            return _show(path, arguments.ids[0], as_json=arguments.json)
        case "replay":
            return _replay(path, sorted(set(arguments.ids)))
        case _:
            return _purge(path, sorted(set(arguments.ids)))


def _ask(path: Path, do: str, **what: object) -> Message:
    request = {"command": aside.COMMAND, "do": do, **what}

    def read() -> Message:
        with opened(path) as store:
            return aside.answer_from(store, request) if store else NOTHING

    return ask_or_read(path, request, read)


def _answers(path: Path, do: str, ids: list[int]) -> Iterator[Message]:
    """Ask for all of it, a part at a time; an answer says where the next part begins."""
    for start in range(0, max(1, len(ids)), aside.PAGE):
        named = {"ids": ids[start : start + aside.PAGE]} if ids else {}
        answer = _ask(path, do, **named)
        yield answer
        while answer["more"]:
            answer = _ask(path, do, after=answer["after"], upto=answer["upto"], **named)
            yield answer


def _list(path: Path, *, as_json: bool) -> int:
    held: Message = NOTHING["held"]
    listed = 0
    if as_json:
        print('{"entries": [')
    for answer in _answers(path, "list", []):
        held = answer["held"]
        for entry in answer["entries"]:
            if not as_json:
                print(*([] if listed else [report.HEADER]), report.line(entry), sep="\n")
            else:
                print("," * bool(listed) + json.dumps(entry))
            listed += 1
    print(f'], "held": {json.dumps(held)}}}' if as_json else report.footer(held))
    return DONE


def _show(path: Path, number: int, *, as_json: bool) -> int:
    answer = _ask(path, "show", id=number)
    entry, kept = answer["entry"], b""
    while answer["entry"] is not None and (piece := base64.b64decode(answer["bytes"])):
        kept += piece
        answer = _ask(path, "show", id=number, offset=len(kept))
    if entry is None:
        raise UsageError(_nothing(number))
    if as_json:
        print(json.dumps(report.with_bytes(entry, kept), indent=2))
    else:
        for line in report.shown(entry, kept):
            print(line)
    return DONE


def _replay(path: Path, ids: list[int]) -> int:
    replayed = 0
    stay = {number: _nothing(number) for number in ids}
    try:
        for answer in _answers(path, "replay", ids):
            replayed += answer["replayed"]
            for number in answer["looked"]:
                stay.pop(number, None)
            stay |= dict(answer["stay"])
    finally:  # what was replayed is, whatever came then
        print(f"replayed {replayed:,}" + (f", {len(stay):,} were not" if stay else ""))
        _tell(stay)
    return SOME_STAY if stay and ids else DONE


def _purge(path: Path, ids: list[int]) -> int:
    purged = 0
    missing = {number: _nothing(number) for number in ids}
    try:
        for answer in _answers(path, "purge", ids):
            purged += answer["purged"]
            for number in answer["looked"]:
                missing.pop(number, None)
    finally:
        print(f"purged {purged:,}")
        _tell(missing)
    return SOME_STAY if missing else DONE


def _tell(why: dict[int, str]) -> None:
    told = sorted(why.items())
    for number, reason in told[:MOST_TOLD]:
        print(f"  {number}: {reason}")
    if len(told) > MOST_TOLD:
        print(f"  and {len(told) - MOST_TOLD:,} more; `weir quarantine list` shows them")


def _nothing(number: int) -> str:
    return f"there is no entry {number} in quarantine"

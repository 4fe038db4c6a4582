"""What a command asks of the quarantine, answered: by the forwarder that runs, or by the store where none does.

Owns the requests and how much of an answer is given at once: nobody may keep the loop for long, nor fill the memory.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from typing import Any

from weir.control.protocol import Message
from weir.core.quarantine import DAMAGED, Entry, Kept, Shelf, spans_of
from weir.forwarder.books import Books
from weir.forwarder.replay import by_stream, refuse_all
from weir.report import quarantine as report
from weir.store.store import Store

COMMAND = "quarantine"
PAGE = 250  # entries that are looked at for one answer
PAGE_BYTES = 1 << 20  # bytes of records that are replayed for one answer, or the first of them
PIECE_BYTES = 1 << 18
MOST = (1 << 63) - 1

Replay = Callable[[Sequence[Kept]], dict[int, str]]
Purge = Callable[[Sequence[int], bool], int]


def answer(request: Message, shelf: Shelf, replay: Replay, purge: Purge) -> Message:
    """Answer one request. Raises ValueError where it makes no sense, `StoreFailed` where the store does."""
    answers: dict[str, Callable[[], Message]] = {
        "list": lambda: _list(request, shelf),
        "show": lambda: _show(request, shelf),
        "replay": lambda: _replay(request, shelf, replay),
        "purge": lambda: _purge(request, shelf, purge),
    }
    do = request.get("do")
    if do not in answers:
        raise ValueError(f"nothing to do; there are {', '.join(answers)}")
    return answers[do]()


def _list(request: Message, shelf: Shelf) -> Message:
    entries = _wanted(request, shelf)
    held = shelf.held()
    return {
        "entries": [report.document(entry) for entry in entries],
        "held": {"entries": held.entries, "bytes": held.bytes, "notKept": held.not_kept},
        **_where(request, entries, held.newest),
    }


def _show(request: Message, shelf: Shelf) -> Message:
    number = _number(request, "id", 0)
    found = shelf.found([number])
    if not found:
        return {"entry": None}
    piece = shelf.piece(number, _number(request, "offset", 0), PIECE_BYTES)
    return {"entry": report.document(found[0]), "bytes": base64.b64encode(piece).decode()}


def _replay(request: Message, shelf: Shelf, replay: Replay) -> Message:
    newest = shelf.held().newest
    entries = _light(_wanted(request, shelf))
    stay = {entry.number: entry.obstacle for entry in entries if entry.obstacle is not None}
    bodies = shelf.bodies([entry.number for entry in entries if entry.number not in stay])
    kept = [Kept(entry.number, entry.stream, bodies[entry.number]) for entry in entries if entry.number in bodies]
    stay |= {entry.number: DAMAGED for entry in entries if entry.number not in bodies and entry.number not in stay}
    stay |= replay(kept) if kept else {}
    return {
        "replayed": sum(entry.number not in stay for entry in entries),
        "stay": [[number, why] for number, why in sorted(stay.items())],
        "looked": [entry.number for entry in entries],
        **_where(request, entries, newest),
    }


def _purge(request: Message, shelf: Shelf, purge: Purge) -> Message:
    newest = shelf.held().newest
    entries = _wanted(request, shelf)
    where = _where(request, entries, newest)
    numbers = [entry.number for entry in entries]
    everything = "ids" not in request and not where["more"]
    return {"purged": purge(numbers, everything) if numbers or everything else 0, "looked": numbers, **where}


# -- which entries ----------------------------------------------------------------------------------------------------


def _wanted(request: Message, shelf: Shelf) -> list[Entry]:
    """Give the next entries that the request is about: of those it names, or of all up to where it began."""
    after = _number(request, "after", 0)
    if "ids" not in request:
        return shelf.page(after, _number(request, "upto", MOST), PAGE)
    ids = request["ids"]
    if not isinstance(ids, list) or len(ids) > PAGE or not all(map(_is_number, ids)):
        raise ValueError(f"ids must be at most {PAGE} numbers")
    return [entry for entry in shelf.found(ids) if entry.number > after]


def _light(entries: list[Entry]) -> list[Entry]:
    """Give the first entries, as many as are replayed at once; at least one if there is one."""
    total = 0
    for count, entry in enumerate(entries):
        total += entry.kept if entry.obstacle is None else 0
        if count and total > PAGE_BYTES:
            return entries[:count]
    return entries


def _where(request: Message, entries: list[Entry], newest: int) -> dict[str, Any]:
    """Say where the next request goes on, up to the newest entry that there was at the first one."""
    upto = _number(request, "upto", newest)
    after = entries[-1].number if entries else upto
    last = max(request["ids"], default=0) if "ids" in request else upto
    return {"after": after, "upto": upto, "more": bool(entries) and after < last}


def _number(request: Message, name: str, default: int) -> int:
    number = request.get(name, default)
    if not _is_number(number):
        raise ValueError(f"{name} must be a number")
    return int(number)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST


# -- without a forwarder ----------------------------------------------------------------------------------------------


def answer_from(store: Store, request: Message) -> Message:
    """Answer from a store that no forwarder owns; what is replayed waits for the next run."""
    return answer(
        request,
        store.quarantine,
        lambda kept: _replay_into(store, kept),
        lambda numbers, not_kept: store.purge(numbers, not_kept=not_kept),
    )


def _replay_into(store: Store, kept: Sequence[Kept]) -> dict[int, str]:
    about = store.state()
    streams = {state.name: state for state in store.streams()}
    refused: dict[int, str] = {}
    changes = []
    for name, of_it in by_stream(kept).items():
        state = streams[name]
        if state.mode is None:
            refused |= refuse_all(of_it, f"the settings of the last run have no stream {name}")
            continue
        spans = spans_of([one.body for one in of_it], replayed=state.counts["replayed"], at=time.time(), read_at=None)
        for seq, span in enumerate(spans, state.next_seq):
            span.seq = seq
        books = Books(state, "", about.thing, about.epoch)
        changes.append(books.change(spans, [], [], [one.number for one in of_it]))
    if changes:
        store.commit(changes)
    return refused

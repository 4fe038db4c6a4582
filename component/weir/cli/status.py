"""`weir status` and `weir losses`: what the counters say, whether a forwarder runs or not."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from weir.cli.state import ask_or_read, opened, state_directory
from weir.core.view import StreamView, View
from weir.report import status as report
from weir.store.store import Store

FINE, LAW_BROKEN, DEGRADED = 0, 1, 3


def status(arguments: argparse.Namespace) -> int:
    """Show the status; with --verify check the law against every row."""
    path = state_directory(arguments.state)
    request = {"command": "verify" if arguments.verify else "status"}
    answer = ask_or_read(path, request, lambda: _read(path, arguments.verify))
    document, broken = answer["status"], answer.get("law") or []
    if arguments.json:
        verified = {"verified": not broken, "broken": broken} if arguments.verify else {}
        print(json.dumps({**document, **verified}, indent=2))
    else:
        print(report.table(document))
        if arguments.verify:
            print(_verdict(broken))
    if broken or not document["records"]["balanced"]:
        return LAW_BROKEN
    return DEGRADED if document["degraded"] else FINE


def _verdict(broken: list[Any]) -> str:
    if not broken:
        return "  verified: every record that was read is accounted for, row by row"
    told = (
        f"{name}: {unaccounted} unaccounted for, {miscounted} miscounted" for name, unaccounted, miscounted in broken
    )
    return "  BROKEN: " + "; ".join(told)


def _read(path: Path, verify: bool) -> dict[str, Any]:  # noqa: FBT001 - as the flag is given
    with opened(path) as store:
        if store is None:
            return {"status": report.document(View(epoch=None, epoch_since=None, streams={}), time.time())}
        return {
            "status": report.document(_view(store), time.time()),
            "law": store.law() if verify else [],
        }


def _view(store: Store) -> View:
    state = store.state()
    streams = {
        stream.name: StreamView(
            counts=stream.counts,
            mode=stream.mode,
            queue_records=stream.counts["pending"],
            queue_bytes=stream.backlog_bytes,
            orphaned=stream.mode is None and stream.counts["pending"] > 0,
        )
        for stream in store.streams()
    }
    return View(
        epoch=state.epoch,
        epoch_since=state.epoch_since,
        streams=streams,
        possible_twins=state.possible_twins,
        state_lost=state.state_lost,
        duplicate_bound=state.duplicate_bound,
        bytes_written=store.bytes_written,
        oldest_at=store.oldest_at(),
        updated=store.updated(),
        thing_name=state.thing or None,
    )


def losses(arguments: argparse.Namespace) -> int:
    """Show what was dropped."""
    path = state_directory(arguments.state)
    entries = ask_or_read(path, {"command": "losses"}, lambda: _losses(path))["losses"]
    print(json.dumps(entries, indent=2) if arguments.json else report.losses_table(entries))
    return FINE


def _losses(path: Path) -> dict[str, Any]:
    with opened(path) as store:
        return {"losses": report.losses(store.losses() if store else [])}

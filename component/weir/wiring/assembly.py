"""Puts the parts together: which adapter stands behind which port.

Owns the choices that follow from the settings. Knows nothing of what the parts do with each other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time
from typing import Literal

from weir.core.changes import StreamState
from weir.core.ports import Source, Transport
from weir.core.settings import Settings, StreamSettings
from weir.core.span import RECORD_OVERHEAD
from weir.forwarder.forwarder import Clock
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import MakeSource, MakeStore
from weir.forwarder.ledger import Store as LedgerStore
from weir.forwarder.stream import Notice
from weir.store.directory import StateDirectory
from weir.store.store import Store

CLOCK = Clock(time, monotonic)
STDIN = 0


def max_record_bytes(settings: Settings, name: str, message_bytes: int) -> int:
    """Say how large a record may be: what was configured, what fits a message, and what fits an empty queue."""
    stream = settings.streams[name]
    limits = [message_bytes - len(settings.topic_of(name).encode())]
    if stream.source.max_record_bytes is not None:
        limits.append(stream.source.max_record_bytes)
    if stream.queue.max_bytes is not None:
        limits.append(stream.queue.max_bytes - RECORD_OVERHEAD)
    return min(limits)


def store_maker(settings: Settings, directory: StateDirectory, notice: Notice) -> MakeStore:
    """Give what opens the store, again and again if need be, in a directory that is owned once."""

    def make(*, doubted: bool) -> Store:
        store = Store(directory, time, quarantine_max_bytes=settings.state.quarantine_max_bytes, doubted=doubted)
        if store.moved_aside is not None:
            notice("state_recovered", reason="the database could not be read", aside=str(store.moved_aside))
        return store

    return make


def source_maker(settings: Settings, inbox: Inbox, notice: Notice, message_bytes: int) -> MakeSource:
    """Give what makes the source of a stream; `message_bytes` is what a message of the transport can carry."""

    def make(name: str, state: StreamState, store: LedgerStore, *, same_boot: bool) -> Source:
        stream = settings.streams[name]
        limit = max_record_bytes(settings, name, message_bytes)
        if stream.source.type == "stdin":
            return _pipe(stream, limit, state, inbox)
        from weir.sources.directory import DirectorySource  # noqa: PLC0415 - only where there is a directory

        return DirectorySource(
            stream.source,
            stream=state.stream,
            known=state.files,
            max_record_bytes=limit,
            same_boot=same_boot,
            clock=time,
            pending=store.holds,
            notice=lambda event, fields: notice(event, stream=name, **fields),
        )

    return make


def _pipe(stream: StreamSettings, limit: int, state: StreamState, inbox: Inbox) -> Source:
    from weir.sources.stdin import PipeSource  # noqa: PLC0415 - only where there is a pipe

    form: Literal["lines", "jsonl"] = "jsonl" if stream.source.format == "jsonl" else "lines"
    return PipeSource(
        STDIN,
        fmt=form,
        max_record_bytes=limit,
        clock=time,
        wake=inbox.wake,
        first_sequence=state.sequence,
    )


def mqtt_transport(settings: Settings, inbox: Inbox) -> Transport:
    """Make the connection of our own to the broker."""
    from weir.transports.mqtt311 import Mqtt311Transport  # noqa: PLC0415 - a dry run does without the client library

    return Mqtt311Transport(settings.connection, settings.thing_name, inbox.post, inbox.settled)


def dry_run_transport(inbox: Inbox) -> Transport:
    """Make a transport that prints `topic<TAB>payload`."""
    from weir.transports.dry_run import DryRunTransport  # noqa: PLC0415 - only for a dry run

    return DryRunTransport(_printer(), inbox.post, inbox.settled)


def _printer() -> Callable[[str, bytes], None]:
    out = sys.stdout.buffer
    for_a_person = sys.stdout.isatty()

    def write(topic: str, payload: bytes) -> None:
        shown = _visible(payload) if for_a_person else payload
        out.write(topic.encode() + b"\t" + shown + b"\n")
        out.flush()

    return write


def _visible(payload: bytes) -> bytes:
    """Escape what a terminal would act on."""
    text = payload.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text).encode()


def default_inbox(settings: Settings) -> None:
    """Make the one directory that is made if it is missing: the default inbox under the work path."""
    for stream in settings.streams.values():
        if stream.source.path == str(Path.cwd() / "inbox"):
            Path(stream.source.path).mkdir(parents=True, exist_ok=True)

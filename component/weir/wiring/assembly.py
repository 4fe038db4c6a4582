"""Puts the parts together: which adapter stands behind which port.

Owns the choices that follow from the settings. Knows nothing of what the parts do with each other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from weir.core.changes import StreamState
from weir.core.errors import StoreFailed
from weir.core.nucleus import Nucleus
from weir.core.ports import Source, Transport
from weir.core.settings import Settings, StreamSettings
from weir.core.span import RECORD_OVERHEAD
from weir.core.ways import IPC_SOCKET, TOKEN_EXCHANGE_TOKEN, TOKEN_EXCHANGE_URI, Offers, Way, choose
from weir.forwarder.forwarder import Clock
from weir.forwarder.inbox import Inbox
from weir.forwarder.ledger import MakeSource, MakeStore
from weir.forwarder.ledger import Store as LedgerStore
from weir.forwarder.queue import Notice
from weir.store.directory import StateDirectory
from weir.store.store import Store

if TYPE_CHECKING:
    from weir.transports.approach import Approach  # at run time only with the client library

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
        if (recovery := store.recovery) is not None:
            aside = {} if recovery.aside is None else {"aside": str(recovery.aside)}
            notice("state_recovered", reason=recovery.reason, **aside, records=recovery.records)
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
            watcher=inbox,
        )

    return make


def _pipe(stream: StreamSettings, limit: int, state: StreamState, inbox: Inbox) -> Source:
    from weir.sources.stdin import PipeSource  # noqa: PLC0415 - only where there is a pipe

    return PipeSource(
        STDIN,
        fmt=stream.source.of_pipe,
        max_record_bytes=limit,
        clock=time,
        wake=inbox.wake,
        first_sequence=state.sequence,
    )


def read_on(pipes: Mapping[str, Source], settings: Settings, message_bytes: int) -> None:
    """Let pipes that other settings go on with be judged by these."""
    from weir.sources.stdin import PipeSource  # noqa: PLC0415 - only where there is a pipe

    for name, source in pipes.items():
        if isinstance(source, PipeSource):
            source.go_by(settings.streams[name].source.of_pipe, max_record_bytes(settings, name, message_bytes))


class Route(NamedTuple):
    """A transport, and what is said of it when it is taken into use."""

    transport: Transport
    about: dict[str, object]


def route(settings: Settings, inbox: Inbox, offers: Offers, nucleus: Nucleus | None) -> Route:
    """Take the way to the broker that these settings and the machine allow. Raises ConfigurationRefused."""
    way = choose(settings.connection, offers)
    about: dict[str, object] = {"nucleus": nucleus.kind if nucleus is not None else "none", "why": way.why}
    about |= {"better": way.better, "endpoint": way.endpoint}
    if way.kind == "ipc":
        return Route(_by_ipc(nucleus, inbox), about)
    return Route(_by_mqtt(settings, way, inbox), about | {"clientId": settings.client_id})


def _by_ipc(nucleus: Nucleus | None, inbox: Inbox) -> Transport:
    from weir.transports.ipc import IpcTransport  # noqa: PLC0415 - only where the nucleus carries the messages

    if nucleus is None:
        raise ValueError("messages are to go through a nucleus, and there is none")
    return IpcTransport(nucleus, inbox.post, inbox.settled)


def _by_mqtt(settings: Settings, way: Way, inbox: Inbox) -> Transport:
    from weir.transports.mutual_tls import MutualTls  # noqa: PLC0415 - a dry run does without the client library

    connection = settings.connection
    approach: Approach = MutualTls(connection, way.endpoint)
    if way.kind == "websocket":
        from weir.transports.token_exchange import TokenExchange  # noqa: PLC0415 - only where there is no certificate
        from weir.transports.websocket import SignedWebSocket  # noqa: PLC0415 - as above

        exchange = TokenExchange(os.environ[TOKEN_EXCHANGE_URI], os.environ.get(TOKEN_EXCHANGE_TOKEN))
        approach = SignedWebSocket(connection, way.endpoint or "", way.region or "", exchange)
    if connection.protocol == "mqtt5":
        from weir.transports.mqtt5 import Mqtt5Transport  # noqa: PLC0415 - only the protocol that is spoken

        return Mqtt5Transport(connection, settings.thing_name, inbox.post, inbox.settled, approach=approach)
    from weir.transports.mqtt311 import Mqtt311Transport  # noqa: PLC0415 - as above

    return Mqtt311Transport(connection, settings.thing_name, inbox.post, inbox.settled, approach=approach)


def nucleus_of(environment: Mapping[str, str], inbox: Inbox) -> Nucleus | None:
    """Give the nucleus that started this process, None if none did."""
    if not environment.get(IPC_SOCKET):
        return None
    from weir.transports.nucleus import NucleusClient, door

    found = door(environment)
    return NucleusClient(found, inbox.wake) if found is not None else None


def dry_run_route(inbox: Inbox) -> Route:
    """Make a transport that prints `topic<TAB>payload`."""
    from weir.transports.dry_run import DryRunTransport  # noqa: PLC0415 - only for a dry run

    return Route(DryRunTransport(_printer(), inbox.post, inbox.settled), {})


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
            try:
                Path(stream.source.path).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFailed(f"inbox {stream.source.path}: {error.strerror}; make it") from error

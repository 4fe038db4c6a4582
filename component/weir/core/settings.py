"""The settings as typed, frozen values: what the rest of the program reads.

Owns the shape only. It mirrors the configuration document key by key (snake_case here, camelCase there), so every
field has its line in the key table and every line there its field. It must not know how a document is read or
checked: whoever holds a `Settings` may trust it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weir.core import topics


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the records of a stream come from."""

    type: Literal["directory", "stdin"]
    path: str | None  # absolute; None for stdin
    pattern: str
    format: Literal["auto", "jsonl", "json", "csv", "lines", "file"]
    csv_delimiter: str
    settle_seconds: float
    done_seconds: float
    on_done: Literal["keep", "archive", "delete"]
    archive_max_bytes: int
    max_record_bytes: int | None
    max_document_bytes: int

    @property
    def of_pipe(self) -> Literal["jsonl", "lines"]:
        """Give what the lines of a pipe are; it has no name that `auto` could go by."""
        return "jsonl" if self.format == "jsonl" else "lines"


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a queue may hold, and what happens when it is full."""

    mode: int  # an index of modes.MODE_NAMES
    max_records: int | None
    max_bytes: int | None
    max_age_seconds: float | None


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many records share a message."""

    max_records: int
    max_bytes: int | None
    linger_ms: int
    layout: Literal["lines", "array"]
    compression: Literal["none", "gzip"]

    @property
    def in_use(self) -> bool:
        """Tell whether a message is anything else than one record as it is."""
        return self.max_records > 1 or self.compression != "none"


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One source, one queue, one topic."""

    enabled: bool
    source: SourceSettings
    topic: str  # as configured; Settings.topic_of gives the text a message carries
    qos: int
    priority: int
    envelope: Literal["none", "json"]
    queue: QueueSettings
    batch: BatchSettings


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The limits on the client's operations; None is no limit."""

    max_incomplete: int | None
    max_in_flight: int | None
    max_incomplete_bytes: int | None
    max_in_flight_bytes: int | None


class PaceSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The limits on what goes out in any second; None is no limit."""

    publishes_per_second: float | None
    bytes_per_second: int | None


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the broker is reached."""

    transport: Literal["auto", "mqtt", "ipc"]
    protocol: Literal["mqtt311", "mqtt5"]
    endpoint: str | None
    port: int | None  # None is that of the way which is taken
    certificate: str | None  # absolute
    private_key: str | None  # absolute
    ca: str | None  # absolute; None is the system's store
    client_id: str  # as configured; Settings.client_id gives the text the broker sees
    keep_alive_seconds: int
    ping_timeout_seconds: int
    operation_timeout_seconds: float
    reconnect_min_seconds: int
    reconnect_max_seconds: int
    proxy_host: str | None
    proxy_port: int


class StateSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the durable state lives, and how often it is committed."""

    path: str  # absolute
    commit_seconds: float
    commit_records: int
    min_free_bytes: int
    quarantine_max_bytes: int


class ReportSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said about the work, and how often."""

    log_seconds: float
    metrics_file: str | None
    topic: str | None
    topic_seconds: float


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The form of the log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["text", "json"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole configuration, checked, every default filled in."""

    thing_name: str
    streams: dict[str, StreamSettings]  # in the order they were given
    gate: GateSettings
    pace: PaceSettings
    connection: ConnectionSettings
    state: StateSettings
    report: ReportSettings
    log: LogSettings

    @property
    def duplicate_bound(self) -> int:
        """Give the most records that one crash can make arrive twice."""
        window = self.gate.max_in_flight or self.gate.max_incomplete or 0  # one of them is set: see checks
        largest = max((stream.batch.max_records for stream in self.streams.values()), default=1)
        return self.state.commit_records + window * largest

    @property
    def client_id(self) -> str:
        """Give the client id with its placeholders filled in."""
        return topics.expand(self.connection.client_id, {"thingName": self.thing_name})

    @property
    def report_topic(self) -> str | None:
        """Give the topic of the status with its placeholders filled in, None where it is not published."""
        topic = self.report.topic
        return None if topic is None else topics.expand(topic, {"thingName": self.thing_name})

    def topic_of(self, stream: str) -> str:
        """Give the topic of a stream with its placeholders filled in."""
        return topics.expand(self.streams[stream].topic, {"thingName": self.thing_name, "stream": stream})

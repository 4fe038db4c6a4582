"""What the keys of a configuration say together.

Owns every rule that needs more than one value to judge. It must not know the document: it reads settings whose values
are each fine by themselves, or defaults in the place of those that are not.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from weir.core import batching, topics
from weir.core.findings import Findings
from weir.core.quoting import listed, quoted
from weir.core.settings import ConnectionSettings, GateSettings, Settings, SourceSettings, StreamSettings
from weir.core.values import NAME

ROW_BYTES = 64  # what a record counts in the queue beside its own bytes
MOST_CLIENT_ID_BYTES = 128  # of AWS IoT Core
FIELD = re.compile(r"record\.[^{}/+#]+")
SIMPLE = frozenset({"thingName", "stream", "file"})
CONFIGURED = frozenset({"thingName", "stream"})  # these have one value, known before any record is


def examine(settings: Settings, findings: Findings, *, under_nucleus: bool) -> None:
    """Note everything that is wrong between keys."""
    _thing_name(settings, findings)
    for name, stream in settings.streams.items():
        _topic(settings, name, findings)
        _data_for_topic(stream, f"streams.{name}", findings)
        _qos(settings, name, findings)
        _source(stream.source, f"streams.{name}.source", findings)
        _queue(stream, f"streams.{name}", findings)
        _batch(stream, f"streams.{name}", findings)
        _largest_record(settings, name, findings)
    _standard_inputs(settings, findings)
    _watched_twice(settings, findings)
    _gate(settings.gate, findings)
    _client_id(settings, findings, under_nucleus=under_nucleus)
    _credentials(settings.connection, findings)
    _waits(settings.connection, findings)
    _report_topic(settings, findings)


def _thing_name(settings: Settings, findings: Findings) -> None:
    name = settings.thing_name
    if not NAME.fullmatch(name):
        what = f"{quoted(name)} is not a name that fits a topic" if name else "has no value"
        findings.add("thingName", f"{what} (allowed: 1 to 128 of A-Z a-z 0-9 _ . : -)")


def _topic(settings: Settings, name: str, findings: Findings) -> None:
    path, template = f"streams.{name}.topic", settings.streams[name].topic
    by_itself = set(topics.faults(template))  # a wildcard stays one, whatever the thing is called
    for fault in topics.faults(settings.topic_of(name)):
        findings.conclude(path, fault, *(() if fault in by_itself else ("thingName",)))
    for fault in _template_faults(template):
        findings.add(path, fault)


def _template_faults(template: str) -> Iterator[str]:
    allowed = listed(topics.PLACEHOLDERS)
    for word in topics.placeholders(template):
        if word not in SIMPLE and not FIELD.fullmatch(word):
            yield f"{quoted('{' + word + '}')} is not a placeholder (allowed: {allowed})"
    if topics.stray_brace(template):
        yield f"holds a brace that belongs to no placeholder (allowed: {allowed})"
    if any(word not in CONFIGURED for word in topics.placeholders(template.partition("/")[0])):
        yield "takes its first level from data (allowed: {file} and {record.FIELD} from the second level on)"


def _data_for_topic(stream: StreamSettings, path: str, findings: Findings) -> None:
    """Note placeholders that this stream's records can never fill."""
    words = topics.placeholders(stream.topic)
    if "file" in words and stream.source.type == "stdin":
        message = "{file} has no value for standard input (allowed: a directory, or no {file})"
        findings.conclude(f"{path}.topic", message, f"{path}.source.type")
    plain = stream.source.format in {"lines", "file"} or (
        stream.source.type == "stdin" and stream.source.format == "auto"
    )
    if plain and any(FIELD.fullmatch(word) for word in words):
        message = "{record.FIELD} needs records that are JSON (allowed: source.format jsonl, json or csv)"
        findings.conclude(f"{path}.topic", message, f"{path}.source.format", f"{path}.source.type")


def _qos(settings: Settings, name: str, findings: Findings) -> None:
    # The client takes QoS 0 without bound and completes it into a blocked socket: only the pace can hold it back.
    if settings.streams[name].qos == 0 and settings.pace.publishes_per_second is None:
        message = "0 needs the pace, and pace.publishesPerSecond is none (allowed: 1, or a pace)"
        findings.conclude(f"streams.{name}.qos", message, "pace.publishesPerSecond")


def _source(source: SourceSettings, path: str, findings: Findings) -> None:
    if source.type == "stdin" and source.path is not None:
        message = "standard input has no path (allowed: null, or source.type directory)"
        findings.conclude(f"{path}.path", message, f"{path}.type")
    if source.type == "stdin" and source.format in {"json", "csv", "file"}:
        message = f"standard input is read line by line, and not as {source.format} (allowed: auto, jsonl, lines)"
        findings.conclude(f"{path}.format", message, f"{path}.type")


def _batch(stream: StreamSettings, path: str, findings: Findings) -> None:
    source, layout = stream.source, stream.batch.layout
    form = source.of_pipe if source.type == "stdin" else source.format
    enveloped = stream.envelope == "json"
    if stream.batch.max_records == 1 or form == "auto" or batching.frames(layout, form, enveloped=enveloped):
        return
    fitting = tuple(other for other in batching.LAYOUTS if batching.frames(other, form, enveloped=enveloped))
    fits = f"{listed(fitting)}, or maxRecords 1" if fitting else "maxRecords 1, or an envelope"
    message = f"{layout} cannot hold several records of the format {form} (allowed: {fits})"
    findings.conclude(f"{path}.batch.layout", message, f"{path}.source.format", f"{path}.batch.maxRecords")


def _queue(stream: StreamSettings, path: str, findings: Findings) -> None:
    queue, largest = stream.queue, stream.source.max_record_bytes
    records, size = f"{path}.queue.maxRecords", f"{path}.queue.maxBytes"
    if queue.max_records is None and queue.max_bytes is None:
        findings.conclude(records, "none, and maxBytes is none as well (allowed: a limit for at least one)", size)
    if queue.max_bytes is not None and largest is not None and largest + ROW_BYTES > queue.max_bytes:
        message = (
            f"{queue.max_bytes} has no room for one record of maxRecordBytes (allowed: {largest + ROW_BYTES} or more)"
        )
        findings.conclude(size, message, f"{path}.source.maxRecordBytes")


def _largest_record(settings: Settings, name: str, findings: Findings) -> None:
    largest = settings.streams[name].source.max_record_bytes
    room = topics.room_for_payload(settings.topic_of(name))
    if largest is not None and largest > room:
        path = f"streams.{name}"
        message = f"{largest} is more than a message on this topic can carry (allowed: 1 to {room}, or none)"
        findings.conclude(f"{path}.source.maxRecordBytes", message, f"{path}.topic", "thingName")


def _standard_inputs(settings: Settings, findings: Findings) -> None:
    readers = [name for name, stream in settings.streams.items() if stream.enabled and stream.source.type == "stdin"]
    for name in readers[1:]:
        message = f"stream {readers[0]} reads standard input already (allowed: one such stream)"
        findings.conclude(f"streams.{name}.source.type", message)


def _watched_twice(settings: Settings, findings: Findings) -> None:
    watched: dict[str, str] = {}
    for name, stream in settings.streams.items():
        if not stream.enabled or stream.source.path is None or stream.source.type != "directory":
            continue
        other = watched.setdefault(posixpath.normpath(stream.source.path), name)
        if other != name:
            message = f"stream {other} watches this directory already (allowed: one stream a directory)"
            findings.conclude(f"streams.{name}.source.path", message, f"streams.{other}.source.path")


def _gate(gate: GateSettings, findings: Findings) -> None:
    if gate.max_incomplete is None and gate.max_in_flight is None:
        message = "none, and maxInFlight is none as well (allowed: a limit of 1 to 1000 for at least one)"
        findings.conclude("gate.maxIncomplete", message, "gate.maxInFlight")
    _dead_limit("", gate.max_incomplete, gate.max_in_flight, findings)
    _dead_limit("Bytes", gate.max_incomplete_bytes, gate.max_in_flight_bytes, findings)


def _dead_limit(suffix: str, incomplete: int | None, in_flight: int | None, findings: Findings) -> None:
    # What is in flight is incomplete too, so the larger of the two limits would never be reached.
    if incomplete is not None and in_flight is not None and incomplete < in_flight:
        lower, upper = f"gate.maxIncomplete{suffix}", f"gate.maxInFlight{suffix}"
        message = f"{incomplete} is below {upper}, which could never be reached (allowed: {in_flight} or more, or none)"
        findings.conclude(lower, message, upper)


def _client_id(settings: Settings, findings: Findings, *, under_nucleus: bool) -> None:
    path, template, client_id = "connection.clientId", settings.connection.client_id, settings.client_id
    if topics.stray_brace(template) or topics.placeholders(template) not in ([], ["thingName"]):
        findings.add(path, "holds braces that are not the one placeholder (allowed: {thingName})")
    size = len(client_id.encode())
    if size > MOST_CLIENT_ID_BYTES:
        message = f"has {size} bytes once expanded (allowed: 1 to {MOST_CLIENT_ID_BYTES})"
        findings.conclude(path, message, "thingName")
    if client_id.startswith("$"):
        findings.conclude(path, "begins with $ (allowed: any other first character)")
    if under_nucleus and client_id.partition("#")[0] == settings.thing_name:
        # The classic nucleus connects as THING, THING#2, ...; the broker lets only the latest of two equal ids live.
        message = "is the client id of the nucleus, which would be pushed out (allowed: any other)"
        findings.conclude(path, message, "thingName")


def _credentials(connection: ConnectionSettings, findings: Findings) -> None:
    certificate, key = "connection.certificate", "connection.privateKey"
    if connection.certificate is not None and connection.private_key is None:
        findings.conclude(
            key, "has no value, and connection.certificate has one (allowed: both or neither)", certificate
        )
    if connection.private_key is not None and connection.certificate is None:
        findings.conclude(
            certificate, "has no value, and connection.privateKey has one (allowed: both or neither)", key
        )


def _report_topic(settings: Settings, findings: Findings) -> None:
    path, template, topic = "report.topic", settings.report.topic, settings.report_topic
    if template is None or topic is None:
        return
    if topics.stray_brace(template) or topics.placeholders(template) not in ([], ["thingName"]):
        findings.add(path, "holds braces that are not the one placeholder (allowed: {thingName})")
        return
    by_itself = set(topics.faults(template))
    for fault in topics.faults(topic):
        findings.conclude(path, fault, *(() if fault in by_itself else ("thingName",)))


def _waits(connection: ConnectionSettings, findings: Findings) -> None:
    keep_alive, ping = connection.keep_alive_seconds, connection.ping_timeout_seconds
    if ping >= keep_alive:
        message = f"{ping} is not below keepAliveSeconds (allowed: 1 to {keep_alive - 1})"
        findings.conclude("connection.pingTimeoutSeconds", message, "connection.keepAliveSeconds")
    least, most = connection.reconnect_min_seconds, connection.reconnect_max_seconds
    if least > most:
        message = f"{least} is above reconnectMaxSeconds (allowed: 1 to {most})"
        findings.conclude("connection.reconnectMinSeconds", message, "connection.reconnectMaxSeconds")

"""The one table of configuration keys: path, kind, unit, default, what is allowed, and what it means.

Validation, the README's table, the recipe's defaults and the output of `weir check` are all made from it. It must not
know how a value is read: a line here is data.
"""

from __future__ import annotations

import msgspec

from weir.core.key import Key, choice, count, number, size, text
from weir.core.topics import MAX_MESSAGE_BYTES

DEFAULT_STREAM = "telemetry"  # the one stream of a document that names none

MOST_OPERATIONS = 1000
GIBI = 2**30
TEBI = 2**40
DAY = 86_400
MONTH = 30 * DAY
YEARS = 3650 * DAY

_SOURCE = (
    choice(
        "source.type",
        ("directory", "stdin"),
        "Where records come from; at most one stream reads standard input.",
    ),
    text(
        "source.path",
        "path",
        None,
        "The watched directory; null is `inbox` in the work path, the only one that is created if missing.",
    ),
    text("source.pattern", "pattern", "*", "Which file names are read; `.*`, `*.tmp`, `*.part` and `*~` never are."),
    choice(
        "source.format",
        ("auto", "jsonl", "json", "csv", "lines", "file"),
        "How a file is cut into records; auto goes by the name of the file.",
    ),
    text("source.csvDelimiter", "character", ",", "What separates the fields of a CSV file."),
    number(
        "source.settleSeconds",
        2,
        "s",
        (0.1, DAY),
        "A last line without a line end counts as a record once its file is unchanged for so long.",
    ),
    number(
        "source.doneSeconds",
        60,
        "s",
        (0.1, MONTH),
        "A file unchanged for so long, all of it read and settled, is finished: onDone applies.",
    ),
    choice(
        "source.onDone",
        ("keep", "archive", "delete"),
        "What becomes of a finished file; archive moves it to `.weir-archive` in the watched directory.",
    ),
    size("source.archiveMaxBytes", 67_108_864, TEBI, "How much the archive may hold."),
    size(
        "source.maxRecordBytes",
        None,
        MAX_MESSAGE_BYTES,
        "A longer record is quarantined; none is what fits a message.",
        or_none=True,
    ),
    size("source.maxDocumentBytes", 8_388_608, GIBI, "The longest JSON document, or whole file, that is read as one."),
)

_QUEUE = (
    text("queue.mode", "mode", 4, "Where a new record enters, and what happens when the queue is full."),
    count("queue.maxRecords", 10_000, "records", (1, 10**9), "How many records may wait.", or_none=True),
    size("queue.maxBytes", 16_777_216, TEBI, "How many bytes may wait; a record counts with 64 more.", or_none=True),
    number(
        "queue.maxAgeSeconds",
        None,
        "s",
        (0.1, YEARS),
        "A record that waited longer since it was read is dropped, and counted as expired.",
        or_none=True,
    ),
)

_BATCH = (
    count("batch.maxRecords", 1, "records", (1, 10_000), "How many records one message may carry."),
    size(
        "batch.maxBytes",
        None,
        MAX_MESSAGE_BYTES,
        "How large a payload may become; none is what fits.",
        or_none=True,
    ),
    count("batch.lingerMs", 0, "ms", (0, 60_000), "How long a message that is not full waits for more records."),
    choice("batch.layout", ("lines", "array"), "How the records of a message are joined; array is for JSON only."),
    choice("batch.compression", ("none", "gzip"), "Whether a message is compressed."),
)

_STREAM = (
    Key(path="enabled", kind="boolean", default=True, meaning="Whether the stream is read and sent."),
    *_SOURCE,
    text(
        "topic",
        "template",
        "telemetry/{thingName}/{stream}",
        "Where the records are published; `$aws/rules/NAME/` in front is Basic Ingest.",
    ),
    count("qos", 1, "", (0, 1), "1 waits for the acknowledgement of the broker; 0 does not, and needs the pace."),
    count("priority", 0, "", (-1000, 1000), "A stream with a larger number goes first."),
    choice(
        "envelope",
        ("none", "json"),
        "What is sent: the bytes of the record alone, or a JSON object with id, thing, stream, time and data.",
    ),
    *_QUEUE,
    *_BATCH,
)

_GATE = (
    count(
        "gate.maxIncomplete",
        100,
        "operations",
        (1, MOST_OPERATIONS),
        "How many operations may be submitted and not complete, those in flight among them.",
        or_none=True,
    ),
    count(
        "gate.maxInFlight",
        50,
        "operations",
        (1, MOST_OPERATIONS),
        "How many operations may be unacknowledged; this or maxIncomplete must be set.",
        or_none=True,
    ),
    size("gate.maxIncompleteBytes", 4_194_304, GIBI, "As maxIncomplete, in bytes.", or_none=True),
    size("gate.maxInFlightBytes", 2_097_152, GIBI, "As maxInFlight, in bytes.", or_none=True),
)

_PACE = (
    number(
        "pace.publishesPerSecond",
        90,
        "1/s",
        (0.001, 100_000),
        "How many messages may go in any second; IoT Core discards what exceeds 100.",
        or_none=True,
    ),
    count(
        "pace.bytesPerSecond",
        471_859,
        "bytes/s",
        (1, GIBI),
        "How many bytes may go in any second; IoT Core takes 524,288.",
        or_none=True,
    ),
)

_CONNECTION = (
    choice(
        "connection.transport",
        ("auto", "mqtt", "ipc"),
        "The way to the broker: a connection of its own, or through the nucleus.",
    ),
    choice("connection.protocol", ("mqtt311", "mqtt5"), "The version of MQTT."),
    text("connection.endpoint", "host", None, "The broker; for IoT Core the data endpoint of the account."),
    count("connection.port", None, "", (1, 65_535), "The port of the broker; null is 8883, or 443 for a WebSocket."),
    text("connection.certificate", "path", None, "The certificate of the client, a PEM file."),
    text("connection.privateKey", "path", None, "The key of that certificate, a PEM file which nobody else may read."),
    text(
        "connection.ca",
        "path",
        None,
        "Who vouches for the broker, a PEM file; null is GG_ROOT_CA_PATH if set, else the store of the system.",
    ),
    text(
        "connection.clientId",
        "clientId",
        "{thingName}-weir",
        "The MQTT client id; two clients with the same one push each other out.",
    ),
    count(
        "connection.keepAliveSeconds",
        30,
        "s",
        (5, 1200),
        "How often a quiet connection is tried; IoT Core takes 30 to 1200.",
    ),
    count(
        "connection.pingTimeoutSeconds",
        10,
        "s",
        (1, 1199),
        "How long the answer to such a try may take; less than keepAliveSeconds.",
    ),
    number(
        "connection.operationTimeoutSeconds",
        90,
        "s",
        (1, 3600),
        "How long an acknowledgement may take before the connection is replaced.",
    ),
    count("connection.reconnectMinSeconds", 1, "s", (1, 3600), "The first wait before another attempt to connect."),
    count("connection.reconnectMaxSeconds", 120, "s", (1, 3600), "The longest wait between two attempts."),
    text("connection.proxyHost", "host", None, "An HTTP proxy on the way to the broker."),
    count("connection.proxyPort", 8080, "", (1, 65_535), "The port of the proxy."),
)

_STATE = (
    text(
        "state.path",
        "path",
        None,
        "Where the durable state lives; null is `state` in the work path under a nucleus, else `weir-state`.",
    ),
    number(
        "state.commitSeconds",
        1,
        "s",
        (0.05, 60),
        "How often the state is committed; longer is kinder to flash, and what a pipe gave is sent that much later.",
    ),
    count("state.commitRecords", 5000, "records", (1, 1_000_000), "How many settled records may wait for a commit."),
    size("state.minFreeBytes", 33_554_432, TEBI, "With less space on its disk than this, the queue counts as full."),
    size("state.quarantineMaxBytes", 16_777_216, TEBI, "How much the quarantine may hold."),
)

_REPORT = (
    number("report.logSeconds", 30, "s", (1, DAY), "How often the counters are logged."),
    text(
        "report.metricsFile",
        "path",
        None,
        "A text file with the counters for Prometheus, replaced every 15 s.",
        or_none=True,
    ),
    text("report.topic", "topic", None, "Where the status is published; {thingName} may stand in it.", or_none=True),
    number("report.topicSeconds", 300, "s", (1, DAY), "How often the status is published."),
)

_LOG = (
    choice("log.level", ("INFO", "DEBUG", "WARNING", "ERROR"), "What is logged at all."),
    choice("log.format", ("text", "json"), "How a log line is written."),
)


KEYS: tuple[Key, ...] = (
    text("thingName", "name", None, "The name of this device; null is AWS_IOT_THING_NAME, else the host name."),
    *(msgspec.structs.replace(key, path=f"streams.*.{key.path}") for key in _STREAM),
    *_GATE,
    *_PACE,
    *_CONNECTION,
    *_STATE,
    *_REPORT,
    *_LOG,
)

"""The metrics file: the counters in the text form that Prometheus reads.

Owns the names of the metrics and how the file is replaced. Knows nothing of where the figures come from. Counters are
committed ones, as everywhere: so none ever falls within an epoch, which `weir_info` names.

The form is version 0.0.4 of the text exposition format, as the textfile collector of node_exporter takes it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from weir import __version__
from weir.core.accounting import DROPPED, QUARANTINED
from weir.core.view import StreamView, View
from weir.report.status import totals

MODE = 0o644  # others are to read it: nothing in it is a secret
COUNTER, GAUGE = "counter", "gauge"

Labels = dict[str, str]


class Sample(NamedTuple):
    """One figure, and what tells it from others of its name."""

    labels: Labels
    value: float


class Family(NamedTuple):
    """A metric: its name, its type, what it means, its samples."""

    name: str
    type: str
    help: str
    samples: list[Sample]


_RECORDS = {
    "read": "Records taken from the source.",
    "delivered": "Records that the broker has acknowledged.",
    "unconfirmed": "Records of QoS 0 that the client has written.",
    "handedOver": "Records that the Greengrass nucleus has taken.",
}

_BESIDE = {
    "replayed": ("records_replayed", "Of the records read, those that came back from quarantine."),
    "droppedAfterAttempt": ("records_dropped_after_attempt", "Of the records dropped, those that may have arrived."),
    "sourceTruncatedBytes": ("source_truncated_bytes", "Bytes that were gone from a file before they were read."),
    "sourceVanishedFiles": ("source_vanished_files", "Files that were gone before they were read."),
    "sourceLateBytes": ("source_late_bytes", "Bytes that arrived in a file that was finished already."),
    "sourceSkippedFiles": ("source_skipped_files", "Files that are not read; the log says why."),
}

_MESSAGES = {
    "published": ("messages_published", "Messages handed to the client."),
    "acknowledged": ("messages_acknowledged", "Messages that the broker has acknowledged."),
    "timedOut": ("messages_timed_out", "Messages without an acknowledgement in time."),
    "bytes": ("messages_bytes", "Bytes of topic and payload handed to the client."),
}

_STREAM_GAUGES: dict[str, tuple[str, Callable[[StreamView], int]]] = {
    "records_pending": ("Records queued or in flight, as committed.", lambda stream: stream.counts["pending"]),
    "records_in_flight": ("Records at the client without an answer.", lambda stream: stream.in_flight),
    "queue_records": ("Records that wait in the queue.", lambda stream: stream.queue_records),
    "queue_bytes": ("Bytes that wait in the queue, 64 a record among them.", lambda stream: stream.queue_bytes),
    "source_unread_bytes": ("Bytes in files that are not read yet.", lambda stream: stream.bytes_unread),
    "source_waiting_files": ("Files with bytes that are not read yet.", lambda stream: stream.files_waiting),
}


def exposition(view: View) -> str:
    """Write a view in the text exposition format."""
    return "".join(_written(family) for family in _families(view) if family.samples)


def _families(view: View) -> Iterator[Family]:
    about = {"version": __version__, "epoch": view.epoch, "thing": view.thing_name, "transport": view.transport}
    labels = {name: value or "" for name, value in about.items()}
    yield Family("weir_info", GAUGE, "What runs; counters only grow within an epoch.", [Sample(labels, 1)])
    yield _gauge("up", "1 while Weir runs.", int(view.state != "stopped"))
    yield _gauge("online", "1 while there is a connection.", int(view.state == "online"))
    yield _by_reason("gate_held", "Why nothing is sent just now.", [view.held_by] if view.held_by else [])
    yield _by_reason("degraded", "What a person should look at.", [one.reason for one in view.degraded])
    yield from _of_records(view)
    yield from _of_streams(view)
    yield from _of_everything(view)


def _of_records(view: View) -> Iterator[Family]:
    streams = view.streams.items()
    for counter, text in _RECORDS.items():
        samples = [Sample({"stream": name}, stream.counts[counter]) for name, stream in streams]
        yield Family(f"weir_records_{_snake(counter)}_total", COUNTER, text, samples)
    for word, counters, text in (
        ("dropped", DROPPED, "Records that are gone for good, by a policy."),
        ("quarantined", QUARANTINED, "Records set aside on the device."),
    ):
        samples = [
            Sample({"stream": name, "reason": reason}, stream.counts[counter])
            for name, stream in streams
            for reason, counter in counters.items()
        ]
        yield Family(f"weir_records_{word}_total", COUNTER, text, samples)


def _of_streams(view: View) -> Iterator[Family]:
    streams = view.streams.items()
    for counter, (name, text) in _BESIDE.items():
        samples = [Sample({"stream": stream}, shown.counts[counter]) for stream, shown in streams]
        yield Family(f"weir_{name}_total", COUNTER, text, samples)
    for gauge, (text, value) in _STREAM_GAUGES.items():
        samples = [Sample({"stream": stream}, value(shown)) for stream, shown in streams]
        yield Family(f"weir_{gauge}", GAUGE, text, samples)


def _of_everything(view: View) -> Iterator[Family]:
    counts = totals(view)
    twins = counts["possibleTwins"] + view.possible_twins
    yield _counter("records_possible_twins", "Records at the moment they may be sent again.", twins)
    for counter, (name, text) in _MESSAGES.items():  # a status that is published is of no stream
        yield _counter(name, text, counts[counter])
    yield _counter("state_lost", "How often the state had to begin anew.", view.state_lost)
    yield _counter("store_written_bytes", "Bytes written to the state.", view.bytes_written)
    yield _gauge("duplicate_bound_records", "The most records one crash can make arrive twice.", view.duplicate_bound)
    yield _gauge("epoch_start_timestamp_seconds", "When the epoch began.", view.epoch_since)
    yield _gauge("commit_timestamp_seconds", "When the state was committed last.", view.updated)
    yield _gauge("oldest_pending_timestamp_seconds", "When the oldest record that waits was read.", view.oldest_at)


def _counter(name: str, text: str, value: int) -> Family:
    return Family(f"weir_{name}_total", COUNTER, text, [Sample({}, value)])


def _gauge(name: str, text: str, value: float | None) -> Family:
    return Family(f"weir_{name}", GAUGE, text, [] if value is None else [Sample({}, value)])


def _by_reason(name: str, text: str, reasons: Iterable[str]) -> Family:
    return Family(f"weir_{name}", GAUGE, text, [Sample({"reason": reason}, 1) for reason in reasons])


def _written(family: Family) -> str:
    head = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"
    return head + "".join(f"{family.name}{_labels(sample.labels)} {sample.value!r}\n" for sample in family.samples)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def replace(path: Path, text: str) -> None:
    """Put a text into the place of a file: whoever reads sees the old one or the new one whole. Raises OSError.

    It is not synced: a figure from before a power cut is of no use after it.
    """
    beside = path.with_name(f".{path.name}.tmp")  # a collector of *.prom does not see it
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            os.fchmod(file.fileno(), stat.S_IMODE(MODE))  # whatever the umask is
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise

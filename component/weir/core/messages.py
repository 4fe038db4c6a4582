"""What a record becomes on the wire: a topic, and a payload.

Owns the placeholders of a topic that are filled from data, what such a value may be, and the envelope. Knows nothing of
queues or transports. A record whose topic cannot be made is `Unfit`: it is set aside, never sent elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

import msgspec

from weir.core import topics
from weir.core.quoting import escaped
from weir.core.record import file_record_id, pipe_record_id
from weir.core.span import Span

# What a value from data may be: it must not add a level, a wildcard or a $, nor grow a topic without bound.
VALUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
JSON_FORMATS = frozenset({"jsonl", "json", "csv"})  # records of these are JSON, whatever their file held
FILE, RECORD = "file", "record."

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode


class Unfit(Exception):
    """The record cannot be sent as it is; `reason` is that of the quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        """Say which reason, and what exactly."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Message(NamedTuple):
    """What is published."""

    topic: str
    payload: bytes


class Identity(NamedTuple):
    """Who speaks: the thing and the stream, and the epoch, in which a pipe's numbers are unique."""

    thing: str
    stream: str
    epoch: str


class Messages:
    """Makes the messages of one stream. `topic` is its template, with thing and stream filled in already."""

    def __init__(
        self, identity: Identity, topic: str, *, envelope: Literal["none", "json"], pipe_is_json: bool
    ) -> None:
        """Take what does not change from record to record."""
        self._identity = identity
        self._topic = topic
        self.enveloped = envelope == "json"
        self._pipe_is_json = pipe_is_json
        names = topics.placeholders(topic)
        self._of_file = FILE in names
        self._fields = [name.removeprefix(RECORD) for name in names if name.startswith(RECORD)]
        self.plain = not (self.enveloped or self._of_file or self._fields)  # the topic as it is, the record as it is

    def message(self, span: Span, index: int, payload: bytes) -> Message:
        """Make the message of one record. Raises `Unfit`."""
        return Message(self.topic(span, payload), self.payload(span, index, payload))

    @property
    def one_topic(self) -> bool:
        """Tell whether all records have the same topic."""
        return not (self._of_file or self._fields)

    def topic(self, span: Span, payload: bytes) -> str:
        """Give the topic of one record. Raises `Unfit`."""
        return self._topic if self.one_topic else self._topic_of(span, payload)

    def payload(self, span: Span, index: int, payload: bytes) -> bytes:
        """Give what is sent of one record."""
        return self._enveloped(span, index, payload) if self.enveloped else payload

    # -- the topic ----------------------------------------------------------------------------------------------------

    def _topic_of(self, span: Span, payload: bytes) -> str:
        values = self._values_of(payload) if self._fields else {}
        if self._of_file:
            name = "" if span.file is None else span.file.name.decode(errors="replace")
            values[FILE] = _allowed("the name of the file", name)
        topic = topics.expand(self._topic, values)
        fault = next(topics.faults(topic), None)
        if fault is not None:
            raise Unfit("badTopic", f"the topic {fault}")
        return topic

    def _values_of(self, payload: bytes) -> dict[str, str]:
        try:
            record = _fields(payload)
        except ValueError:
            raise Unfit("badTopic", "the record is not a JSON object, and its topic names a field") from None
        return {RECORD + field: self._value_of(record, field) for field in self._fields}

    def _value_of(self, record: dict[str, msgspec.Raw], field: str) -> str:
        raw = record.get(field)
        if raw is None:
            raise Unfit("badTopic", f"the record has no field {escaped(field)}")
        text = bytes(raw).decode()
        return _allowed(f"the field {escaped(field)}", str(_value(raw)) if text.startswith('"') else text)

    # -- the envelope -------------------------------------------------------------------------------------------------

    def _enveloped(self, span: Span, index: int, payload: bytes) -> bytes:
        head = {
            "id": self.id_of(span, index, payload).hex(),
            "thing": self._identity.thing,
            "stream": self._identity.stream,
            "time": _moment(span.at),
        }
        if self._is_json(span, payload):
            return b"".join((_json(head)[:-1], b',"data":', payload, b"}"))  # the record's own bytes, unchanged
        try:
            return _json(head | {"data": payload.decode()})
        except UnicodeDecodeError:
            return _json(head | {"encoding": "base64", "data": base64.b64encode(payload).decode()})

    def _is_json(self, span: Span, payload: bytes) -> bool:
        if span.file is not None:
            return span.file.format in JSON_FORMATS
        if span.offset >= 0:
            return self._pipe_is_json
        try:  # a replay: nobody has checked it, or somebody has and it was not
            payload.decode()
            _value(payload)
        except ValueError:
            return False
        return True

    def id_of(self, span: Span, index: int, payload: bytes) -> bytes:
        """Give the id of a record: the same after a crash, and never that of another one."""
        thing, stream, epoch = self._identity
        if span.file is None:
            return pipe_record_id(thing, stream, epoch, span.place(index))
        return file_record_id(thing, stream, span.file, span.place(index), payload)


def _allowed(what: str, value: str) -> str:
    if not VALUE.fullmatch(value):
        raise Unfit("badTopic", f"{what} does not fit a topic (allowed: 1 to 64 of A-Z a-z 0-9 _ . : -)")
    return value


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _moment(seconds: float) -> str:
    """Write a wall time as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

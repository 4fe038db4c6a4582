"""Topics: templates, their placeholders, and the limits of AWS IoT Core.

Owns what a topic may look like. It must not know streams or settings: a template and values come in, text or faults
come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MAX_BYTES = 256
MAX_SLASHES = 7
MAX_MESSAGE_BYTES = 131_072  # IoT Core's limit on a whole PUBLISH packet
OVERHEAD_BYTES = 8  # fixed header, topic length, packet id: what a message costs beside topic and payload
OPERATION_BYTES = 4  # what a client's statistics count of that, with MQTT 3.1.1
MESSAGE_BYTES = MAX_MESSAGE_BYTES - OVERHEAD_BYTES  # the most that topic and payload of one message may have together

LIMITS = f"at most {MAX_BYTES} bytes and {MAX_SLASHES} slashes"
BASIC_INGEST = re.compile(r"\$aws/rules/[A-Za-z0-9_]+(?:/|\Z)")  # IoT Core does not count this prefix
BASIC_INGEST_FORM = "$aws/rules/NAME/"
PLACEHOLDERS = ("{thingName}", "{stream}", "{file}", "{record.FIELD}")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # lone surrogates have no UTF-8 form


def expand(template: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders that have a value; every other stays as it is."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def placeholders(template: str) -> list[str]:
    """Give the placeholders of a template, each once, without their braces."""
    return list(dict.fromkeys(PLACEHOLDER.findall(template)))


def stray_brace(template: str) -> bool:
    """Say whether a brace is left over that belongs to no placeholder."""
    rest = PLACEHOLDER.sub("", template)
    return "{" in rest or "}" in rest


def faults(topic: str) -> Iterator[str]:
    """Say everything that keeps IoT Core from taking a message on this topic."""
    if not topic:
        yield f"is empty (allowed: a topic of {LIMITS})"
        return
    if CONTROL.search(topic):
        yield "holds a control character (allowed: printable UTF-8)"
        return
    prefix = BASIC_INGEST.match(topic)
    if topic.startswith("$") and prefix is None:
        yield f"begins with $ (allowed: no $, or the Basic Ingest prefix {BASIC_INGEST_FORM})"
    if "+" in topic or "#" in topic:
        yield "holds a wildcard (allowed: no + and no #)"
    counted = topic[prefix.end() :] if prefix else topic
    size, slashes = len(counted.encode()), counted.count("/")
    if size > MAX_BYTES:
        yield f"has {size} bytes of UTF-8 once expanded (allowed: at most {MAX_BYTES})"
    if slashes > MAX_SLASHES:
        yield f"has {slashes} slashes once expanded (allowed: at most {MAX_SLASHES})"


def room_for_payload(topic: str) -> int:
    """Give the most payload bytes that one message on this topic can carry."""
    return MESSAGE_BYTES - len(topic.encode())

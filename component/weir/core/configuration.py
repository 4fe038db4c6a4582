"""The configuration: from a document to settings, or to everything that is wrong with it.

Owns `parse`, `require_connection` and `effective`. It must not know where a document comes from; what it needs of the
world around comes in as `Surroundings`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from weir.core import checks, ways
from weir.core.errors import ConfigurationRefused, Problem
from weir.core.findings import Findings
from weir.core.key import Key, Value
from weir.core.reading import TREE, Node, read
from weir.core.settings import Settings

_NO_OFFERS = ways.Offers()


class Surroundings(NamedTuple):
    """What the defaults depend on."""

    thing_name: str | None  # AWS_IOT_THING_NAME
    host_name: str
    work_path: str  # absolute; relative paths begin here
    under_nucleus: bool
    root_ca_path: str | None  # GG_ROOT_CA_PATH


def parse(document: object, surroundings: Surroundings) -> Settings:
    """Give the settings, or raise ConfigurationRefused with every problem there is."""
    settings, findings = judge(document, surroundings)
    if findings.problems:
        raise ConfigurationRefused(findings.problems)
    return settings


def judge(document: object, surroundings: Surroundings) -> tuple[Settings, Findings]:
    """Give the settings, with defaults in the place of what is wrong, and what is wrong.

    For a caller with more to check: it adds to the findings, so that a person sees everything at once.
    """
    findings = Findings()
    values = _resolved(read(document, findings), surroundings)
    settings = msgspec.convert(values, Settings)
    checks.examine(settings, findings, under_nucleus=surroundings.under_nucleus)
    return settings, findings


def require_connection(settings: Settings, offers: ways.Offers = _NO_OFFERS) -> list[Problem]:
    """Say what is missing before a connection can be made, with what the machine offers beside the settings."""
    try:
        ways.choose(settings.connection, offers)
    except ConfigurationRefused as refused:
        return refused.problems
    return []


def effective(settings: Settings) -> dict[str, Any]:
    """Give the whole configuration as a document: read again, it gives the same settings."""
    return _written(TREE, msgspec.to_builtins(settings))


def _written(node: Node, values: dict[str, Any]) -> dict[str, Any]:
    if "*" in node:
        return {name: _written(node["*"], value) for name, value in values.items()}
    return {
        name: _word(below, values[name]) if isinstance(below, Key) else _written(below, values[name])
        for name, below in node.items()
    }


def _word(key: Key, value: Value) -> Value:
    if value is None:
        return "none" if key.or_none else None
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 2, as one writes it, for 2.0


def _resolved(values: Node, surroundings: Surroundings) -> Node:
    """Fill in what depends on the surroundings, and make every path absolute."""
    thing_name = values["thingName"] or surroundings.thing_name or surroundings.host_name
    default_state = "state" if surroundings.under_nucleus else "weir-state"
    connection, state, report = values["connection"], values["state"], values["report"]
    absolute = _Absolute(surroundings.work_path)
    streams = {name: _resolved_stream(stream, absolute) for name, stream in values["streams"].items()}
    paths = {name: absolute(connection[name]) for name in ("certificate", "privateKey")}
    paths["ca"] = absolute(connection["ca"] or surroundings.root_ca_path)
    return values | {
        "thingName": thing_name,
        "streams": streams,
        "connection": connection | paths,
        "state": state | {"path": absolute(state["path"] or default_state)},
        "report": report | {"metricsFile": absolute(report["metricsFile"])},
    }


def _resolved_stream(stream: Node, absolute: _Absolute) -> Node:
    source = stream["source"]
    default = None if source["type"] == "stdin" else "inbox"
    return stream | {"source": source | {"path": absolute(source["path"] or default)}}


class _Absolute(NamedTuple):
    """Makes a path absolute, as a shell in the work path would read it."""

    work_path: str

    def __call__(self, path: str | None) -> str | None:
        return None if path is None else str(PurePosixPath(self.work_path, path))

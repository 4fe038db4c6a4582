"""The document against the key table: every key that is there is converted, every missing one gets its default.

Owns the walk over a document of unknown shape. It must not know what two keys say together, nor what surrounds us.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from weir.core.findings import Findings
from weir.core.key import Key, Value
from weir.core.keys import DEFAULT_STREAM, KEYS
from weir.core.quoting import escaped, listed, quoted
from weir.core.values import Unfit, convert, is_null, nearest

Node = dict[str, Any]  # the tree of the table: a name leads to a Key or to another such map

STREAM_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
MOST_STREAMS = 100
MOST_UNKNOWN = 20  # unknown keys of one map that are named one by one
TOLERATED = ("accessControl",)  # Greengrass keeps this one in the same document, and it is not for us
MISSING = object()  # a key that is not there has its default; one that is null may mean none


def tree_of(keys: tuple[Key, ...]) -> Node:
    """Give the table as the nested maps that a document is made of."""
    root: Node = {}
    for key in keys:
        *sections, name = key.path.split(".")
        node = root
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = key
    return root


TREE = tree_of(KEYS)
STREAM = TREE["streams"]["*"]


def read(document: object, findings: Findings) -> Node:
    """Give the full document with converted values; a key that is wrong has its default, and its problem is noted."""
    if not isinstance(document, Mapping):
        found = "nothing" if document is None else quoted(document)
        findings.add("configuration", f"{found} where a map is expected (allowed: {_names(TREE)})")
        document = {}
    given = {name: value for name, value in document.items() if name not in TOLERATED}
    return _section(TREE, given, "", findings)


def known(document: object) -> Any:  # noqa: ANN401 - a document is of any shape
    """Leave out every key that is not in the table: of what a newer version wrote, this is what it means here."""
    return _known(TREE, document)


def _known(below: Node | Key, given: object) -> Any:  # noqa: ANN401 - as above
    if isinstance(below, Key) or not isinstance(given, Mapping):
        return given
    if "*" in below:
        return {name: _known(below["*"], value) for name, value in given.items()}
    return {name: _known(below[name], value) for name, value in given.items() if name in below}


def _section(node: Node, given: object, path: str, findings: Findings) -> Node:
    found = _as_map(given, path, _names(node), findings)
    _unknown(node, found, path, findings)
    return {name: _entry(below, found.get(name, MISSING), _join(path, name), findings) for name, below in node.items()}


def _entry(below: Node | Key, given: object, path: str, findings: Findings) -> Node | Value:
    if isinstance(below, Key):
        return _value(below, given, path, findings)
    if "*" in below:
        return _streams(given, path, findings)
    return _section(below, given, path, findings)


def _value(key: Key, given: object, path: str, findings: Findings) -> Value:
    if given is MISSING:
        return key.default
    try:
        return convert(key, given)
    except Unfit as unfit:
        findings.add(path, str(unfit))
        return key.default


def _streams(given: object, path: str, findings: Findings) -> Node:
    found = _as_map(given, path, "a map of stream names", findings)
    if len(found) > MOST_STREAMS:
        findings.add(path, f"{len(found)} streams (allowed: at most {MOST_STREAMS})")
        found = {}
    streams = {}
    for name, value in (found or {DEFAULT_STREAM: None}).items():
        stream = _section(STREAM, value, _join(path, name), findings)
        if isinstance(name, str) and STREAM_NAME.fullmatch(name):
            streams[name] = stream
        else:
            findings.add(_join(path, name), "is not a name for a stream (allowed: 1 to 64 of A-Z a-z 0-9 _ . : -)")
    return streams


def _as_map(given: object, path: str, allowed: str, findings: Findings) -> Mapping[Any, Any]:
    if given is MISSING or is_null(given):
        return {}
    if isinstance(given, Mapping):
        return given
    findings.add(path, f"{quoted(given)} where a map is expected (allowed: {allowed})")
    return {}


def _unknown(node: Node, given: Mapping[Any, Any], path: str, findings: Findings) -> None:
    unknown = [name for name in given if name not in node]
    for name in unknown[:MOST_UNKNOWN]:
        findings.add(_join(path, name), _advice(node, path, name))
    if len(unknown) > MOST_UNKNOWN:
        findings.add(path or "configuration", f"{len(unknown) - MOST_UNKNOWN} more unknown keys")


def _advice(node: Node, path: str, name: object) -> str:
    if not isinstance(name, str):
        return f"a key that is not text (allowed: {_names(node)})"
    close = nearest(name, node)
    if close:
        return f"unknown key; nearest: {_join(path, close)} (allowed: {_names(node)})"
    ends = {key.path.rpartition(".")[2]: key.path for key in KEYS}
    elsewhere = nearest(name, ends)
    if elsewhere:
        return f"unknown key; nearest: {ends[elsewhere].replace('*', 'NAME')} (allowed: {_names(node)})"
    return f"unknown key (allowed: {_names(node)})"


def _names(node: Node) -> str:
    return listed(tuple(node))


def _join(path: str, name: object) -> str:
    shown = escaped(name) if isinstance(name, str) else quoted(name)
    return f"{path}.{shown}" if path else shown

"""One component's configuration as a nucleus keeps it: defaults, merges, resets, and what each of them touches.

Pure data. A node is a map, or a leaf: everything else, a whole list too. Knows nothing of connections.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.nucleus.errors import invalid_arguments, not_found, service_error
from tests.nucleus.tables import Behaviour

Path = tuple[str, ...]


class TooLong(ValueError):
    """A leaf that this nucleus cannot keep; it fails the whole deployment."""


@dataclass
class Touched:
    """What a change wrote, whether or not it was another value before: leaves. `removed` are the topmost nodes gone."""

    written: list[Path] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)


class Configuration:
    """Starts as the recipe's DefaultConfiguration; None when the recipe has none."""

    def __init__(self, behaviour: Behaviour, defaults: dict[str, Any] | None) -> None:
        self._behaviour = behaviour
        self._defaults: dict[str, Any] = copy.deepcopy(defaults or {})
        self._tree: dict[str, Any] = copy.deepcopy(self._defaults)
        self._times: dict[Path, float] = {}

    @property
    def empty(self) -> bool:
        return not self._tree

    def whole(self) -> dict[str, Any]:
        return copy.deepcopy(self._tree)

    def find(self, path: Path) -> tuple[str, Any]:
        """Return the node at the path and the name it is stored under. Raises ResourceNotFoundError."""
        name, node = "", self._tree
        for key in path:
            stored = self._stored(node, key)
            if stored is None:
                raise not_found()
            name, node = stored, node[stored]
        return name, node

    def merge(self, values: dict[str, Any]) -> Touched:
        """Merge a deployment's values in: a map into a map, anything else replaces what is there."""
        before = dict(leaves(self._tree))
        written = []
        for path, value in leaves(values):
            self._check_leaf(path, value)
            written.append(self._put(path, value, time.time()))
        return self._touched(before, written)

    def reset(self, pointers: list[str]) -> Touched:
        """Bring the nodes at these JSON pointers back to their defaults; what has none is removed. "" is everything."""
        before = dict(leaves(self._tree))
        written: list[Path] = []
        for pointer in pointers:
            written += self._reset_one(tuple(_unescape(part) for part in pointer.split("/")[1:]))
        return self._touched(before, written)

    def update(self, path: Path, value: Any, timestamp: float) -> tuple[Touched, bool]:
        """Merge as UpdateConfiguration does. The second result says whether every leaf was new enough to be written."""
        top_level = set(path[:1]) or (set(value) if isinstance(value, dict) else set())
        if "accessControl" in top_level:
            raise invalid_arguments("accessControl cannot be updated by the component")
        before = dict(leaves(self._tree))
        new = dict(leaves(value)) if isinstance(value, dict) else {(): value}
        fresh = {leaf: at for leaf, at in new.items() if self._times.get((*path, *leaf), 0.0) <= timestamp}
        for leaf in fresh:
            self._refuse_kind_change((*path, *leaf))
        written = [self._put((*path, *leaf), fresh[leaf], timestamp) for leaf in fresh]
        return self._touched(before, written), len(fresh) == len(new)

    def apply(self, pointers: list[str], values: dict[str, Any]) -> Touched:
        """A deployment's whole configurationUpdate: reset, then merge. Raises TooLong."""
        before = dict(leaves(self._tree))
        written = [*self.reset(pointers).written, *self.merge(values).written]
        return self._touched(before, list(dict.fromkeys(written)))

    def copy(self) -> Configuration:
        return copy.deepcopy(self)

    def _stored(self, node: Any, key: str) -> str | None:
        if not isinstance(node, dict):
            return None
        if key in node:
            return key
        if not self._behaviour.keys_fold_case:
            return None
        return next((name for name in node if name.lower() == key.lower()), None)

    def _put(self, path: Path, value: Any, timestamp: float) -> Path:
        node, stored_path = self._tree, []
        for key in path[:-1]:
            stored = self._stored(node, key) or key
            if not isinstance(node.get(stored), dict):
                node[stored] = {}
            node = node[stored]
            stored_path.append(stored)
        last = self._stored(node, path[-1]) or path[-1]
        node[last] = copy.deepcopy(value)
        written = (*stored_path, last)
        self._times[written] = timestamp
        return written

    def _refuse_kind_change(self, path: Path) -> None:
        node: Any = self._tree
        for key in path[:-1]:
            stored = self._stored(node, key)
            if stored is None:
                return
            node = node[stored]
            if not isinstance(node, dict):
                raise service_error("Failed to update: a map cannot replace a value.")

    def _reset_one(self, path: Path) -> list[Path]:
        if path in {(), ("",)}:
            self._tree = copy.deepcopy(self._defaults)
            return [leaf for leaf, _ in leaves(self._tree)]
        node: Any = self._tree
        default: Any = self._defaults
        for key in path[:-1]:
            stored = self._stored(node, key)
            node = {} if stored is None else node[stored]
            default = default.get(key) if isinstance(default, dict) else None
        stored = self._stored(node, path[-1])
        if stored is not None:
            del node[stored]
        if not isinstance(default, dict) or path[-1] not in default:
            return []
        value = {path[-1]: default[path[-1]]}
        return [self._put((*path[:-1], *leaf), it, time.time()) for leaf, it in leaves(value)]

    def _check_leaf(self, path: Path, value: Any) -> None:
        size = len(json.dumps(value, separators=(",", ":")))
        if self._behaviour.max_leaf is not None and size > self._behaviour.max_leaf:
            raise TooLong(f"{'/'.join(path)}: {size} bytes as JSON, at most {self._behaviour.max_leaf} can be kept")

    def _touched(self, before: dict[Path, Any], written: list[Path]) -> Touched:
        after = dict(leaves(self._tree))
        changed = [path for path in after if path not in before or not _same(before[path], after[path])]
        gone = [self._topmost_gone(path) for path in before if path not in after]
        return Touched(written, changed, list(dict.fromkeys(gone)))

    def _topmost_gone(self, path: Path) -> Path:
        node: Any = self._tree
        for depth, key in enumerate(path, start=1):
            if not isinstance(node, dict) or key not in node:
                return path[:depth]
            node = node[key]
        return path  # a map is there now


def leaves(tree: dict[str, Any], at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf of the tree with its path, in order. An empty map has none."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*at, key))
        else:
            yield (*at, key), value


def subobjects(value: Any) -> int:
    """Count as lite does: 2 for each key of a map, 1 for each item of a list, and so on below."""
    if isinstance(value, dict):
        return sum(2 + subobjects(below) for below in value.values())
    return sum(1 + subobjects(item) for item in value) if isinstance(value, list) else 0


def as_yaml_strings(value: Any) -> Any:
    """Every scalar as the string that it was in the recipe's text, as a YAML reader without types gives it."""
    if isinstance(value, dict):
        return {key: as_yaml_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_yaml_strings(item) for item in value]
    return value if isinstance(value, str) else json.dumps(value)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # 1, 1.0 and true are not the same


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")

"""The configuration document: read from a file, and changed by what stands on the command line.

Owns everything between a file's bytes and a map of keys. It must not know what a key means.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from weir.core.errors import ConfigurationRefused, Problem
from weir.core.quoting import escaped, quoted
from weir.core.values import is_null

Document = dict[str, Any]

MOST_BYTES = 2**20
LONGEST_LINE = 200  # characters of a path or of a parser's complaint
ASSIGNMENT = "path.to.key=value"
ALLOWED = "a YAML or JSON file of at most 1 MiB"


def read(path: str) -> Document:
    """Give the document that a file holds, or the default configuration of the recipe that it is."""
    text = _decoded(path, _content(path))
    document = _parsed(path, text)
    if document is None:
        return {}
    if not isinstance(document, dict):
        _refuse(path, f"holds {quoted(document)} where a map is expected")
    return _configuration_of(path, document)


def assign(document: Document, names: Sequence[str], value: object, *, origin: str) -> Document:
    """Give a copy of the document with one key set; `origin` is named where there is no such place."""
    changed = copy.deepcopy(document)
    node = changed
    for name in names[:-1]:
        if is_null(node.get(name)):
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            message = f"{escaped(name)} holds {quoted(node)}, and not a map (allowed: {ASSIGNMENT})"
            raise ConfigurationRefused([Problem(origin, message)])
    node[names[-1]] = value
    return changed


def assign_all(document: Document, assignments: Iterable[str]) -> Document:
    """Give the document with every `path.to.key=value` applied.

    A path is cut at its dots, so a stream with a dot in its name cannot be reached this way. The value is text, which
    the settings convert; only a JSON string loses its quotes.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            message = f"{quoted(assignment)} does not set a key (allowed: {ASSIGNMENT})"
            raise ConfigurationRefused([Problem("--set", message)])
        document = assign(document, names, _unquoted(text), origin=f"--set {escaped(path)}")
    return document


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def _refuse(path: str, what: str) -> NoReturn:
    raise ConfigurationRefused(
        [Problem("--config", f"{escaped(path, LONGEST_LINE)} {what} (allowed: {ALLOWED})")]
    ) from None


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        _refuse(path, "does not exist")
    except IsADirectoryError:
        _refuse(path, "is a directory")
    except PermissionError:
        _refuse(path, "may not be read by this user")
    except (OSError, ValueError) as error:
        _refuse(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(content) > MOST_BYTES:
        _refuse(path, "is too large")
    return content


def _decoded(path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(path, f"is not UTF-8 at byte {error.start}")


def _parsed(path: str, text: str) -> object:
    if path.lower().endswith(".json"):
        return _parsed_json(path, text)
    if text.lstrip().startswith("{"):  # most YAML parsers trip over JSON that is indented with tabs
        try:
            return json.loads(text, object_pairs_hook=_without_twins)
        except (ValueError, RecursionError, _Twin):
            pass  # the YAML parser says better what is wrong with it, and where
    from weir.wiring import yamltext  # noqa: PLC0415 - most devices never read YAML

    try:
        return yamltext.parse(text)
    except yamltext.NotYaml as error:
        _refuse(path, f"is not usable YAML: {escaped(str(error), LONGEST_LINE)}")


def _parsed_json(path: str, text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        _refuse(path, f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}")
    except _Twin as twin:
        _refuse(path, f"has the key {quoted(twin.key)} twice in one map")
    except RecursionError:
        _refuse(path, "is nested too deeply")
    except ValueError:  # Python turns no more than some thousand digits into a number
        _refuse(path, "holds a number of too many digits")


class _Twin(Exception):
    """A map has the same key twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _without_twins(pairs: list[tuple[str, Any]]) -> Document:
    found: Document = {}
    for key, value in pairs:
        if key in found:
            raise _Twin(key)
        found[key] = value
    return found


def _configuration_of(path: str, document: Document) -> Document:
    """Give the default configuration of a recipe, or the document itself when it is none."""
    component = _any_case(document, "ComponentConfiguration")
    default = _any_case(component, "DefaultConfiguration") if isinstance(component, dict) else None
    if isinstance(default, dict):
        return default
    if component is not None or _any_case(document, "RecipeFormatVersion") is not None:
        _refuse(path, "is a recipe without a map at ComponentConfiguration.DefaultConfiguration")
    return document


def _any_case(document: Document, name: str) -> object:
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)

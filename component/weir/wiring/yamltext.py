"""YAML, as far as a configuration needs it. The one module that imports yaml, itself imported only when YAML is met.

Owns the way from YAML to maps, lists and text and back. A plain scalar stays the text that somebody wrote: the settings
convert text anyway, since a nucleus hands over text, and so `on`, `010` and `1:30` are no truth, octal or minutes.
"""

from __future__ import annotations

from typing import Any

import yaml  # noqa: TID253 - whoever imports this module wants YAML

PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq")
)
NULL_TAG = "tag:yaml.org,2002:null"


class NotYaml(Exception):
    """This is not YAML, or more of YAML than a configuration needs; the text says where and why."""


def parse(text: str) -> Any:  # noqa: ANN401 - any document at all
    """Give the document of a YAML text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _value(node, set())
    except yaml.MarkedYAMLError as error:
        raise NotYaml(_located(error.problem_mark, str(error.problem or error.context))) from None
    except yaml.YAMLError as error:
        raise NotYaml(str(error).splitlines()[0]) from None
    except RecursionError:
        raise NotYaml("it is nested too deeply") from None
    except (ValueError, OverflowError):  # an escape that names no character
        raise NotYaml("it holds an escape that names no character") from None


def dump(document: dict[str, Any]) -> str:
    """Give a document as YAML, in the order it has."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def _value(node: yaml.Node, seen: set[int]) -> Any:  # noqa: ANN401 - as parse
    # An alias leads to the very node it names. Without them a short text cannot become an endless document.
    if id(node) in seen:
        raise NotYaml(_located(node.start_mark, "an alias (write it out)"))
    seen.add(id(node))
    if node.tag not in PLAIN_TAGS:
        raise NotYaml(_located(node.start_mark, "a tag (leave it out)"))
    if isinstance(node, yaml.MappingNode):
        return _map(node, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, seen) for item in node.value]
    return None if node.tag == NULL_TAG else str(node.value)


def _map(node: yaml.MappingNode, seen: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise NotYaml(_located(key.start_mark, "a key that is not text"))
        if key.value in found:
            raise NotYaml(_located(key.start_mark, f"the key {key.value!r} is there twice"))
        found[key.value] = _value(value, seen)
    return found


def _located(mark: yaml.Mark | None, what: str) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else what

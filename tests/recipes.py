"""A strict reader of recipes: what both nuclei take, in the exact case of keys that nucleus lite insists on.

Owns the shape and the sizes that a recipe may have. It must not know Weir: any component's recipe can be judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.nucleus.configuration import subobjects

MOST_BYTES = 8000  # lite reads 8,195 at most
MOST_SUBOBJECTS = 255
MOST_DEPTH = 15
MOST_LEAF_BYTES = 1022  # of one value of the configuration as JSON; a list is one value
MOST_SCRIPT_BYTES = 10_000
# What a message to lite's configuration service holds: 200 values of 11 bytes, a key of a map takes 21. The rest of
# that message (where to write, and when) is counted too.
MOST_CONFIGURATION_BYTES = 200 * 11
MESSAGE_BYTES = 4 * 21 + 3 * 11
MOST_MEMORY_BYTES = 16 * 1024  # what lite reads a recipe into: keys and values, and their texts

VARIABLES = {"artifacts:path", "artifacts:decompressedPath", "work:path", "kernel:rootPath", "iot:thingName"}
SEMANTIC = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?"

TEXT = r"(?s).+"
STEP = {"Script": TEXT, "Timeout?": int, "RequiresPrivilege?": bool, "Setenv?": {"*": TEXT}}
# A key with a question mark may be missing; `*` stands for any key; a text is a regular expression; a list of one
# holds any number of it, at least one.
SHAPE: dict[str, Any] = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": r"[a-zA-Z0-9_.-]{1,128}",
    "ComponentVersion": SEMANTIC,
    "ComponentType": r"aws\.greengrass\.generic",
    "ComponentDescription": r"[^\n\r\\]{1,256}",
    "ComponentPublisher": TEXT,
    "ComponentDependencies?": {"*": {"VersionRequirement": TEXT, "DependencyType": "HARD|SOFT"}},
    "ComponentConfiguration": {"DefaultConfiguration": {"*": object}},
    "Manifests": [
        {
            "Platform": {"os": "linux", "architecture": "amd64|aarch64|arm", "runtime": r"\*|aws_nucleus_lite"},
            "Lifecycle": {"install?": STEP, "run": STEP},
            "Artifacts": [{"Uri": r"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/[^/]+"}],
        }
    ],
}
ACCESS_CONTROL = {"*": {"*": {"policyDescription": TEXT, "operations": [TEXT], "resources": [TEXT]}}}


def faults(recipe: Mapping[str, Any]) -> list[str]:
    """Say everything that one of the two nuclei would stumble over."""
    found = list(_misshapen(SHAPE, recipe, "recipe"))
    if found:
        return found
    configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    found += _misshapen(ACCESS_CONTROL, configuration.get("accessControl", {"-": {}}), "accessControl")
    found += [f"{path}: {len(text)} bytes" for path, text in _leaves(configuration) if len(text) > MOST_LEAF_BYTES]
    for manifest in recipe["Manifests"]:
        for name, step in manifest["Lifecycle"].items():
            found += [f"{name}: {fault}" for fault in script_faults(step["Script"])]
    if subobjects(recipe) > MOST_SUBOBJECTS:
        found.append(f"recipe: {subobjects(recipe)} subobjects")
    if depth(recipe) > MOST_DEPTH:
        found.append(f"recipe: {depth(recipe)} levels")
    if configuration_bytes(recipe) + _text_bytes(recipe) > MOST_MEMORY_BYTES:
        found.append(f"recipe: {configuration_bytes(recipe) + _text_bytes(recipe)} bytes of memory")
    if MESSAGE_BYTES + configuration_bytes(configuration) > MOST_CONFIGURATION_BYTES:
        found.append(f"configuration: {configuration_bytes(configuration)} bytes of a message")
    return found


def script_faults(script: str) -> Iterator[str]:
    """Say what is wrong with a script: lite cuts it at any brace that is not of a variable it knows."""
    rest = script
    for variable in re.findall(r"\{([^{}]*)\}", script):
        if variable not in VARIABLES:
            yield f"unknown variable {variable}"
        # The paths of lite end in a slash, those of classic do not.
        if variable.endswith(("path", "Path")) and f"{{{variable}}}/" not in script:
            yield f"no slash behind {variable}"
        rest = rest.replace(f"{{{variable}}}", "")
    if "{" in rest or "}" in rest:
        yield "a brace that belongs to no variable"
    if len(script.encode()) > MOST_SCRIPT_BYTES:
        yield f"{len(script.encode())} bytes"


def depth(value: object) -> int:
    """Count the levels: 1 for a value that is neither map nor list."""
    below = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(depth, below), default=0)


def configuration_bytes(value: object) -> int:
    """Count what maps and lists take in lite's memory, their texts left out."""
    if isinstance(value, dict):
        return sum(21 + configuration_bytes(below) for below in value.values())
    return sum(11 + configuration_bytes(item) for item in value) if isinstance(value, list) else 0


def _text_bytes(value: object) -> int:
    if isinstance(value, dict):
        return sum(len(name.encode()) + _text_bytes(below) for name, below in value.items())
    if isinstance(value, list):
        return sum(map(_text_bytes, value))
    return len(value.encode()) if isinstance(value, str) else 0


def _leaves(value: object, path: str = "configuration") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(below, f"{path}.{name}")
    else:
        yield path, json.dumps(value)


def _misshapen(shape: Any, found: object, path: str) -> Iterator[str]:
    if isinstance(shape, dict):
        yield from _misshapen_map(shape, found, path)
    elif isinstance(shape, list):
        if not isinstance(found, list) or not found:
            yield f"{path}: not a list with something in it"
            return
        for index, item in enumerate(found):
            yield from _misshapen(shape[0], item, f"{path}[{index}]")
    elif isinstance(shape, str):
        if not isinstance(found, str) or not re.fullmatch(shape, found):
            yield f"{path}: {found!r}"
    elif not isinstance(found, shape) or (shape is int and isinstance(found, bool)):
        yield f"{path}: {found!r} is no {shape.__name__}"


def _misshapen_map(shape: Mapping[str, Any], found: object, path: str) -> Iterator[str]:
    if not isinstance(found, dict) or not found:
        yield f"{path}: not a map with something in it"
        return
    known = {name.removesuffix("?"): below for name, below in shape.items()}
    for name in shape:
        if not name.endswith("?") and name != "*" and name not in found:
            yield f"{path}: no {name}"
    for name, value in found.items():
        below = known.get(name, known.get("*"))
        if below is None:
            yield f"{path}: unknown key {name}"
        else:
            yield from _misshapen(below, value, f"{path}.{name}")

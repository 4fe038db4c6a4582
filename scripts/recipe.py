"""Writes recipes/io.weir.Forwarder-<version>.json, and the same once more as recipe.json beside gdk-config.json.

    .venv/bin/python -m scripts.recipe                       writes both
    .venv/bin/python -m scripts.recipe --check               exits 1 if they are not what would be written
    .venv/bin/python -m scripts.recipe --token-exchange      the variant that asks for the token exchange service
    .venv/bin/python -m scripts.recipe --producer COMMAND    the variant that reads what COMMAND prints

Owns what a deployment starts from: the defaults come from the key table; name, version and author from
gdk-config.json. It must not know how artifacts are made.

The strictest reader is nucleus lite: keys are case-sensitive, a file has at most 8,195 bytes, and counting 2 for each
key of a map and 1 for each item of a list the whole recipe has at most 255. That is why the wheels of an architecture
are one file: each of them as an artifact of its own would not fit beside the configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from weir.core.key import Key, Value
from weir.core.keys import DEFAULT_STREAM
from weir.core.reading import TREE, Node

ROOT = Path(__file__).resolve().parent.parent
LINE = 110  # what fits in so many characters stands on one line

# What a nucleus calls the architectures that the MQTT client has wheels for.
ARCHITECTURES = ("amd64", "aarch64")

# Offline and idempotent. A version has a virtual environment of its own, since nucleus lite installs a new version
# while the old one still runs. No brace may stand here but those of recipe variables: lite would cut the script there.
INSTALL = """\
set -e
wheels="{artifacts:path}/wheels-ARCHITECTURE.zip"
sum=$(sha256sum <"$wheels")
if [ "$(cat VENV/wheels.sum 2>/dev/null)" = "$sum" ] && VENV/bin/python3 -m weir.cli --version; then exit 0; fi
rm -rf VENV wheels
python3 -m zipfile -e "$wheels" wheels
python3 -m venv VENV
VENV/bin/python3 -m pip --isolated install --no-index --no-cache-dir --find-links wheels weir==VERSION
rm -rf wheels
echo "$sum" >VENV/wheels.sum"""

# By now the old version has ended. The link is for people: venv/bin/weir is always the version that runs.
RUN = """\
ln -sfn VENV venv
for old in venv-*; do [ "$old" = VENV ] || rm -rf "$old"; done
PRODUCERexec venv/bin/python3 -u -m weir.cli run"""
# The shell that waits for a pipeline would end at the signal, before Weir has committed; a trap that does nothing lets
# it wait on, and the nucleus sees how Weir ended. Neither side of the pipe inherits it.
PIPELINE = "trap : TERM\nCOMMAND | "
INSTALL_SECONDS = 600  # a venv and its packages on a slow SD card; the default is 120


class Component(NamedTuple):
    """What gdk-config.json says of the component."""

    name: str
    version: str
    author: str


class BadProducer(Exception):
    """A command that no script of a recipe can hold."""

    def __str__(self) -> str:
        return "--producer: has a brace or a line end (allowed: neither; put such a command into a file)"


def component(root: Path) -> Component:
    """Give what gdk-config.json says."""
    config = json.loads((root / "gdk-config.json").read_text(encoding="utf-8"))
    ((name, about),) = config["component"].items()
    return Component(name, about["version"], about["author"])


def defaults() -> dict[str, Any]:
    """Give the default configuration as nested maps; null is what depends on the device."""
    return _defaults(TREE)


def _defaults(node: Node) -> dict[str, Any]:
    return {
        DEFAULT_STREAM if name == "*" else name: _word(below) if isinstance(below, Key) else _defaults(below)
        for name, below in node.items()
    }


def _word(key: Key) -> Value:
    return "none" if key.default is None and key.or_none else key.default


def recipe(of: Component, *, token_exchange: bool = False, producer: str | None = None) -> dict[str, Any]:
    """Give the recipe."""
    configuration = defaults()
    if producer is not None:
        if set(producer) & set("{}\r\n"):
            raise BadProducer
        configuration["streams"][DEFAULT_STREAM]["source"]["type"] = "stdin"
    dependencies = {
        "aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.3 <3.0.0", "DependencyType": "HARD"}
    }
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": of.name,
        "ComponentVersion": of.version,
        "ComponentType": "aws.greengrass.generic",
        "ComponentDescription": "Forwards telemetry to AWS IoT Core and accounts for every record.",
        "ComponentPublisher": of.author,
        **({"ComponentDependencies": dependencies} if token_exchange else {}),
        "ComponentConfiguration": {"DefaultConfiguration": configuration | {"accessControl": access_control(of)}},
        "Manifests": [_manifest(of, architecture, producer) for architecture in ARCHITECTURES],
    }


def access_control(of: Component) -> dict[str, Any]:
    """Give what the nucleus shall let the component do: publish where the default topics lie."""
    policy = {
        "policyDescription": "Publish telemetry.",
        "operations": ["aws.greengrass#PublishToIoTCore"],
        "resources": ["telemetry/*"],
    }
    return {"aws.greengrass.ipc.mqttproxy": {f"{of.name}:mqttproxy:1": policy}}


def _manifest(of: Component, architecture: str, producer: str | None) -> dict[str, Any]:
    words = {
        "ARCHITECTURE": architecture,
        "VENV": f"venv-{of.version}",
        "VERSION": of.version,
        "PRODUCER": PIPELINE.replace("COMMAND", producer) if producer else "",
    }
    install, run = INSTALL, RUN
    for word, value in words.items():
        install, run = install.replace(word, value), run.replace(word, value)
    file = f"wheels-{architecture}.zip"
    return {
        "Platform": {"os": "linux", "architecture": architecture, "runtime": "*"},
        "Lifecycle": {"install": {"Script": install, "Timeout": INSTALL_SECONDS}, "run": {"Script": run}},
        "Artifacts": [{"Uri": f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{file}"}],
    }


def text(document: dict[str, Any]) -> str:
    """Give a document as JSON, with short maps and lists on one line."""
    return _text(document, "") + "\n"


def _text(value: object, indentation: str, used: int = 0) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or len(indentation) + used + len(line) <= LINE:
        return line
    deeper = indentation + "  "
    if isinstance(value, dict):
        keys = {name: json.dumps(name) + ": " for name in value}
        rows = [keys[name] + _text(below, deeper, len(keys[name])) for name, below in value.items()]
    else:
        rows = [_text(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(rows) + f"\n{indentation}{closing}"


def recipe_path(root: Path) -> Path:
    """Give the place of the recipe: the name is the one that both local command lines look for."""
    of = component(root)
    return root / "recipes" / f"{of.name}-{of.version}.json"


def gdk_path(root: Path) -> Path:
    """Give the place where GDK looks. A link would not do: GDK follows it, and expects its build under that name."""
    return root / "recipe.json"


def _write(root: Path, content: str) -> None:
    path = recipe_path(root)
    for other in path.parent.glob(f"{component(root).name}-*.json"):
        other.unlink()
    for one in (path, gdk_path(root)):
        one.write_text(content, encoding="utf-8")


def _current(root: Path, content: str) -> bool:
    both = (recipe_path(root), gdk_path(root))
    return all(one.is_file() and one.read_text(encoding="utf-8") == content for one in both)


def main() -> int:
    """Write the recipe, or check it."""
    parser = argparse.ArgumentParser(prog="python -m scripts.recipe", description="Writes the recipe.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the files are not what would be written")
    parser.add_argument("--token-exchange", action="store_true", help="depend on aws.greengrass.TokenExchangeService")
    parser.add_argument("--producer", metavar="COMMAND", help="read the output of this shell command")
    arguments = parser.parse_args()
    try:
        made = recipe(component(ROOT), token_exchange=arguments.token_exchange, producer=arguments.producer)
    except BadProducer as error:
        parser.error(str(error))
    if arguments.check:
        return int(not _current(ROOT, text(made)))
    _write(ROOT, text(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The recipe against what both nuclei take, the key table, and everything else that names its version."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

import weir
from scripts import recipe as script
from tests.nucleus.configuration import as_yaml_strings, subobjects
from tests.recipes import MOST_BYTES, MOST_SUBOBJECTS, faults, script_faults
from weir.core.configuration import Surroundings, parse
from weir.core.key import Value
from weir.core.keys import DEFAULT_STREAM, KEYS

ROOT = Path(__file__).resolve().parents[2]
OF = script.component(ROOT)
TEXT = (ROOT / "recipe.json").read_text(encoding="utf-8")
RECIPE: dict[str, Any] = json.loads(TEXT)
CONFIGURATION: dict[str, Any] = RECIPE["ComponentConfiguration"]["DefaultConfiguration"]
VARIANTS = {
    "default": RECIPE,
    "token exchange": script.recipe(OF, token_exchange=True),
    "producer": script.recipe(OF, producer="while :; do /usr/bin/mosquitto_sub -t '#' -F %j; sleep 1; done"),
}
PLACES = [
    Surroundings(thing_name="gw-17", host_name="h", work_path="/w", under_nucleus=True, root_ca_path="/ca.pem"),
    Surroundings(thing_name=None, host_name="bench", work_path="/here", under_nucleus=False, root_ca_path=None),
]


def default_of(path: str) -> Value:
    node: Any = CONFIGURATION
    for name in path.replace("*", DEFAULT_STREAM).split("."):
        node = node[name]
    value: Value = node
    return value


@pytest.mark.parametrize("name", VARIANTS)
def test_both_nuclei_can_read_it(name: str) -> None:
    assert faults(VARIANTS[name]) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_small_enough_also_as_gdk_writes_it_for_a_long_bucket(name: str) -> None:
    published = copy.deepcopy(VARIANTS[name])
    for manifest in published["Manifests"]:
        for artifact in manifest["Artifacts"]:
            file = artifact["Uri"].rpartition("/")[2]
            artifact["Uri"] = f"s3://{'b' * 63}/{OF.name}/{OF.version}/{file}"

    assert len(script.text(published).encode()) < MOST_BYTES
    assert len(json.dumps(published, indent=4).encode()) < MOST_BYTES


def test_there_is_room_for_what_the_recipe_still_has_to_learn() -> None:
    assert subobjects(VARIANTS["token exchange"]) <= MOST_SUBOBJECTS - 20


@pytest.mark.parametrize("place", PLACES)
def test_the_default_configuration_gives_the_settings_of_an_empty_one(place: Surroundings) -> None:
    assert parse(CONFIGURATION, place) == parse({}, place)


@pytest.mark.parametrize("place", PLACES)
def test_as_a_recipe_in_yaml_it_gives_the_same_settings_though_lite_then_makes_strings_of_everything(
    place: Surroundings,
) -> None:
    assert parse(as_yaml_strings(CONFIGURATION), place) == parse({}, place)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_has_its_default_with_the_type_of_json(key: Any) -> None:
    expected = "none" if key.default is None and key.or_none else key.default

    assert default_of(key.path) == expected
    assert type(default_of(key.path)) is type(expected)


def test_what_depends_on_the_device_is_null() -> None:
    nulls = {key.path for key in KEYS if default_of(key.path) is None}

    assert nulls >= {"thingName", "streams.*.source.path", "state.path", "connection.ca", "connection.endpoint"}


def test_there_is_a_manifest_for_each_architecture_that_has_wheels() -> None:
    platforms = [manifest["Platform"] for manifest in RECIPE["Manifests"]]

    assert [platform["architecture"] for platform in platforms] == ["amd64", "aarch64"]
    assert all(platform["runtime"] == "*" for platform in platforms)


def test_it_runs_as_an_unprivileged_user_and_takes_the_place_of_its_shell() -> None:
    for manifest in RECIPE["Manifests"]:
        install, run = manifest["Lifecycle"]["install"], manifest["Lifecycle"]["run"]
        assert "RequiresPrivilege" not in {**install, **run}
        assert run["Script"].splitlines()[-1] == "exec venv/bin/python3 -u -m weir.cli run"
        assert "--no-index" in install["Script"]


def test_no_configuration_reaches_a_shell() -> None:
    for recipe in VARIANTS.values():
        assert "configuration:/" not in json.dumps(recipe["Manifests"])


def test_it_depends_on_nothing_unless_asked_to() -> None:
    assert "ComponentDependencies" not in RECIPE
    assert list(VARIANTS["token exchange"]["ComponentDependencies"]) == ["aws.greengrass.TokenExchangeService"]


def test_what_a_producer_prints_is_read_from_standard_input() -> None:
    document = VARIANTS["producer"]["ComponentConfiguration"]["DefaultConfiguration"]
    run = VARIANTS["producer"]["Manifests"][0]["Lifecycle"]["run"]["Script"].splitlines()[-1]

    assert parse(document, PLACES[0]).streams[DEFAULT_STREAM].source.type == "stdin"
    assert run.endswith("; done | exec venv/bin/python3 -u -m weir.cli run")


def test_a_producer_that_lite_would_cut_is_refused() -> None:
    with pytest.raises(script.BadProducer, match="brace"):
        script.recipe(OF, producer="echo ${HOME}")


def test_it_asks_to_publish_below_telemetry_and_for_nothing_else() -> None:
    (service,) = CONFIGURATION["accessControl"].items()
    (policy,) = service[1].values()

    assert service[0] == "aws.greengrass.ipc.mqttproxy"
    assert (policy["operations"], policy["resources"]) == (["aws.greengrass#PublishToIoTCore"], ["telemetry/*"])


def test_it_is_what_the_script_writes_under_both_names() -> None:
    assert subprocess.run([sys.executable, "-m", "scripts.recipe", "--check"], cwd=ROOT, check=False).returncode == 0
    assert script.recipe_path(ROOT).read_text(encoding="utf-8") == TEXT
    assert not script.gdk_path(ROOT).is_symlink()  # GDK would look for a build under the name that it leads to
    assert [path.name for path in (ROOT / "recipes").glob("*.json")] == [f"{OF.name}-{OF.version}.json"]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install = RECIPE["Manifests"][0]["Lifecycle"]["install"]["Script"]

    assert {OF.version, RECIPE["ComponentVersion"], project["version"]} == {weir.__version__}
    assert f"weir=={OF.version}\n" in install
    assert OF.name == RECIPE["ComponentName"]


# ---- the reader of recipes: it must find what is wrong


def in_manifest(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda recipe: recipe["Manifests"][0].update(changes)


def in_configuration(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda recipe: recipe["ComponentConfiguration"]["DefaultConfiguration"].update(changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda recipe: recipe.update(manifests=recipe.pop("Manifests")), "recipe: no Manifests"),
        (lambda recipe: recipe.update(Lifecyle={}), "recipe: unknown key Lifecyle"),
        (lambda recipe: recipe.update(ComponentVersion=1), "recipe.ComponentVersion: 1"),
        (in_manifest(Platform={"os": "linux", "architecture": "amd64"}), "recipe.Manifests[0].Platform: no runtime"),
        (in_manifest(Artifacts=[{"URI": "s3://b"}]), "recipe.Manifests[0].Artifacts[0]: no Uri"),
        (in_manifest(Lifecycle={"Run": {"Script": "a"}}), "recipe.Manifests[0].Lifecycle: no run"),
        (in_manifest(Lifecycle={"run": {"script": "a"}}), "recipe.Manifests[0].Lifecycle.run: no Script"),
        (in_manifest(Lifecycle={"run": {"Script": "a", "Timeout": "9"}}), "'9' is no int"),
        (in_manifest(Lifecycle={"run": {"Script": "echo ${HOME}"}}), "run: unknown variable HOME"),
        (in_configuration(a=[1] * 400), "1200 bytes"),
        (in_configuration(**dict.fromkeys("abcdefghijklmnopq", 1)), "subobjects"),
    ],
)
def test_what_a_nucleus_would_stumble_over_is_found(spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    spoiled = copy.deepcopy(RECIPE)
    spoil(spoiled)

    assert said in "\n".join(faults(spoiled))


@pytest.mark.parametrize("script_text", ["a {work:path}x", "a } b", "{b", "{artifacts:Path}/x"])
def test_a_script_that_lite_would_cut_is_found(script_text: str) -> None:
    assert list(script_faults(script_text))

"""Configuration files as people and programs write them, and what the command line puts on top."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.core.configuration import Surroundings, parse
from weir.core.errors import ConfigurationRefused
from weir.wiring import configfile, yamltext
from weir.wiring.configuration import document_of

RECIPE: dict[str, Any] = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": "io.weir.Forwarder",
    "ComponentConfiguration": {"DefaultConfiguration": {"gate": {"maxInFlight": 7}, "accessControl": {}}},
}
SURROUNDINGS = Surroundings(
    thing_name="gw-17", host_name="host", work_path="/work/path", under_nucleus=False, root_ca_path=None
)


def written(directory: Path, content: str | bytes, name: str = "weir.yaml") -> str:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def complaint(path: str) -> str:
    with pytest.raises(ConfigurationRefused) as refused:
        configfile.read(path)
    (problem,) = refused.value.problems
    line = str(problem)
    assert line.startswith("--config: ")
    assert line.isprintable()
    return line


def document_from(**given_: object) -> dict[str, Any]:
    return document_of(argparse.Namespace(**given_))


@pytest.fixture(autouse=True)
def _no_state_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEIR_STATE", raising=False)


def test_yaml_and_json_give_the_same_settings(tmp_path: Path) -> None:
    document = {"gate": {"maxInFlight": 5, "maxIncomplete": None}, "streams": {"a": {"enabled": False, "qos": 1}}}
    as_json = written(tmp_path, json.dumps(document), "weir.json")
    as_yaml = written(tmp_path, yamltext.dump(document))

    settings = parse(document, SURROUNDINGS)

    assert parse(configfile.read(as_json), SURROUNDINGS) == settings
    assert parse(configfile.read(as_yaml), SURROUNDINGS) == settings


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_known_by_what_it_holds_whatever_its_name(tmp_path: Path, indent: int | str | None) -> None:
    path = written(tmp_path, json.dumps({"gate": {"maxInFlight": 5}}, indent=indent), "weir.conf")

    assert configfile.read(path) == {"gate": {"maxInFlight": 5}}


def test_yaml_does_not_turn_words_into_something_else(tmp_path: Path) -> None:
    text = "on: yes\nnumber: 010\ntime: 12:30:45\nday: 2026-11-24\nquoted: 'null'\nnothing:\ntilde: ~\n"

    assert configfile.read(written(tmp_path, text)) == {
        "on": "yes",
        "number": "010",
        "time": "12:30:45",
        "day": "2026-11-24",
        "quoted": "null",
        "nothing": None,
        "tilde": None,
    }


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "---\n", "\ufeff"])
def test_an_empty_file_leaves_every_default(tmp_path: Path, content: str) -> None:
    assert configfile.read(written(tmp_path, content)) == {}


@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml"])
@pytest.mark.parametrize("rename", [str, str.lower, str.upper])
def test_a_recipe_stands_for_its_default_configuration(tmp_path: Path, name: str, rename: type[str]) -> None:
    default = RECIPE["ComponentConfiguration"]["DefaultConfiguration"]
    recipe = RECIPE | {rename("ComponentConfiguration"): {rename("DefaultConfiguration"): default}}
    if rename is not str:
        del recipe["ComponentConfiguration"]
    text = json.dumps(recipe) if name.endswith("json") else yamltext.dump(recipe)

    assert parse(configfile.read(written(tmp_path, text, name)), SURROUNDINGS).gate.max_in_flight == 7


def test_a_recipe_without_a_default_configuration_is_refused(tmp_path: Path) -> None:
    recipe = {name: value for name, value in RECIPE.items() if name != "ComponentConfiguration"}

    assert "recipe without a map at" in complaint(written(tmp_path, json.dumps(recipe)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "gate: {maxInFlight: 1\n", "not usable YAML: line 2, column 1"),
        ("a.yaml", "gate:\n\t- a\n", "not usable YAML: line 2, column 1"),
        ("a.yaml", "gate: 1\ngate: 2\n", "line 2, column 1: the key 'gate' is there twice"),
        ("a.yaml", "a: &x [1]\nb: *x\n", "an alias"),
        ("a.yaml", "a: &x [*x]\n", "an alias"),
        ("a.yaml", "a: !!python/object/apply:os.system [ls]\n", "a tag"),
        ("a.yaml", "? [a, b]\n: 1\n", "a key that is not text"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "another document"),
        ("a.yaml", 'a: "\\UFFFFFFFF"\n', "an escape that names no character"),
        ("a.yaml", "a: \x1b[31m\n", "not usable YAML"),
        ("a.yaml", "[" * 5000, "nested too deeply"),
        ("a.yaml", "- a\n- b\n", "holds a list where a map is expected"),
        ("a.yaml", "hello\n", "holds `hello` where a map is expected"),
        ("a.json", '{"gate": {"maxInFlight": 1}', "not JSON: line 1, column 28"),
        ("a.json", '{"gate": {"a": 1, "a": 2}}', "has the key `a` twice"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"a": ' + "9" * 5000 + "}", "too many digits"),
        ("a.json", "", "not JSON: line 1, column 1"),
        ("a.yaml", b"a: \xff\n", "not UTF-8 at byte 3"),
        ("a.yaml", "#" * (2**20 + 1), "is too large"),
    ],
)
def test_a_file_that_holds_no_configuration_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    assert said in complaint(written(tmp_path, content, name))


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "does not exist" in complaint(str(tmp_path / "absent.yaml"))
    assert "is a directory" in complaint(str(tmp_path))
    assert "cannot be read" in complaint(str(tmp_path / "a\0b"))
    assert "cannot be read" in complaint(str(tmp_path / ("a" * 300)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = Path(written(tmp_path, "{}"))
    path.chmod(0)

    assert "may not be read" in complaint(str(path))


def test_set_goes_on_top_of_the_file_and_makes_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "gate:\n  maxInFlight: 5\nstate:\n")
    assignments = ["gate.maxInFlight=6", "streams.a.topic=a=b", 'thingName="x y"', "state.path=", "log.level= INFO"]

    assert document_from(config=path, set=assignments) == {
        "gate": {"maxInFlight": "6"},
        "streams": {"a": {"topic": "a=b"}},
        "thingName": "x y",
        "state": {"path": ""},
        "log": {"level": " INFO"},
    }


@pytest.mark.parametrize(
    ("assignment", "path"),
    [
        ("gate", "--set"),
        ("=5", "--set"),
        ("gate..maxInFlight=5", "--set"),
        ("a.b.c=5", "--set a.b.c"),
        ("list.0=5", "--set list.0"),
    ],
)
def test_a_set_that_leads_nowhere_is_refused(tmp_path: Path, assignment: str, path: str) -> None:
    config = written(tmp_path, "a:\n  b: 1\nlist: [1]\n")

    with pytest.raises(ConfigurationRefused) as refused:
        document_from(config=config, set=[assignment])

    (problem,) = refused.value.problems
    assert problem.path == path


def test_the_short_flags_set_keys_of_the_one_stream_there_is(tmp_path: Path) -> None:
    config = written(tmp_path, "streams:\n  only.one:\n    source: {type: stdin}\n")
    flags = {"watch": "in", "topic": "t", "qos": "0", "queue_mode": "3", "queue_limit": "9", "ca_file": "ca.pem"}

    assert document_from(config=config, **flags) == {
        "streams": {
            "only.one": {
                "source": {"type": "directory", "path": "in"},
                "topic": "t",
                "qos": "0",
                "queue": {"mode": "3", "maxRecords": "9"},
            }
        },
        "connection": {"ca": "ca.pem"},
    }


def test_standard_input_takes_the_place_of_a_watched_directory(tmp_path: Path) -> None:
    config = written(tmp_path, "streams:\n  a:\n    source: {path: /in}\n")

    source = parse(document_from(config=config, stdin=True), SURROUNDINGS).streams["a"].source

    assert (source.type, source.path) == ("stdin", None)


def test_a_short_flag_does_not_guess_among_several_streams(tmp_path: Path) -> None:
    config = written(tmp_path, "streams: {a: , b: }\n")

    with pytest.raises(ConfigurationRefused, match=r"^--topic: the configuration has 2 streams"):
        document_from(config=config, topic="t")


@pytest.mark.parametrize(
    ("state", "configured", "environment", "expected"),
    [
        ("flag", "file", "env", "flag"),
        (None, "file", "env", "file"),
        (None, None, "env", "env"),
        (None, None, None, None),
    ],
)
def test_the_state_directory_is_the_flag_or_the_configured_one_or_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, state: str | None, configured: str | None, environment: str | None, expected: str
) -> None:
    if environment is not None:
        monkeypatch.setenv("WEIR_STATE", environment)
    assignments = [f"state.path={configured}"] if configured else []

    document = document_from(set=assignments, state=state)

    assert document.get("state", {}).get("path") == expected


def read_or_refused(path: str) -> None:
    try:
        assert isinstance(configfile.read(path), dict)
    except ConfigurationRefused as refused:
        (problem,) = refused.problems
        if not str(problem).isprintable():
            pytest.fail(f"not one line: {problem!r}")


@given(content=st.one_of(st.binary(max_size=60), st.text("{}[]:-&*!|>'\"%@`#,? \n\tab1~", max_size=40)))
@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_no_content_does_anything_but_be_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes | str
) -> None:
    read_or_refused(written(tmp_path_factory.getbasetemp(), content, name))

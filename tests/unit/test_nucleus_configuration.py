from __future__ import annotations

from typing import Any

import pytest

from tests.nucleus.configuration import Configuration, TooLong, Touched, leaves
from tests.nucleus.errors import IpcError
from tests.nucleus.tables import CLASSIC, LITE

DEFAULTS: dict[str, Any] = {"mode": "fifo", "limits": {"bytes": 1, "a/b": 2, "c~d": 3}, "list": [1, 2]}


@pytest.fixture
def configuration() -> Configuration:
    return Configuration(LITE, DEFAULTS)


def test_a_merge_goes_into_maps_and_replaces_everything_else(configuration: Configuration) -> None:
    touched = configuration.merge({"limits": {"bytes": 5}, "list": [3], "new": {"deep": {"x": None}}})

    assert configuration.whole() == {
        "mode": "fifo",
        "limits": {"bytes": 5, "a/b": 2, "c~d": 3},
        "list": [3],
        "new": {"deep": {"x": None}},
    }
    paths = [("limits", "bytes"), ("list",), ("new", "deep", "x")]
    assert touched == Touched(written=paths, changed=paths)


def test_equal_numbers_of_different_types_are_a_change(configuration: Configuration) -> None:
    assert configuration.merge({"limits": {"bytes": 1}}).changed == []
    assert configuration.merge({"limits": {"bytes": 1.0}}).changed == [("limits", "bytes")]
    assert configuration.merge({"limits": {"bytes": True}}).changed == [("limits", "bytes")]


def test_a_value_over_a_map_removes_the_map(configuration: Configuration) -> None:
    touched = configuration.merge({"limits": "none"})

    assert configuration.whole()["limits"] == "none"
    assert touched.changed == [("limits",)]


@pytest.mark.parametrize(
    ("pointer", "path"), [("/limits/a~1b", ("limits", "a/b")), ("/limits/c~0d", ("limits", "c~d"))]
)
def test_a_reset_names_its_key_by_json_pointer(
    configuration: Configuration, pointer: str, path: tuple[str, ...]
) -> None:
    configuration.merge({"limits": {"a/b": 9, "c~d": 9, "bytes": 9}})

    touched = configuration.reset([pointer])

    assert touched.changed == [path]
    assert configuration.find(path) == (path[-1], DEFAULTS["limits"][path[-1]])
    assert configuration.find(("limits", "bytes")) == ("bytes", 9)


def test_a_reset_of_everything_brings_the_defaults_back(configuration: Configuration) -> None:
    configuration.merge({"mode": "lifo", "new": {"a": 1, "b": 2}})

    touched = configuration.reset([""])

    assert configuration.whole() == DEFAULTS
    assert touched.removed == [("new",)]
    assert touched.written == [path for path, _ in leaves(DEFAULTS)]


def test_a_reset_of_what_is_not_there_touches_nothing(configuration: Configuration) -> None:
    assert configuration.reset(["/none", "/none/deep", "/mode/deep"]) == Touched()
    assert configuration.whole() == DEFAULTS


def test_a_reset_comes_before_the_merge(configuration: Configuration) -> None:
    configuration.merge({"limits": {"bytes": 7, "more": 1}})

    configuration.apply(["/limits"], {"limits": {"bytes": 8}})

    assert configuration.whole()["limits"] == {**DEFAULTS["limits"], "bytes": 8}


def test_classic_merges_into_the_key_that_differs_in_case_only() -> None:
    classic, lite = Configuration(CLASSIC, DEFAULTS), Configuration(LITE, DEFAULTS)
    for configuration in (classic, lite):
        configuration.merge({"MODE": "lifo"})

    assert classic.whole() == {**DEFAULTS, "mode": "lifo"}
    assert lite.whole() == {**DEFAULTS, "MODE": "lifo"}


def test_a_leaf_is_as_long_as_its_json(configuration: Configuration) -> None:
    configuration.merge({"text": "x" * 1020})

    with pytest.raises(TooLong, match="text: 1023 bytes as JSON, at most 1022"):
        configuration.merge({"text": "x" * 1021})
    Configuration(CLASSIC, {}).merge({"text": "x" * 10_000})


def test_what_is_handed_out_is_a_copy(configuration: Configuration) -> None:
    configuration.whole()["limits"]["bytes"] = "changed"
    configuration.copy().merge({"mode": "changed"})

    assert configuration.whole() == DEFAULTS


def test_an_update_writes_only_what_it_is_new_enough_for(configuration: Configuration) -> None:
    configuration.update(("limits",), {"bytes": 10}, timestamp=200.0)

    touched, whole = configuration.update((), {"limits": {"bytes": 11, "more": 12}}, timestamp=100.0)

    assert (touched.written, whole) == ([("limits", "more")], False)
    assert configuration.whole()["limits"]["bytes"] == 10


@pytest.mark.parametrize(
    ("path", "value"), [(("accessControl",), {}), ((), {"accessControl": {}}), (("mode",), {"a": 1})]
)
def test_an_update_that_is_not_allowed_writes_nothing(
    configuration: Configuration, path: tuple[str, ...], value: Any
) -> None:
    with pytest.raises(IpcError):
        configuration.update(path, value, timestamp=1e12)

    assert configuration.whole() == DEFAULTS

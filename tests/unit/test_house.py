"""The house itself: what is locked, what is named twice, and what the two commands rest on."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import weir

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["run", "terminal", "dev"]
LOCK_LINE = re.compile(r"#.*|    --hash=sha256:[0-9a-f]{64}( \\)?|[a-z0-9][a-z0-9.-]*==[a-z0-9.]+( ; [^/@]+)? \\")
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def locked(name: str, python: str) -> dict[str, Version]:
    """Return the packages, with their versions, that a lock file installs on Linux with one Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    pins: dict[str, Version] = {}
    for line in re.findall(r"^[a-z0-9].*", lock_text(name), re.MULTILINE):
        requirement = Requirement(line.removesuffix("\\"))
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            package = canonicalize_name(requirement.name)
            assert package not in pins, f"{package} is locked twice for Python {python}"
            pins[package] = Version(pin.version)
    return pins


def assert_satisfied(requirements: list[str], pins: dict[str, Version], python: str) -> None:
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), str(requirement)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_only_pins_and_hashes_so_no_url_host_or_path(name: str) -> None:
    for line in lock_text(name).splitlines():
        assert LOCK_LINE.fullmatch(line), line
        assert "/" not in line


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", lock_text(name), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}", entry, re.MULTILINE), entry.splitlines()[0]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locks_hold_what_pyproject_asks_for(python: str) -> None:
    project = PYPROJECT["project"]
    assert_satisfied(project["dependencies"], locked("run", python), python)
    assert_satisfied(project["optional-dependencies"]["terminal"], locked("terminal", python), python)
    assert_satisfied(PYPROJECT["dependency-groups"]["dev"], locked("dev", python), python)
    assert_satisfied(PYPROJECT["build-system"]["requires"], locked("dev", python), python)


@pytest.mark.parametrize("python", PYTHONS)
def test_what_is_tested_is_what_a_device_runs(python: str) -> None:
    assert locked("run", python).items() <= locked("terminal", python).items() <= locked("dev", python).items()


def test_the_version_is_the_same_everywhere() -> None:
    (component,) = json.loads((ROOT / "gdk-config.json").read_text())["component"].values()
    assert PYPROJECT["project"]["version"] == weir.__version__ == component["version"]


def test_ci_runs_make_test() -> None:
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert run.read_text().splitlines()[-1] == "exec make test"


def test_every_ignored_lint_rule_says_why() -> None:
    config = (ROOT / "pyproject.toml").read_text()
    rules = re.findall(r'^  "[A-Z]+\d*",.*$', config, re.MULTILINE)
    assert rules
    for rule in rules:
        assert re.search(r'", # \S', rule), rule


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    named = set(re.findall(r"`([a-z]+/test_\w+\.py)`", (ROOT / "docs" / "security.md").read_text()))
    assert len(named) > 10
    assert {name for name in named if not (ROOT / "tests" / name).exists()} == set()

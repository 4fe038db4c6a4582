"""The README against the product: what it shows must work, what it lists must be complete."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from packaging.requirements import Requirement

from tests.model.queue import kept
from weir.cli.main import _hyphened, _parser
from weir.core.accounting import BESIDE, DROP_REASONS, QUARANTINE_REASONS
from weir.core.configuration import Surroundings, parse
from weir.core.errors import ConfigurationRefused, StateInUse, UsageError
from weir.core.modes import MODE_NAMES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
AT_HOME = Surroundings(thing_name="gw-17", host_name="host", work_path="/here", under_nucleus=False, root_ca_path=None)


def blocks(language: str = "") -> list[str]:
    """Give the code blocks in one language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indentation}", "", text, flags=re.MULTILINE) for indentation, text in found]


def commands() -> list[str]:
    """Give every `weir …` that a person might copy: alone on its lines, or at the end of a pipe."""
    lines = "".join(blocks()).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("|")]
    return [part for part in parts if re.match(r"weir [a-z]", part)]


def section(title: str) -> str:
    return README.partition(f" {title}\n")[2].partition("\n#")[0]


def test_the_settings_table_is_there_and_current() -> None:
    assert README.count("<!-- settings:begin -->\n| Key |") == README.count("|\n<!-- settings:end -->") == 1
    script = ROOT / "scripts" / "settings_table.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


@pytest.mark.parametrize("line", commands())
def test_a_command_that_is_shown_can_be_given(line: str) -> None:
    _, *words = shlex.split(line)

    assert _parser().parse_args(_hyphened(words)).command == words[0]


def test_the_commands_shown_are_of_every_kind() -> None:
    assert {"run", "check", "status"} <= {line.split()[1] for line in commands()}
    assert any("--stdin" in line for line in commands())


def test_every_command_has_its_line_in_the_table() -> None:
    (subcommands,) = (action.choices for action in _parser()._actions if action.choices)  # noqa: SLF001 - no other way

    assert set(re.findall(r"`weir ([a-z]+)`", section("Commands"))) >= set(subcommands)


def test_a_configuration_that_is_shown_is_accepted() -> None:
    for block in blocks("yaml"):
        assert parse(yaml.safe_load(block), AT_HOME).connection.endpoint


def test_the_policy_covers_the_configuration_beside_it_and_nothing_more() -> None:
    (policy,) = map(json.loads, blocks("json"))
    (document,) = map(yaml.safe_load, blocks("yaml"))
    settings = parse(document, AT_HOME)
    allowed = {one["Action"]: one["Resource"].rpartition(":")[2] for one in policy["Statement"]}

    assert all(one["Effect"] == "Allow" for one in policy["Statement"])
    assert allowed == {"iot:Connect": f"client/{settings.client_id}", "iot:Publish": "topic/telemetry/gw-17/*"}
    for name in settings.streams:
        assert f"topic/{settings.topic_of(name)}".startswith("topic/telemetry/gw-17/")


@pytest.mark.parametrize("mode", range(6))
def test_the_table_of_modes_says_what_an_independent_model_says(mode: int) -> None:
    (row,) = re.findall(rf"^\| {mode} \| `([^`]+)` \| [^|]+ \| ([^|]+) \|$", README, re.MULTILINE)

    assert row[0] == MODE_NAMES[mode]
    if mode < 4:
        records = [str(number).encode() for number in range(1, 10)]
        assert row[1].split() == [record.decode() for record in kept(mode, records, 3)]


def test_every_counter_and_reason_is_explained() -> None:
    explained = set(re.findall(r"`([A-Za-z]+)`", section("Counters")))

    assert {*BESIDE, *DROP_REASONS, *QUARANTINE_REASONS, "duplicateBound", "stateLost"} <= explained


def test_every_event_of_the_log_is_explained() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "component").rglob("*.py"))
    events = set(re.findall(r'(?:notice|_log|log)\(\s*"([a-z_]+)"', sources))

    assert len(events) > 10
    assert events <= set(re.findall(r"`([a-z_]+)`", section("Log")))


def test_every_exit_code_is_explained() -> None:
    codes = {0, 1, 3, *(error.exit_code for error in (UsageError, StateInUse, ConfigurationRefused))}

    assert codes == set(map(int, re.findall(r"^\| (\d+) \| (?!`)", section("Commands"), re.MULTILINE)))


def test_every_dependency_has_a_reason_and_there_is_no_other() -> None:
    project: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["terminal"],
        *project["dependency-groups"]["dev"],
    ]
    names = re.findall(r"^\| ([a-z0-9, -]+) \| \S", section("Dependencies"), re.MULTILINE)
    told = {name for row in names for name in row.split(", ")} - {"package", "mosquitto", "logrotate"}

    assert told == {Requirement(one).name.lower() for one in wanted}


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("https://")]

    assert targets
    for target in targets:
        assert target in anchors or (ROOT / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_no_path_of_anybodys_machine_is_in_it(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    assert not re.findall(r"(?:/root|/home|/tmp|/Users|/work)(?:/\S*)?(?=[\s`)])", text)

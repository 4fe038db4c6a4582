"""The files for a deployment, and docs/deploy.md, against the program they are for."""

from __future__ import annotations

import configparser
import copy
import json
import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

import weir
from scripts import recipe as script
from tests.nucleus import LITE, access
from tests.nucleus.configuration import subobjects
from tests.recipes import MOST_CONFIGURATION_BYTES, MOST_SUBOBJECTS, configuration_bytes
from weir.cli.main import _hyphened, _parser
from weir.core.configuration import Surroundings, parse
from weir.core.settings import Settings
from weir.core.topics import expand

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "docs" / "deploy"
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
THING = "gw-17"
DEVICE = Surroundings(thing_name=THING, host_name="h", work_path="/w", under_nucleus=True, root_ca_path=None)
NAME, VERSION, _ = script.component(ROOT)
OF_AN_ANSWER = 4  # the keys beside a configuration, counted twice, in what lite answers
ALLOWED_ACTIONS = {"iot:Connect", "iot:Publish", "s3:GetObject"}
# What a person puts in the place of these words, and what AWS in the place of its variable.
FILLED = {
    "REGION": "eu-west-1",
    "ACCOUNT": "123456789012",
    "THING": THING,
    "BUCKET": "my-bucket",
    "GROUP": "gateways",
    "${credentials-iot:ThingName}": THING,
}


def filled(name: str) -> Any:
    text = (FILES / name).read_text(encoding="utf-8")
    for word, value in FILLED.items():
        text = text.replace(word, value)
    return json.loads(text)


def statements(name: str) -> dict[str, str]:
    """Give the resource of each action, all of them allowed and none named twice."""
    policy = filled(name)
    found = {one["Action"]: one["Resource"] for one in policy["Statement"]}
    assert policy["Version"] == "2012-10-17"
    assert len(found) == len(policy["Statement"])
    assert all(one["Effect"] == "Allow" for one in policy["Statement"])
    return found


def default_settings() -> Settings:
    return parse(script.defaults(), DEVICE)


def merged(document: dict[str, Any], merge: dict[str, Any]) -> dict[str, Any]:
    """Merge as a nucleus does: maps are merged, anything else is replaced."""
    result = copy.deepcopy(document)
    for name, value in merge.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


@pytest.mark.parametrize("path", sorted(FILES.glob("*.json")), ids=lambda path: path.name)
def test_a_file_for_a_deployment_is_json_and_the_guide_tells_of_it(path: Path) -> None:
    assert json.loads(path.read_text(encoding="utf-8"))
    assert f"(deploy/{path.name})" in GUIDE


@pytest.mark.parametrize("name", ["iot-policy.json", "token-exchange-role-policy.json"])
def test_a_policy_allows_what_the_default_configuration_does_and_not_more(name: str) -> None:
    found, settings = statements(name), default_settings()
    arn = "arn:aws:iot:eu-west-1:123456789012"

    assert found.keys() <= ALLOWED_ACTIONS
    assert not any("*" in action for action in found)
    assert found["iot:Connect"] == f"{arn}:client/{settings.client_id}"
    assert found["iot:Publish"] == f"{arn}:topic/telemetry/{THING}/*"
    for stream in settings.streams:
        assert f"{arn}:topic/{settings.topic_of(stream)}".startswith(found["iot:Publish"].removesuffix("*"))


def documents() -> dict[str, dict[str, Any]]:
    """Give every configuration that the files and the guide lead to, and one with all that a topic can be made of."""
    deployment = filled("deployment.json")["components"][NAME]["configurationUpdate"]
    streams = {
        "from files": {"topic": "telemetry/{thingName}/{stream}/{file}"},
        "from records": {"topic": "telemetry/{thingName}/{record.site}/{record.kind}", "envelope": "json"},
    }
    report = re.findall(r"`report\.topic` of `(\S+)`", GUIDE)
    merges = {
        "defaults": {},
        "deployment.json": json.loads(deployment["merge"]),
        "guide": merges_of_the_guide()[0],
        "everything": {
            "streams": {name.replace(" ", "-"): stream for name, stream in streams.items()},
            "report": {"topic": report[0]},
        },
    }
    return {name: merged(script.defaults(), merge) for name, merge in merges.items()}


def emitted(document: dict[str, Any]) -> list[str]:
    """Give the topics that this configuration leads to, with data that reaches as far as data can."""
    settings = parse(with_paths(document), DEVICE)
    values = {"file": "a.b:c_d-e", "record.site": "A" * 64, "record.kind": "-"}
    topics = [expand(settings.topic_of(name), values) for name in settings.streams]
    return [*topics, settings.report_topic] if settings.report_topic else topics


def with_paths(document: dict[str, Any]) -> dict[str, Any]:
    """Give each stream a directory of its own."""
    streams = document["streams"]
    return document | {"streams": {name: merged({"source": {"path": name}}, streams[name]) for name in streams}}


@pytest.mark.parametrize("name", ["defaults", "deployment.json", "guide", "everything"])
def test_every_topic_that_it_can_publish_on_is_allowed_by_both_policies_and_by_the_recipe(name: str) -> None:
    found = emitted(documents()[name])
    assert found
    for policy in ("iot-policy.json", "token-exchange-role-policy.json"):
        allowed = statements(policy)["iot:Publish"].partition(":topic/")[2]
        assert [topic for topic in found if not fnmatchcase(topic, allowed)] == []
        assert not fnmatchcase(f"telemetry/{THING}-2/telemetry", allowed)
    control = script.access_control(script.component(ROOT))
    operation = "aws.greengrass#PublishToIoTCore"
    assert [topic for topic in found if not access.allows(control, access.MQTT_PROXY, operation, topic)] == []


def test_a_policy_of_one_thing_names_it_and_holds_no_variable() -> None:
    text = (FILES / "iot-policy.json").read_text(encoding="utf-8")

    assert "$" not in text
    assert text.count("THING") == 2


def test_the_role_may_fetch_the_artifacts_of_this_component_only() -> None:
    assert statements("token-exchange-role-policy.json")["s3:GetObject"] == f"arn:aws:s3:::my-bucket/{NAME}/*"


def test_every_word_to_be_replaced_is_replaced_by_the_commands_of_the_guide() -> None:
    for line in re.findall(r"^sed (?:.*\\\n)?.*>\S+\.json$", GUIDE, re.MULTILINE):
        words = shlex.split(line.replace("\\\n", " "))
        source = next(word for word in words if word.endswith(".json") and not word.startswith(">"))
        text = (ROOT / source).read_text(encoding="utf-8")
        for command in words[1].split(";"):
            _, word, value, _ = command.strip().split("/")
            assert word in text, (source, word)
            text = text.replace(word, value)
        assert not re.search(r"\b(REGION|ACCOUNT|THING|BUCKET|GROUP|BUCKET_NAME|COMPONENT_NAME)\b", text), source


def test_the_merge_of_the_deployment_is_json_in_a_text_and_is_accepted() -> None:
    deployment = filled("deployment.json")
    of = deployment["components"][NAME]
    update = of["configurationUpdate"]

    assert set(deployment["components"]) == {NAME}
    assert of["componentVersion"] == VERSION == weir.__version__
    assert isinstance(update["merge"], str)
    settings = parse(merged(script.defaults(), json.loads(update["merge"])), DEVICE)
    assert settings.streams["telemetry"].source.path == "/var/lib/sensors"
    for pointer in update["reset"]:
        assert pointer.split("/")[1] in script.defaults()


def merges_of_the_guide() -> list[dict[str, Any]]:
    blocks = re.findall(r"^ *```json\n(.*?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL)
    updates = re.findall(r"--update-config \\\n +'(.*)'$", GUIDE, re.MULTILINE)
    assert (len(blocks), len(updates)) == (1, 1)
    return [*map(json.loads, blocks), *(json.loads(update)[NAME]["MERGE"] for update in updates)]


def test_what_the_guide_merges_is_accepted_and_small_enough() -> None:
    for merge in merges_of_the_guide():
        document = merged(script.defaults(), merge)
        settings = parse(document, DEVICE)
        assert any(stream.enabled for stream in settings.streams.values())
        assert subobjects(document) <= MOST_SUBOBJECTS
        assert configuration_bytes(document) <= MOST_CONFIGURATION_BYTES


def test_the_guide_knows_how_much_room_the_defaults_take() -> None:
    whole = script.defaults() | {"accessControl": script.access_control(script.component(ROOT))}

    guide = " ".join(GUIDE.split())
    assert LITE.max_answer_objects is not None
    assert f"at most {LITE.max_answer_objects - OF_AN_ANSWER} keys and items at once" in guide
    assert f"of which the defaults take {subobjects(whole)}." in guide


def test_the_log_manager_is_told_of_this_component_with_words_for_numbers_as_it_wants_them() -> None:
    document = filled("log-manager.json")
    (of_component,) = document["logsUploaderConfiguration"]["componentLogsConfigurationMap"].items()

    assert of_component[0] == NAME
    assert all(isinstance(value, str) for value in [*of_component[1].values(), document["periodicUploadIntervalSec"]])


def test_the_settings_of_the_journal_are_settings_of_the_journal() -> None:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys of systemd differ in case
    parser.read_string((FILES / "journald.conf").read_text(encoding="utf-8"))

    assert parser.sections() == ["Journal"]
    assert set(parser["Journal"]) == {"Storage", "SystemMaxUse", "RateLimitIntervalSec", "RateLimitBurst"}
    assert "(deploy/journald.conf)" in GUIDE


def test_every_name_of_the_component_in_the_guide_has_this_version() -> None:
    versions = re.findall(rf"{re.escape(NAME)}(?:=|-|/)(\d+\.\d+\.\d+)", GUIDE)

    assert len(versions) > 5
    assert set(versions) == {VERSION}
    for path in re.findall(rf"`(recipes/{re.escape(NAME)}\S+json)`", GUIDE):
        assert (ROOT / path).exists()


def test_every_command_of_ours_in_the_guide_can_be_given() -> None:
    for line in re.findall(r"^sudo \S+/bin/weir (.+)$", GUIDE, re.MULTILINE):
        assert _parser().parse_args(_hyphened(shlex.split(line))).command == "status"
    for flag in re.findall(r"-m scripts\.recipe (--[a-z-]+)", GUIDE):
        assert f'"{flag}"' in (ROOT / "scripts" / "recipe.py").read_text(encoding="utf-8")


def test_the_command_lines_of_others_are_given_flags_that_they_have() -> None:
    known = {
        "greengrass-cli": {
            "--recipeDir",
            "--artifactDir",
            "--merge",
            "--remove",
            "--update-config",
            "--deploymentId",
            "--name",
            "--names",
        },
        "ggl-cli": {"-r", "-a", "-c", "-d"},
    }
    lines = [line for line in GUIDE.replace("\\\n", " ").splitlines() if "sudo" in line]
    for program, flags in known.items():
        calls = re.findall(rf"{program} ([^;`\n]+)", "\n".join(lines))
        assert calls
        used = {flag for call in calls for flag in re.findall(r"(?<=\s)--?[A-Za-z][\w-]*", call)}
        assert used <= flags, program


def test_every_link_of_the_guide_leads_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", GUIDE) if not target.startswith("https://")]
    titles = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}

    assert targets
    for target in targets:
        file, _, anchor = target.partition("#")
        assert (ROOT / "docs" / file).exists(), target
        assert not anchor or anchor in anchors, target


def test_no_path_of_anybodys_machine_is_in_the_guide() -> None:
    assert not re.findall(r"(?:/root|/home|/tmp|/Users)\b", GUIDE)

"""`weir check` as a person meets it: what is right is shown, what is wrong is told in full, in lines of its own."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.certificates import Certificates
from weir import __version__
from weir.cli.main import main
from weir.core.modes import MODE_NAMES

Capture = pytest.CaptureFixture[str]

WEIR = Path(sys.executable).with_name("weir")
FROM_OUTSIDE = ("AWS_IOT_THING_NAME", "GG_ROOT_CA_PATH", "WEIR_STATE", "WEIR_DEBUG")
IPC_SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
A_LINE = re.compile(r"[^\s:][^:]*: .+ \(allowed: .+\)")

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n"
SECRET = "MC4CAQAwBQYDK2VwBCIEIA"  # noqa: S105 - what must not be repeated


class Bad(NamedTuple):
    """A change that makes a configuration bad, and what has to be told about it."""

    path: str
    value: object
    told: str  # the path at the start of the line
    said: str  # and a part of the rest


BAD = [
    # wrong containers
    Bad("streams", [{"name": "a"}], "streams", "a list where a map is expected"),
    Bad("streams", "telemetry", "streams", "`telemetry` where a map is expected"),
    Bad("streams.telemetry", 5, "streams.telemetry", "`5` where a map is expected"),
    Bad("streams.telemetry.source", "/var/in", "streams.telemetry.source", "where a map is expected"),
    Bad("streams.telemetry.queue", [1], "streams.telemetry.queue", "a list where a map is expected"),
    Bad("gate", value=True, told="gate", said="`true` where a map is expected"),
    Bad("gate.maxInFlight", {"value": 5}, "gate.maxInFlight", "a map where a single value is expected"),
    Bad("log.level", ["INFO"], "log.level", "a list where a single value is expected"),
    # unknown keys
    Bad("gate.maxInflight", 5, "gate.maxInflight", "nearest: gate.maxInFlight"),
    Bad("stream", {}, "stream", "nearest: streams"),
    Bad("connection.keepalive", 5, "connection.keepalive", "unknown key"),
    Bad("streams.telemetry.queueMode", 3, "streams.telemetry.queueMode", "unknown key"),
    Bad("zzz", 1, "zzz", "unknown key (allowed: thingName, streams"),
    Bad("a\nb", 1, r"a\u000ab", "unknown key"),
    # numbers
    Bad("gate.maxInFlight", 0, "gate.maxInFlight", "out of range (allowed: 1 to 1000, or none)"),
    Bad("gate.maxInFlight", -5, "gate.maxInFlight", "out of range"),
    Bad("gate.maxInFlight", 2.5, "gate.maxInFlight", "not a whole number"),
    Bad("gate.maxInFlight", value=True, told="gate.maxInFlight", said="`true` is not a whole number"),
    Bad("gate.maxInFlight", "fifty", "gate.maxInFlight", "`fifty` is not a whole number"),
    Bad("gate.maxIncomplete", 1001, "gate.maxIncomplete", "out of range"),
    Bad("gate.maxIncomplete", 10**30, "gate.maxIncomplete", "a number of more than 18 digits is out of range"),
    Bad("gate.maxIncompleteBytes", "1e400", "gate.maxIncompleteBytes", "not a whole number"),
    Bad("pace.publishesPerSecond", float("nan"), "pace.publishesPerSecond", "`nan` is not a number"),
    Bad("pace.publishesPerSecond", float("inf"), "pace.publishesPerSecond", "`inf` is not a number"),
    Bad("pace.bytesPerSecond", 0, "pace.bytesPerSecond", "out of range"),
    Bad("streams.telemetry.queue.maxRecords", "0", "streams.telemetry.queue.maxRecords", "out of range"),
    Bad("streams.telemetry.queue.maxAgeSeconds", -1, "streams.telemetry.queue.maxAgeSeconds", "out of range"),
    Bad("streams.telemetry.qos", 2, "streams.telemetry.qos", "`2` is out of range (allowed: 0 to 1)"),
    Bad("streams.telemetry.source.settleSeconds", "soon", "streams.telemetry.source.settleSeconds", "not a number"),
    Bad("state.commitSeconds", 61, "state.commitSeconds", "out of range"),
    Bad("connection.port", 65536, "connection.port", "out of range (allowed: 1 to 65535)"),
    Bad("connection.port", "none", "connection.port", "`none` is not a whole number"),
    Bad("connection.keepAliveSeconds", 4, "connection.keepAliveSeconds", "out of range"),
    Bad("report.logSeconds", 0, "report.logSeconds", "out of range"),
    # words
    Bad("streams.telemetry.enabled", "yes", "streams.telemetry.enabled", "neither true nor false"),
    Bad("streams.telemetry.enabled", 1, "streams.telemetry.enabled", "neither true nor false"),
    Bad("streams.telemetry.source.type", "folder", "streams.telemetry.source.type", "(allowed: directory, stdin)"),
    Bad("streams.telemetry.source.onDone", "archiv", "streams.telemetry.source.onDone", "nearest: archive"),
    Bad("streams.telemetry.queue.mode", 6, "streams.telemetry.queue.mode", "`6` is not a queue mode"),
    Bad("streams.telemetry.queue.mode", "back/drop_frnt", "streams.telemetry.queue.mode", "nearest: back/drop-front"),
    Bad("log.level", "info", "log.level", "nearest: INFO"),
    Bad("log.format", "xml", "log.format", "(allowed: text, json)"),
    # text
    Bad("thingName", "two words", "thingName", "not a name that fits a topic"),
    Bad("thingName", "", "thingName", "is empty"),
    Bad("thingName", 1.5, "thingName", "`1.5` is not text"),
    Bad("streams.telemetry.source.pattern", "a/*.log", "streams.telemetry.source.pattern", "not a pattern"),
    Bad("streams.telemetry.source.csvDelimiter", ";;", "streams.telemetry.source.csvDelimiter", "not a delimiter"),
    Bad("streams.telemetry.source.path", "in\x00box", "streams.telemetry.source.path", r"`in\u0000box`"),
    Bad("state.path", "a" * 300, "state.path", "too long for a path"),
    Bad("state.path", "\x1b[2J", "state.path", r"`\u001b[2J`"),
    Bad("connection.privateKey", PEM, "connection.privateKey", "is the text of a key, not a path"),
    Bad("streams.a b", {}, "streams.a b", "not a name for a stream"),
    # topics
    Bad("streams.telemetry.topic", "", "streams.telemetry.topic", "is empty"),
    Bad("streams.telemetry.topic", "a/" + "b" * 255, "streams.telemetry.topic", "has 257 bytes"),
    Bad("streams.telemetry.topic", "1/2/3/4/5/6/7/8/9", "streams.telemetry.topic", "has 8 slashes"),
    Bad("streams.telemetry.topic", "a/#", "streams.telemetry.topic", "wildcard"),
    Bad("streams.telemetry.topic", "$aws/things/x/shadow", "streams.telemetry.topic", "begins with $"),
    Bad("streams.telemetry.topic", "a/{thingname}", "streams.telemetry.topic", "not a placeholder"),
    # what the endpoint is not
    Bad(
        "connection.endpoint",
        "mqtts://broker.example:8883",
        "connection.endpoint",
        "the host name alone, `broker.example`",
    ),
    Bad("connection.endpoint", "broker.example:8883", "connection.endpoint", "holds a port"),
    Bad("connection.endpoint", "broker example", "connection.endpoint", "not a host name"),
    Bad("connection.endpoint", None, "connection.endpoint", "has no value"),
    # what two keys say together
    Bad("gate.maxIncomplete", 49, "gate.maxIncomplete", "below gate.maxInFlight"),
    Bad("gate.maxIncompleteBytes", 1024, "gate.maxIncompleteBytes", "below gate.maxInFlightBytes"),
    Bad("gate", {"maxIncomplete": "none", "maxInFlight": None}, "gate.maxIncomplete", "maxInFlight is none as well"),
    Bad("connection.pingTimeoutSeconds", 30, "connection.pingTimeoutSeconds", "not below keepAliveSeconds"),
    Bad("connection.reconnectMinSeconds", 121, "connection.reconnectMinSeconds", "above reconnectMaxSeconds"),
    Bad("connection.certificate", None, "connection.certificate", "has no value, and connection.privateKey has one"),
    Bad("connection.privateKey", "null", "connection.privateKey", "has no value, and connection.certificate has one"),
    Bad("connection.clientId", "$me", "connection.clientId", "begins with $"),
    Bad("connection.clientId", "{thingName}" * 30, "connection.clientId", "bytes once expanded (allowed: 1 to 128)"),
    Bad("connection.clientId", "{stream}", "connection.clientId", "(allowed: {thingName})"),
    Bad(
        "streams.telemetry", {"source": {"type": "stdin", "path": "in"}}, "streams.telemetry.source.path", "has no path"
    ),
    Bad("streams.telemetry.source.maxRecordBytes", 131_072, "streams.telemetry.source.maxRecordBytes", "can carry"),
    Bad("streams", {"a": {}, "b": {}}, "streams.b.source.path", "stream a watches this directory already"),
    Bad(
        "streams",
        {"a": {"source": {"type": "stdin"}}, "b": {"source": {"type": "stdin"}}},
        "streams.b.source.type",
        "stream a reads standard input already",
    ),
    Bad(
        "streams.telemetry.queue",
        {"maxRecords": "none", "maxBytes": "none"},
        "streams.telemetry.queue.maxRecords",
        "maxBytes is none as well",
    ),
    Bad(
        "streams.telemetry",
        {"source": {"maxRecordBytes": 1000}, "queue": {"maxBytes": 1063}},
        "streams.telemetry.queue.maxBytes",
        "(allowed: 1064 or more)",
    ),
    # what is on this machine
    Bad("connection.certificate", "absent.pem", "connection.certificate", "does not exist"),
    Bad("connection.ca", "/dev/null", "connection.ca", "not a regular file"),
    Bad("state.path", "inbox/state", "state.path", "shares its place with the directory that stream telemetry watches"),
    Bad("streams.telemetry.source.path", "weir.json", "streams.telemetry.source.path", "is not a directory"),
    # what a format, a layout or a topic can be
    Bad(
        "streams.telemetry.source.format",
        "xml",
        "streams.telemetry.source.format",
        "(allowed: auto, jsonl, json, csv, lines, file)",
    ),
    Bad("streams.telemetry.envelope", "xml", "streams.telemetry.envelope", "(allowed: none, json)"),
    Bad("streams.telemetry.topic", "{file}/a", "streams.telemetry.topic", "takes its first level from data"),
    Bad("streams.telemetry.batch.maxRecords", 20000, "streams.telemetry.batch.maxRecords", "(allowed: 1 to 10000)"),
    Bad("streams.telemetry.batch.maxBytes", 0, "streams.telemetry.batch.maxBytes", "or none)"),
    Bad("streams.telemetry.batch.lingerMs", -5, "streams.telemetry.batch.lingerMs", "(allowed: 0 to 60000)"),
    Bad("streams.telemetry.batch.layout", "rows", "streams.telemetry.batch.layout", "(allowed: lines, array)"),
    Bad(
        "streams.telemetry",
        {"source": {"path": "inbox", "format": "json"}, "batch": {"maxRecords": 5}},
        "streams.telemetry.batch.layout",
        "lines cannot hold several records of the format json (allowed: array, or maxRecords 1)",
    ),
    Bad(
        "streams.telemetry",
        {"source": {"path": "inbox", "format": "file"}, "batch": {"maxRecords": 5, "layout": "array"}},
        "streams.telemetry.batch.layout",
        "(allowed: maxRecords 1, or an envelope)",
    ),
    Bad(
        "streams.telemetry",
        {"source": {"type": "stdin"}, "batch": {"maxRecords": 5, "layout": "array"}},
        "streams.telemetry.batch.layout",
        "array cannot hold several records of the format lines (allowed: lines, or maxRecords 1)",
    ),
    Bad("streams.telemetry.batch.compression", "zip", "streams.telemetry.batch.compression", "(allowed: none, gzip)"),
    Bad("connection.transport", "ipc", "connection.transport", "(allowed: auto, mqtt)"),
    Bad("connection.protocol", "mqtt4", "connection.protocol", "(allowed: mqtt311, mqtt5)"),
    Bad("connection.proxyHost", "http://proxy", "connection.proxyHost", "(allowed: "),
    Bad("report.metricsFile", "/nowhere/weir.prom", "report.metricsFile", "(allowed: "),
    Bad("report.topic", "status/#", "report.topic", "(allowed: "),
]


class House(NamedTuple):
    """A directory with a configuration that is all right."""

    path: Path
    document: dict[str, Any]

    def write(self, document: object) -> str:
        file = self.path / "weir.json"
        file.write_text(json.dumps(document))
        return str(file)


@pytest.fixture
def house(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> House:
    for name in (*FROM_OUTSIDE, IPC_SOCKET):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()
    connection = {
        "endpoint": "broker.example",
        "certificate": certificates.client.certificate,
        "privateKey": certificates.client.key,
        "ca": certificates.ca,
    }
    return House(tmp_path, {"thingName": "gw-17", "connection": connection})


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    found = copy.deepcopy(document)
    node = found
    *sections, name = path.split(".")
    for section in sections:
        node = node.setdefault(section, {})
    node[name] = value
    return found


def test_there_are_enough_bad_configurations() -> None:
    assert len({(bad.path, repr(bad.value)) for bad in BAD}) >= 60


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.told}-{bad.said[:30]}")
def test_a_bad_configuration_is_refused_with_its_path_and_what_is_allowed(
    house: House, capsys: Capture, bad: Bad
) -> None:
    config = house.write(changed(house.document, bad.path, bad.value))

    code = main(["check", "--config", config])

    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert code == 78
    assert printed.out == ""
    assert [line for line in lines if line.startswith(f"{bad.told}: ") and bad.said in line]
    assert all(A_LINE.fullmatch(line) for line in lines), lines
    assert SECRET not in printed.err


@pytest.mark.parametrize("document", [[], "gate", 5, True])
def test_what_is_no_map_at_all_is_refused(house: House, capsys: Capture, document: object) -> None:
    assert main(["check", "--config", house.write(document)]) == 78
    assert capsys.readouterr().err.startswith("--config: ")


def test_everything_that_is_wrong_is_told_at_once(house: House, capsys: Capture) -> None:
    document = {
        "thingName": "a b",
        "streams": {
            "one": {"qos": 7, "topic": "a/+", "source": {"format": "xml"}},
            "two": {"source": {"type": "stdin", "path": "x"}, "queue": {"mode": 9}},
        },
        "gate": {"maxIncomplete": 1, "maxinflight": 3},
        "connection": {"certificate": "absent.pem", "port": 0},
        "state": {"path": "inbox"},
    }

    assert main(["check", "--config", house.write(document)]) == 78

    told = {line.split(": ")[0] for line in capsys.readouterr().err.splitlines()}
    assert told == {
        "thingName",
        "streams.one.qos",
        "streams.one.topic",
        "streams.one.source.format",
        "streams.two.source.path",
        "streams.two.queue.mode",
        "gate.maxIncomplete",
        "gate.maxinflight",
        "connection.endpoint",
        "connection.certificate",
        "connection.privateKey",
        "connection.port",
        "state.path",
    }


def test_what_is_all_right_is_shown_as_yaml_that_gives_the_same_again(house: House, capsys: Capture) -> None:
    assert main(["check", "--config", house.write(house.document), "--set", "gate.maxInFlight=none"]) == 0
    shown = capsys.readouterr().out

    answer, effective = yaml.safe_load_all(shown)
    assert answer == "ok"
    assert effective["gate"]["maxInFlight"] == "none"
    assert effective["streams"]["telemetry"]["source"]["path"] == str(house.path / "inbox")
    assert shown.startswith("ok\n")

    (house.path / "again.yaml").write_text(shown.partition("---\n")[2])
    assert main(["check", "--config", "again.yaml"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("configured", [True, False])
def test_it_says_who_vouches_for_the_broker(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch, *, configured: bool
) -> None:
    ca = house.document["connection"]["ca"]
    if not configured:
        monkeypatch.setenv("GG_ROOT_CA_PATH", ca)
    config = house.write(house.document if configured else changed(house.document, "connection.ca", None))

    assert main(["check", "--config", config]) == 0

    source = "connection.ca" if configured else "GG_ROOT_CA_PATH"
    assert f"# certificate authorities: {ca}, from {source}\n" in capsys.readouterr().out


def test_without_any_other_word_the_store_of_the_system_vouches(house: House, capsys: Capture) -> None:
    config = house.write(changed(house.document, "connection.ca", None))

    assert main(["check", "--config", config]) == 0

    shown = capsys.readouterr().out
    assert "# certificate authorities: the store of this system" in shown or "none found on this system" in shown


@pytest.mark.parametrize("form", ["--queue-mode=3", "--queue_mode=3", "--queue_mode 3"])
def test_underscores_and_hyphens_are_the_same_in_a_flag_and_nowhere_else(
    house: House, capsys: Capture, form: str
) -> None:
    config = house.write(house.document)

    assert main(["check", "--config", config, *form.split(), "--client_id=my_id"]) == 0

    _, effective = yaml.safe_load_all(capsys.readouterr().out)
    assert effective["streams"]["telemetry"]["queue"]["mode"] == 3
    assert effective["connection"]["clientId"] == "my_id"


def test_no_file_is_needed(house: House, capsys: Capture) -> None:
    connection = house.document["connection"]
    flags = ["--endpoint", "localhost", "--cert", connection["certificate"], "--key", connection["privateKey"]]

    assert main(["check", *flags, "--ca-file", connection["ca"], "--watch", "in", "--state", "kept"]) == 0

    _, effective = yaml.safe_load_all(capsys.readouterr().out)
    assert effective["streams"]["telemetry"]["source"]["path"] == str(house.path / "in")
    assert effective["state"]["path"] == str(house.path / "kept")


@pytest.mark.parametrize(
    "argv",
    [[], ["walk"], ["check", "--confg", "x"], ["check", "--stdin", "--watch", "in"], ["run", "--drain-timeout=0"]],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(capsys: Capture, argv: list[str]) -> None:
    assert main(argv) == 2
    assert "usage: weir" in capsys.readouterr().err


def test_the_version_is_told(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"weir {__version__}\n"


def test_the_help_of_run_explains_every_queue_mode_in_a_line(capsys: Capture) -> None:
    assert main(["run", "--help"]) == 0

    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {number}  {name} +\S", shown, re.MULTILINE) for number, name in enumerate(MODE_NAMES))
    assert "numbered 1 and 3 the other way round" in shown


def test_what_nobody_foresaw_is_one_line_and_a_traceback_only_on_request(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("weir.wiring.configuration.load", broken)
    config = house.write(house.document)

    assert main(["check", "--config", config]) == 1
    assert capsys.readouterr().err == r"weir: ValueError: two\u000alines (WEIR_DEBUG=1 shows where)" + "\n"

    monkeypatch.setenv("WEIR_DEBUG", "1")
    assert main(["check", "--config", config]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_ends_as_a_shell_expects_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("weir.wiring.configuration.load", interrupted)

    assert main(["check"]) == 130


# ---- as a process of its own


def run_check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in FROM_OUTSIDE}
    return subprocess.run(
        [WEIR, "check", *arguments], capture_output=True, text=True, check=False, env=kept | environment, timeout=60
    )


def test_the_program_says_ok(house: House) -> None:
    done = run_check("--config", house.write(house.document))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"gate": {"maxInFlight": 0}}', "gate.maxInFlight: "),
        (b'{"gate": ', "--config: "),
        (b"\xff\xfe", "--config: "),
        (b"", "--config: "),
        (b"[]", "--config: "),
    ],
)
def test_the_program_refuses_in_lines_and_with_its_code(house: House, content: bytes, told: str) -> None:
    config = house.path / "bad.json"
    config.write_bytes(content)

    done = run_check("--config", str(config))

    assert done.returncode == 78
    assert done.stdout == ""
    assert any(line.startswith(told) for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr


def test_the_program_does_not_mind_when_nobody_reads_its_answer(house: House) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(WEIR), "check", "--config", house.write(house.document)]

    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")

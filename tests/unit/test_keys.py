"""The key table against the contract, the settings and the README."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import yaml

from weir.core.configuration import Surroundings, effective, parse
from weir.core.key import Key, Value
from weir.core.keys import DEFAULT_STREAM, KEYS
from weir.core.settings import Settings
from weir.core.values import convert

ROOT = Path(__file__).resolve().parents[2]
SURROUNDINGS = Surroundings(
    thing_name="gw-17", host_name="host", work_path="/work/path", under_nucleus=True, root_ca_path=None
)

# What was promised to those who deploy Weir. A change here is a change of the contract.
CONTRACT = """
thingName: null
streams:
  telemetry:
    enabled: true
    source:
      type: directory
      path: null
      pattern: "*"
      format: auto
      csvDelimiter: ","
      settleSeconds: 2
      doneSeconds: 60
      onDone: keep
      archiveMaxBytes: 67108864
      maxRecordBytes: none
      maxDocumentBytes: 8388608
    topic: "telemetry/{thingName}/{stream}"
    qos: 1
    priority: 0
    envelope: none
    queue:
      mode: 4
      maxRecords: 10000
      maxBytes: 16777216
      maxAgeSeconds: none
    batch:
      maxRecords: 1
      maxBytes: none
      lingerMs: 0
      layout: lines
      compression: none
gate:
  maxIncomplete: 100
  maxInFlight: 50
  maxIncompleteBytes: 4194304
  maxInFlightBytes: 2097152
pace:
  publishesPerSecond: 90
  bytesPerSecond: 471859
connection:
  transport: auto
  protocol: mqtt311
  endpoint: null
  port: null
  certificate: null
  privateKey: null
  ca: null
  clientId: "{thingName}-weir"
  keepAliveSeconds: 30
  pingTimeoutSeconds: 10
  operationTimeoutSeconds: 90
  reconnectMinSeconds: 1
  reconnectMaxSeconds: 120
  proxyHost: null
  proxyPort: 8080
state:
  path: null
  commitSeconds: 1
  commitRecords: 5000
  minFreeBytes: 33554432
  quarantineMaxBytes: 16777216
report:
  logSeconds: 30
  metricsFile: none
  topic: none
  topicSeconds: 300
log:
  level: INFO
  format: text
"""
OR_NONE = {
    "streams.*.source.maxRecordBytes",
    "streams.*.queue.maxRecords",
    "streams.*.queue.maxBytes",
    "streams.*.queue.maxAgeSeconds",
    "streams.*.batch.maxBytes",
    "gate.maxIncomplete",
    "gate.maxInFlight",
    "gate.maxIncompleteBytes",
    "gate.maxInFlightBytes",
    "pace.publishesPerSecond",
    "pace.bytesPerSecond",
    "report.metricsFile",
    "report.topic",
}


def flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        path = f"{prefix}{'*' if prefix == 'streams.' else name}"
        found.update(flat(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return found


def fields_of(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        path, hint = f"{prefix}{field.encode_name}", hints[field.name]
        if typing.get_origin(hint) is dict:
            path, hint = f"{path}.*", typing.get_args(hint)[1]
        is_section = isinstance(hint, type) and issubclass(hint, msgspec.Struct)
        found |= fields_of(hint, f"{path}.") if is_section else {path: hint}
    return found


def test_the_table_holds_every_default_of_the_contract_and_no_other_key() -> None:
    promised = flat(yaml.safe_load(CONTRACT))

    def written(key: Key) -> Value:
        return "none" if key.default is None and key.or_none else key.default

    assert {key.path: written(key) for key in KEYS} == promised


def test_the_keys_that_may_be_none_are_those_of_the_contract() -> None:
    assert {key.path for key in KEYS if key.or_none} == OR_NONE


def test_every_key_has_its_field_in_the_settings_and_every_field_its_key() -> None:
    assert {key.path for key in KEYS} == set(fields_of(Settings))


def test_a_word_that_the_table_allows_is_one_that_the_settings_know() -> None:
    hints = fields_of(Settings)

    assert {key.path: set(key.choices) for key in KEYS if key.choices} == {
        path: set(typing.get_args(hint)) for path, hint in hints.items() if typing.get_origin(hint) is Literal
    }


def test_the_defaults_make_valid_settings() -> None:
    settings = parse({}, SURROUNDINGS)

    assert list(settings.streams) == [DEFAULT_STREAM]
    assert settings.duplicate_bound == 5050


def test_what_is_effective_is_the_contract_with_the_derived_values_filled_in() -> None:
    derived = {
        "thingName": "gw-17",
        "streams.*.source.path": "/work/path/inbox",
        "state.path": "/work/path/state",
    }

    assert flat(effective(parse({}, SURROUNDINGS))) == flat(yaml.safe_load(CONTRACT)) | derived


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_a_key_allows_its_own_default_and_says_in_one_sentence_what_it_means(key: Key) -> None:
    assert convert(key, key.default) == key.default
    assert key.meaning.endswith(".")
    assert "\n" not in key.meaning
    assert key.allowed


def test_the_table_of_the_readme_is_the_key_table() -> None:
    script = ROOT / "scripts" / "settings_table.py"

    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0

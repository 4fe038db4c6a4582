"""Documents and the settings they come to, without a file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from weir.core.configuration import Surroundings, effective, judge, parse, require_connection
from weir.core.errors import ConfigurationRefused, Problem
from weir.core.keys import KEYS
from weir.core.modes import MODE_NAMES
from weir.core.settings import Settings

AT_HOME = Surroundings(thing_name=None, host_name="bench", work_path="/here", under_nucleus=False, root_ca_path=None)
DEPLOYED = Surroundings(
    thing_name="gw-17", host_name="bench", work_path="/gg/work/weir", under_nucleus=True, root_ca_path="/gg/ca.pem"
)


def nested(path: str, value: object) -> dict[str, Any]:
    document: Any = value
    for name in reversed(path.split(".")):
        document = {name: document}
    return dict(document)


def settings_of(path: str, value: object, surroundings: Surroundings = AT_HOME) -> Settings:
    return parse(nested(path, value), surroundings)


def problems_of(document: object, surroundings: Surroundings = AT_HOME) -> list[Problem]:
    with pytest.raises(ConfigurationRefused) as refused:
        parse(document, surroundings)
    return refused.value.problems


def test_at_home_everything_lies_in_the_current_directory() -> None:
    settings = parse({}, AT_HOME)

    assert settings.thing_name == "bench"
    assert settings.streams["telemetry"].source.path == "/here/inbox"
    assert settings.state.path == "/here/weir-state"
    assert settings.connection.ca is None


def test_under_a_nucleus_its_variables_give_the_defaults() -> None:
    settings = parse({}, DEPLOYED)

    assert settings.thing_name == "gw-17"
    assert settings.state.path == "/gg/work/weir/state"
    assert settings.connection.ca == "/gg/ca.pem"
    assert settings.client_id == "gw-17-weir"
    assert settings.topic_of("telemetry") == "telemetry/gw-17/telemetry"


def test_what_is_configured_goes_before_what_surrounds() -> None:
    document = {"thingName": "mine", "connection": {"ca": "/my/ca.pem"}, "state": {"path": "kept"}}
    settings = parse(document, DEPLOYED)

    assert (settings.thing_name, settings.connection.ca) == ("mine", "/my/ca.pem")
    assert settings.state.path == "/gg/work/weir/kept"


@pytest.mark.parametrize(("given_", "expected"), [("5", 5), (" 7 ", 7), (8, 8), (9.0, 9), ("none", None)])
@pytest.mark.parametrize("name", ["maxInFlight", "maxInFlightBytes"])
def test_a_limit_may_come_as_text_as_a_nucleus_hands_it_over(given_: object, expected: object, name: str) -> None:
    effect = effective(settings_of(f"gate.{name}", given_))["gate"][name]

    assert effect == ("none" if expected is None else expected)


@pytest.mark.parametrize("nothing", [None, "none", "None", "null", "NULL"])
def test_none_and_null_are_no_limit_where_there_may_be_none(nothing: object) -> None:
    assert settings_of("pace.bytesPerSecond", nothing).pace.bytes_per_second is None


@pytest.mark.parametrize("nothing", [None, "null"])
@pytest.mark.parametrize(
    "path", ["connection", "connection.keepAliveSeconds", "streams", "streams.telemetry", "log.level"]
)
def test_null_means_the_default_everywhere_else(path: str, nothing: object) -> None:
    assert settings_of(path, nothing) == parse({}, AT_HOME)


@pytest.mark.parametrize("word", ["true", "True", True])
def test_a_boolean_may_come_as_text(word: object) -> None:
    assert settings_of("streams.a.enabled", word).streams["a"].enabled is True
    assert settings_of("streams.a.enabled", "false").streams["a"].enabled is False


@pytest.mark.parametrize("number", range(len(MODE_NAMES)))
def test_a_queue_mode_is_a_number_or_a_text_with_it_or_a_name(number: int) -> None:
    for written in (number, str(number), MODE_NAMES[number]):
        assert settings_of("streams.a.queue.mode", written).streams["a"].queue.mode == number


def test_a_name_that_is_all_digits_may_come_as_a_number() -> None:
    assert settings_of("thingName", 4711).thing_name == "4711"


def test_a_document_that_names_a_stream_has_exactly_those_in_their_order() -> None:
    document = {"streams": {"b": {"source": {"path": "/b"}}, "a": {"source": {"path": "/a"}}}}

    assert list(parse(document, AT_HOME).streams) == ["b", "a"]


def test_what_greengrass_keeps_in_the_same_document_is_left_alone() -> None:
    assert parse({"accessControl": {"aws.greengrass.ipc.mqttproxy": {}}}, AT_HOME) == parse({}, AT_HOME)


def test_the_effective_configuration_read_again_gives_the_same_settings() -> None:
    document = {
        "streams": {"in": {"source": {"type": "stdin"}, "queue": {"mode": 3, "maxAgeSeconds": 1.5}}},
        "gate": {"maxIncomplete": "none"},
        "pace": {"bytesPerSecond": "none"},
        "connection": {"endpoint": "broker", "certificate": "c.pem", "privateKey": "k.pem"},
    }
    settings = parse(document, DEPLOYED)

    assert parse(effective(settings), DEPLOYED) == settings


def test_the_duplicate_bound_follows_the_window_that_is_set() -> None:
    assert parse({"gate": {"maxInFlight": "none"}}, AT_HOME).duplicate_bound == 5100


def test_basic_ingest_does_not_count_towards_the_limits_of_a_topic() -> None:
    topic = "$aws/rules/to_the_lake/" + "/".join("abcdefgh")

    assert settings_of("streams.a.topic", topic).topic_of("a") == topic


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("$aws/rules/to_the_lake/" + "/".join("abcdefghi"), "8 slashes"),
        ("$share/group/topic", "begins with $"),
        ("$aws/rules//a", "begins with $"),
        ("a/+/b", "wildcard"),
        ("a/#", "wildcard"),
        ("/".join("abcdefghi"), "8 slashes"),
        ("ü" * 129, "258 bytes"),
        ("a\x00b", "not printable"),
        ("a\ud800b", "not printable"),
        ("", "is empty"),
        ("{file}/a", "takes its first level from data"),
        ("x{record.unit}/a", "takes its first level from data"),
        ("a/{record.}", "`{record.}` is not a placeholder (allowed: {thingName}, {stream}, {file}, {record.FIELD})"),
        ("a/{thing}", "`{thing}` is not a placeholder (allowed: {thingName}, {stream}, {file}, {record.FIELD})"),
        ("a/{stream", "a brace that belongs to no placeholder"),
    ],
)
def test_a_topic_that_iot_core_would_not_take_is_refused(topic: str, said: str) -> None:
    (problem,) = problems_of(nested("streams.a.topic", topic))

    assert problem.path == "streams.a.topic"
    assert said in problem.message


@pytest.mark.parametrize(
    ("source", "topic", "said"),
    [
        ({"type": "stdin"}, "a/{file}", "{file} has no value for standard input"),
        ({"type": "stdin"}, "a/{record.unit}", "needs records that are JSON"),
        ({"format": "lines"}, "a/{record.unit}", "needs records that are JSON"),
    ],
)
def test_a_placeholder_that_no_record_can_fill_is_refused(source: dict[str, Any], topic: str, said: str) -> None:
    (problem,) = problems_of({"streams": {"a": {"source": source, "topic": topic}}})
    assert problem.path == "streams.a.topic"
    assert said in problem.message


@pytest.mark.parametrize("name", ["csv", "json", "file"])
def test_standard_input_is_read_line_by_line(name: str) -> None:
    (problem,) = problems_of({"streams": {"a": {"source": {"type": "stdin", "format": name}}}})
    assert problem.path == "streams.a.source.format"
    assert "(allowed: auto, jsonl, lines)" in problem.message


@pytest.mark.parametrize("source", [{"type": "stdin", "format": "jsonl"}, {}, {"format": "jsonl"}])
def test_a_topic_may_take_levels_from_the_records(source: dict[str, Any]) -> None:
    document = {"streams": {"a": {"source": source, "topic": "a/{record.unit}"}}}
    assert parse(document | {"connection": {}}, AT_HOME).topic_of("a") == "a/{record.unit}"


@pytest.mark.parametrize("name", ["maxIncomplete", "maxInFlight"])
def test_a_limit_is_not_judged_by_another_one_that_is_itself_wrong(name: str) -> None:
    document = {"gate": {"maxIncomplete": 5, "maxInFlight": 5} | {name: "many"}}

    assert [problem.path for problem in problems_of(document)] == [f"gate.{name}"]


def test_the_client_id_of_the_nucleus_is_refused_under_a_nucleus_only() -> None:
    document = nested("connection.clientId", "{thingName}")

    assert [problem.path for problem in problems_of(document, DEPLOYED)] == ["connection.clientId"]
    assert parse(document, AT_HOME).client_id == "bench"


def test_a_host_without_a_usable_name_has_to_be_named() -> None:
    nameless = AT_HOME._replace(host_name="")

    assert [problem.path for problem in problems_of({}, nameless)] == ["thingName"]
    assert [problem.path for problem in problems_of({}, AT_HOME._replace(thing_name="a/b"))] == ["thingName"]


def test_only_a_connection_needs_an_endpoint_and_credentials() -> None:
    missing = [problem.path for problem in require_connection(parse({}, AT_HOME))]

    assert missing == ["connection.endpoint", "connection.certificate", "connection.privateKey"]


@pytest.mark.parametrize("path", ["thingName", "connection.privateKey", "connection.endpoint", "streams.a.topic"])
def test_the_text_of_a_key_is_never_repeated(path: str) -> None:
    pem = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"
    problems = problems_of(nested(path, pem))

    assert [problem.path for problem in problems if "is the text of a key" in problem.message] == [path]
    assert "c2VjcmV0" not in str(problems)


@pytest.mark.parametrize(
    ("document", "nearest"),
    [
        ({"gate": {"max_in_flight": 1}}, "gate.maxInFlight"),
        ({"maxInFlight": 1}, "gate.maxInFlight"),
        ({"conection": {}}, "connection"),
        ({"streams": {"a": {"queue": {"maxrecords": 1}}}}, "streams.a.queue.maxRecords"),
        ({"streams": {"a": {"mode": 1}}}, "streams.NAME.queue.mode"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(document: dict[str, Any], nearest: str) -> None:
    (problem,) = problems_of(document)

    assert f"unknown key; nearest: {nearest} " in problem.message


def test_a_long_list_of_unknown_keys_stays_readable() -> None:
    problems = problems_of({f"unknown{number}": 1 for number in range(1000)})

    assert len(problems) == 21
    assert problems[-1] == Problem("configuration", "980 more unknown keys")


def test_a_map_of_very_many_streams_is_refused_as_a_whole() -> None:
    (problem,) = problems_of({"streams": {f"s{number}": {"qos": 7} for number in range(101)}})

    assert problem == Problem("streams", "101 streams (allowed: at most 100)")


# ---- whatever somebody may write

WORDS = sorted({part for key in KEYS for part in key.path.split(".")} | {"telemetry", "accessControl"})
VALUES = sorted(
    {choice for key in KEYS for choice in key.choices} | {"none", "null", "5", "-1", "1e9", "nan", "$a", "{x}"}
)
scalars: SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 10**400, -(10**400)]),
    st.floats(),
    st.text(),
    st.sampled_from(VALUES),
)
names = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
documents: SearchStrategy[object] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=20,
)


def judged(document: object) -> None:
    settings, findings = judge(document, AT_HOME)

    assert all(str(problem).isprintable() for problem in findings.problems)
    if not findings.problems:
        assert parse(effective(settings), AT_HOME) == settings


@given(documents)
def test_no_document_does_anything_but_work_or_be_refused(document: object) -> None:
    judged(document)


@given(st.dictionaries(st.sampled_from(KEYS), documents, max_size=4))
def test_no_value_of_a_known_key_does_anything_but_work_or_be_refused(values: dict[Any, object]) -> None:
    document: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.path.replace("*", "a").split(".")
        node = document
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value

    judged(document)


def test_the_metrics_file_and_the_topic_of_the_status_are_none_and_follow_the_surroundings() -> None:
    assert (parse({}, AT_HOME).report.metrics_file, parse({}, AT_HOME).report_topic) == (None, None)
    assert settings_of("report.metricsFile", "weir.prom").report.metrics_file == "/here/weir.prom"
    assert settings_of("report.topic", "status/{thingName}/weir").report_topic == "status/bench/weir"
    assert settings_of("report.topic", "$aws/rules/status/{thingName}").report_topic == "$aws/rules/status/bench"


@pytest.mark.parametrize(
    "topic",
    ["status/+", "#", "$SYS/status", "a/b/c/d/e/f/g/h/i", "status/{stream}", "status/{file}", "status/{", "x" * 257],
)
def test_the_topic_of_the_status_is_one_that_a_message_can_have(topic: str) -> None:
    assert {problem.path for problem in problems_of({"report": {"topic": topic}})} == {"report.topic"}

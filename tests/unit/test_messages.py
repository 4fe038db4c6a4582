"""Topics and payloads made from records: what is filled in, what is refused, and what an envelope holds."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spans import make_span
from weir.core import topics
from weir.core.messages import Identity, Message, Messages, Unfit
from weir.core.positions import FilePosition
from weir.core.record import file_record_id, pipe_record_id
from weir.core.span import Span

WHO = Identity("gw-17", "vitals", "0011")


def file(name: bytes = b"a.jsonl", fmt: str = "jsonl") -> FilePosition:
    return FilePosition(stream=1, name=name, inode=7, birth=9, fmt=fmt)


def made(topic: str, record: bytes, *, envelope: Any = "none", of: FilePosition | None = None) -> Message:
    span = make_span([b"before", record], offset=0, at=1_700_000_000.25, file=of)
    messages = Messages(WHO, topic, envelope=envelope, pipe_is_json=False)
    return messages.message(span, 1, span.payload(1))


def unfit(topic: str, record: bytes, of: FilePosition | None = None) -> Unfit:
    with pytest.raises(Unfit) as caught:
        made(topic, record, of=of)
    assert caught.value.reason == "badTopic"
    return caught.value


# -- topics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "topic"),
    [
        (b'{"unit":"pump-3"}', "t/pump-3"),
        (b'{"unit":12}', "t/12"),
        (b'{"unit":-1.50}', "t/-1.50"),
        (b'{"unit":true}', "t/true"),
        (b'{"unit":null}', "t/null"),
        (b'{"unit":"\\u0061"}', "t/a"),
        (b'{"other":[1,{"unit":"no"}],"unit":"yes"}', "t/yes"),
        (b'{"unit":"first","unit":"last"}', "t/last"),
    ],
)
def test_a_field_of_the_record_becomes_part_of_the_topic(record: bytes, topic: str) -> None:
    assert made("t/{record.unit}", record, of=file()) == Message(topic, record)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (b'{"unit":"a/b"}', "does not fit a topic"),
        (b'{"unit":"+"}', "does not fit"),
        (b'{"unit":"$aws"}', "does not fit"),
        (b'{"unit":""}', "does not fit"),
        (b'{"unit":"\xc3\xbc"}', "does not fit"),
        (b'{"unit":"' + b"x" * 65 + b'"}', "does not fit"),
        (b'{"unit":[1]}', "does not fit"),
        (b'{"unit":1e400}', None),
        (b'{"other":1}', "has no field unit"),
        (b"[1]", "is not a JSON object"),
        (b"no JSON", "is not a JSON object"),
    ],
)
def test_a_value_that_would_change_the_topics_shape_makes_the_record_unfit(record: bytes, said: str | None) -> None:
    if said is None:
        assert made("t/{record.unit}", record, of=file()).topic == "t/1e400"
    else:
        assert said in unfit("t/{record.unit}", record, file()).detail


def test_the_name_of_the_file_becomes_part_of_the_topic() -> None:
    assert made("t/{file}/x", b"1", of=file(b"pump-3.log")).topic == "t/pump-3.log/x"
    for name in (b"a b.log", b"\xff.log", "ü.log".encode()):
        assert "the name of the file" in unfit("t/{file}", b"1", file(name)).detail


def test_a_topic_that_grows_too_long_makes_the_record_unfit() -> None:
    topic = "/".join(["t", *["{record.unit}"] * 5])
    assert "256" in unfit(topic, b'{"unit":"' + b"x" * 64 + b'"}', file()).detail


def test_no_detail_repeats_what_the_record_holds() -> None:
    assert "secret" not in unfit("t/{record.unit}", b'{"unit":"secret/"}', file()).detail


@given(
    record=st.binary(max_size=60)
    | st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps).map(str.encode)
)
def test_whatever_the_record_its_topic_is_a_good_one_or_it_is_unfit(record: bytes) -> None:
    with contextlib.suppress(Unfit):
        topic = made("t/{record.a}/{file}", record, of=file()).topic
        assert not list(topics.faults(topic))
        assert topic.count("/") == 2


# -- envelopes --------------------------------------------------------------------------------------------------------


def opened(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(message.payload)
    return document


def test_an_envelope_holds_the_records_own_bytes_and_who_when_and_which() -> None:
    position = file()
    message = made("t", b'{"n": 1.50, "n2":1e2}', envelope="json", of=position)
    assert message.payload.endswith(b',"data":{"n": 1.50, "n2":1e2}}')
    assert opened(message) == {
        "id": file_record_id("gw-17", "vitals", position, 7, b'{"n": 1.50, "n2":1e2}').hex(),
        "thing": "gw-17",
        "stream": "vitals",
        "time": "2023-11-14T22:13:20.250Z",
        "data": {"n": 1.5, "n2": 100},
    }


def test_a_line_is_a_string_in_its_envelope_and_bytes_that_are_no_text_are_base64() -> None:
    assert opened(made("t", 'sa"id ü'.encode(), envelope="json", of=file(fmt="lines")))["data"] == 'sa"id ü'
    binary = opened(made("t", b"\xff\x00", envelope="json", of=file(fmt="lines")))
    assert (binary["encoding"], base64.b64decode(binary["data"])) == ("base64", b"\xff\x00")


def test_a_record_of_a_pipe_is_known_by_its_number_in_the_epoch() -> None:
    message = made("t", b"line", envelope="json")
    assert opened(message)["id"] == pipe_record_id("gw-17", "vitals", "0011", 1).hex()


@given(records=st.lists(st.binary(max_size=20).filter(lambda record: b"\n" not in record), min_size=1, max_size=8))
def test_no_two_records_share_an_id(records: list[bytes]) -> None:
    span: Span = make_span(records, offset=0, at=0, file=file(fmt="lines"))
    messages = Messages(WHO, "t", envelope="json", pipe_is_json=False)
    ids = [messages.id_of(span, index, record) for index, record in enumerate(records)]
    assert len(set(ids)) == len(records)

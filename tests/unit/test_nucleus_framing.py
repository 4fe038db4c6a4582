from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nucleus.framing import BrokenMessage, Message, Reader, TooLarge, decode, encode

VALUES = st.one_of(
    st.booleans(), st.integers(-(2**31), 2**31 - 1), st.text(max_size=50), st.binary(max_size=50)
)  # of headers
MESSAGES = st.builds(
    Message,
    st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=30), VALUES, max_size=5),
    st.binary(max_size=200),
)


def with_checksums(head: bytes, body: bytes) -> bytes:
    data = head + struct.pack(">I", zlib.crc32(head)) + body
    return data + struct.pack(">I", zlib.crc32(data))


def test_the_empty_message_is_sixteen_known_bytes() -> None:
    assert encode(Message()) == bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")


def test_a_message_has_the_layout_of_the_protocol() -> None:
    message = Message({":stream-id": 7, "operation": "x"}, b"{}")

    headers = b"\x0a:stream-id\x04\x00\x00\x00\x07" + b"\x09operation\x07\x00\x01x"
    total = 12 + len(headers) + 2 + 4
    assert encode(message) == with_checksums(struct.pack(">II", total, len(headers)), headers + b"{}")


@given(MESSAGES)
def test_what_is_encoded_is_decoded_again(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 60))
def test_a_reader_finds_the_messages_however_the_bytes_arrive(messages: list[Message], piece: int) -> None:
    data = b"".join(map(encode, messages))
    reader, found = Reader(), []
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while (message := reader.take()) is not None:
            found.append(message)

    assert found == messages


@given(MESSAGES, st.data())
def test_a_flipped_bit_is_never_taken_for_a_message(message: Message, data: st.DataObject) -> None:
    good = bytearray(encode(message))
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    good[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BrokenMessage):
        decode(bytes(good))


def test_header_types_that_are_never_sent_are_read_all_the_same() -> None:
    headers = b"".join(
        [
            b"\x01b\x02\xff",
            b"\x01s\x03\xff\xfe",
            b"\x01l\x05" + struct.pack(">q", -3),
            b"\x01t\x08" + struct.pack(">q", 1_700_000_000_000),
            b"\x01u\x09" + bytes(range(16)),
        ]
    )
    data = with_checksums(struct.pack(">II", 16 + len(headers), len(headers)), headers)

    assert decode(data).headers == {"b": -1, "s": -2, "l": -3, "t": 1_700_000_000_000, "u": bytes(range(16))}


@pytest.mark.parametrize(
    "headers",
    [b"\x05abc", b"\x01a", b"\x01a\x07\x00\x05abc", b"\x01a\x04\x00", b"\x01a\x2a", b"\x01\xff\x00", b"\x01u\x09abc"],
)
def test_headers_that_are_cut_off_or_unknown_break_the_message(headers: bytes) -> None:
    data = with_checksums(struct.pack(">II", 16 + len(headers), len(headers)), headers)

    with pytest.raises(BrokenMessage):
        decode(data)


def test_headers_longer_than_the_message_break_it() -> None:
    with pytest.raises(BrokenMessage):
        decode(with_checksums(struct.pack(">II", 16, 1), b""))


def test_a_reader_refuses_a_message_by_its_prelude_alone() -> None:
    data = encode(Message(payload=b"x" * 85))
    exact, smaller = Reader(max_bytes=101), Reader(max_bytes=100)
    exact.feed(data)
    smaller.feed(data[:12])

    assert exact.take() == Message(payload=b"x" * 85)
    with pytest.raises(TooLarge, match="101 bytes; at most 100"):
        smaller.take()

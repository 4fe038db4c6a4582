"""The event-stream message as it is on the wire: encode, decode, and take messages out of a byte stream.

A message is a prelude (total bytes, header bytes, CRC32 of these eight), the headers, the payload, and a CRC32 of all
before it; numbers are big-endian. Knows nothing of what the messages mean. Pure standard library, so that it can be a
witness against the client library under test.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

PRELUDE_BYTES = 12
OVERHEAD_BYTES = 16  # a message without headers and payload

_MAX_BYTES = 24 * 1024 * 1024  # the protocol's own limit
_TRUE, _FALSE, _BYTE, _SHORT, _INT, _LONG, _BYTES, _STRING, _TIMESTAMP, _UUID = range(10)
_FIXED = {_BYTE: ">b", _SHORT: ">h", _INT: ">i", _LONG: ">q", _TIMESTAMP: ">q"}
_UUID_BYTES = 16

HeaderValue = bool | int | str | bytes


class BrokenMessage(ValueError):
    """The bytes are no event-stream message; nothing after them can be read either."""


class TooLarge(BrokenMessage):
    """The prelude announces more bytes than the reader takes."""


@dataclass(frozen=True)
class Message:
    """One message. Header values are str (string), int (32 bits), bool or bytes, as the protocol's own uses need."""

    headers: dict[str, HeaderValue] = field(default_factory=dict)
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """Return the message's bytes; an int header becomes a 32-bit one."""
    headers = b"".join(_encode_header(name, value) for name, value in message.headers.items())
    total = OVERHEAD_BYTES + len(headers) + len(message.payload)
    prelude = struct.pack(">II", total, len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + message.payload
    return body + struct.pack(">I", zlib.crc32(body))


def decode(data: bytes) -> Message:
    """Return the message that these bytes are, all of them. Raises BrokenMessage."""
    if len(data) < OVERHEAD_BYTES:
        raise BrokenMessage(f"a message has at least {OVERHEAD_BYTES} bytes, not {len(data)}")
    total, header_bytes = _decode_prelude(data)
    if total != len(data):
        raise BrokenMessage(f"the prelude says {total} bytes, there are {len(data)}")
    if struct.unpack(">I", data[-4:])[0] != zlib.crc32(data[:-4]):
        raise BrokenMessage("the message's CRC32 is wrong")
    end = PRELUDE_BYTES + header_bytes
    return Message(_decode_headers(data[PRELUDE_BYTES:end]), data[end:-4])


class Reader:
    """Takes messages out of a byte stream that arrives in pieces of any size."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> Message | None:
        """Return the next whole message, or None. Raises TooLarge as soon as the prelude says so, or BrokenMessage."""
        if len(self._buffer) < PRELUDE_BYTES:
            return None
        total, _ = _decode_prelude(bytes(self._buffer[:PRELUDE_BYTES]))
        if total > self._max_bytes:
            raise TooLarge(f"a message of {total} bytes; at most {self._max_bytes} are taken")
        if len(self._buffer) < total:
            return None
        data = bytes(self._buffer[:total])
        del self._buffer[:total]
        return decode(data)


def _decode_prelude(data: bytes) -> tuple[int, int]:
    total, header_bytes, checksum = struct.unpack(">III", data[:PRELUDE_BYTES])
    if checksum != zlib.crc32(data[:8]):
        raise BrokenMessage("the prelude's CRC32 is wrong")
    if total < OVERHEAD_BYTES + header_bytes:
        raise BrokenMessage(f"{header_bytes} bytes of headers do not fit into a message of {total}")
    return total, header_bytes


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    head = struct.pack(">B", len(raw)) + raw
    if isinstance(value, bool):
        return head + bytes([_TRUE if value else _FALSE])
    if isinstance(value, int):
        return head + struct.pack(">Bi", _INT, value)
    kind, data = (_STRING, value.encode()) if isinstance(value, str) else (_BYTES, value)
    return head + struct.pack(">BH", kind, len(data)) + data


def _decode_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name = data[at + 1 : end].decode()
            headers[name], at = _decode_value(data, data[end], end + 1)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise BrokenMessage(f"the headers are cut off or no text: {error}") from error
    if at != len(data):
        raise BrokenMessage("the last header is cut off")
    return headers


def _decode_value(data: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if kind in _FIXED:
        shape = _FIXED[kind]
        number: int = struct.unpack_from(shape, data, at)[0]
        return number, at + struct.calcsize(shape)
    if kind == _UUID:
        return data[at : at + _UUID_BYTES], at + _UUID_BYTES
    if kind not in {_BYTES, _STRING}:
        raise BrokenMessage(f"no header has the type {kind}")
    (size,) = struct.unpack_from(">H", data, at)
    raw = data[at + 2 : at + 2 + size]
    return raw.decode() if kind == _STRING else raw, at + 2 + size

"""From when and until when a certificate is valid.

Owns the way to the two times inside an X.509 certificate (RFC 5280, section 4.1), and nothing else of it: whether it is
genuine is for the broker to judge. The standard library reads certificates only of the other side of a connection.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime, timezone
from typing import NamedTuple

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_INTEGER, _SEQUENCE, _VERSION = 0x02, 0x30, 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime
_LONG_FORM = 0x80  # of a length: the other bits count the bytes that hold it
_MOST_LENGTH_BYTES = 4


class Validity(NamedTuple):
    """The two times, in seconds since the epoch."""

    not_before: float
    not_after: float


class _Element(NamedTuple):
    """One element of DER: its tag, its content, and what follows it."""

    tag: int
    content: bytes
    rest: bytes


def validity(pem: bytes) -> Validity:
    """Give the times of the first certificate in a PEM text, which is that of the client. Raises ValueError."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate in it")
    try:
        der = binascii.a2b_base64(found[1])
    except binascii.Error:
        raise ValueError("it is not base64") from None
    return _times(_fields(der))


def _fields(der: bytes) -> bytes:
    """Give what follows the serial number of a certificate."""
    to_be_signed = _element(_element(der, _SEQUENCE).content, _SEQUENCE).content
    if to_be_signed[:1] == bytes([_VERSION]):
        to_be_signed = _element(to_be_signed, _VERSION).rest
    return _element(to_be_signed, _INTEGER).rest


def _times(fields: bytes) -> Validity:
    algorithm = _element(fields, _SEQUENCE)
    issuer = _element(algorithm.rest, _SEQUENCE)
    times = _element(issuer.rest, _SEQUENCE).content
    first = _element(times)
    return Validity(_seconds(first), _seconds(_element(first.rest)))


def _element(der: bytes, tag: int | None = None) -> _Element:
    """Take the first element, which must have this tag if one is given."""
    if len(der) < 2 or tag not in {None, der[0]}:  # noqa: PLR2004 - a tag and a length
        raise ValueError("it is not built as a certificate")
    length, begin = der[1], 2
    if length >= _LONG_FORM:
        count = length - _LONG_FORM
        length, begin = int.from_bytes(der[2 : 2 + count], "big"), 2 + count
        if not 0 < count <= _MOST_LENGTH_BYTES:
            raise ValueError("it is not built as a certificate")
    if begin + length > len(der):
        raise ValueError("it is cut off")
    return _Element(der[0], der[begin : begin + length], der[begin + length :])


def _seconds(time: _Element) -> float:
    form = _TIMES.get(time.tag)
    if form is None:
        raise ValueError("it holds no time where one belongs")
    moment = datetime.strptime(time.content.decode("ascii"), form).replace(tzinfo=timezone.utc)
    if time.tag == 0x17 and moment.year >= 2050:  # noqa: PLR2004 - RFC 5280, 4.1.2.5.1
        moment = moment.replace(year=moment.year - 100)
    return moment.timestamp()

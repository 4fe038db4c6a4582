"""The dates of a certificate, against an independent reader, and what is said of them and of the clock."""

from __future__ import annotations

import base64
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from cryptography import x509  # trustme makes its certificates with it
from hypothesis import example, given
from hypothesis import strategies as st

from weir.core.certificate import Validity, validity
from weir.report.times import rfc3339
from weir.wiring import dates
from weir.wiring.dates import Dates, judged

DAY = 86_400.0
NOW = 1_764_000_000.0
CA = trustme.CA()


def pem(not_before: datetime | None = None, not_after: datetime | None = None) -> bytes:
    issued = CA.issue_cert("device@weir.test", not_before=not_before, not_after=not_after)
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


ONE = pem(at(NOW - DAY), at(NOW + 100 * DAY))
DER = base64.b64decode(b"".join(ONE.splitlines()[1 : ONE.splitlines().index(b"-----END CERTIFICATE-----")]))


def as_pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


@given(
    st.datetimes(datetime(1951, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - in UTC, as is said below
    st.timedeltas(timedelta(days=1), timedelta(days=40_000)),
)
def test_the_times_are_those_that_an_independent_reader_finds(begin: datetime, length: timedelta) -> None:
    text = pem(begin, begin + length)  # beyond 2049 the other of the two forms
    other = x509.load_pem_x509_certificate(text)
    expected = Validity(other.not_valid_before_utc.timestamp(), other.not_valid_after_utc.timestamp())
    assert validity(b"a line before\n" + text) == expected


@given(st.data())
def test_whatever_the_bytes_are_there_is_a_time_or_one_kind_of_error(data: st.DataObject) -> None:
    der = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 8))):
        der[data.draw(st.integers(0, min(len(der), 400) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    for text in (as_pem(bytes(der)), as_pem(bytes(der[:cut]))):
        try:
            found = validity(text)
        except ValueError:
            continue
        assert isinstance(found.not_after, float)


@given(st.binary(max_size=60))
@example(b"\x30\x80")
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30\x85\x00\x00\x00\x00\x00")
@example(b"")
def test_what_is_no_certificate_is_told_so(der: bytes) -> None:
    with pytest.raises(ValueError, match="it is"):
        validity(as_pem(der))


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_holds_no_certificate_is_told_so(text: bytes) -> None:
    with pytest.raises(ValueError, match="there is no certificate"):
        validity(text)


@pytest.mark.parametrize(
    ("wall", "reason"),
    [
        (0.0, "clockNotSet"),
        (dates.CLOCK_SET - 1, "clockNotSet"),
        (NOW - 2 * DAY, "clockNotSet"),  # before the certificate begins
        (NOW, None),
        (NOW + 86 * DAY - 1, None),
        (NOW + 86 * DAY, "certificateExpiring"),
        (NOW + 100 * DAY, "certificateExpired"),
    ],
)
def test_one_thing_is_said_at_a_time_and_it_names_what_to_do(wall: float, reason: str | None) -> None:
    told = {name: remedy for name, remedy in judged("device.pem", validity(ONE), wall).items() if remedy}
    assert list(told) == ([reason] if reason else [])
    if reason is not None:
        assert ("set this machine's clock" if reason == "clockNotSet" else "replace device.pem") in told[reason]


def test_without_a_certificate_only_the_clock_is_judged() -> None:
    assert set(filter(None, Dates(None).verdicts(0, NOW).values())) == set()
    assert Dates(None).verdicts(0, 0.0)["clockNotSet"] is not None


def test_a_certificate_that_is_replaced_is_seen_and_one_that_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    looks = Dates(str(path))
    assert not any(looks.verdicts(0, NOW).values())
    path.write_bytes(pem(at(NOW - 2 * DAY), at(NOW - DAY)))
    assert not any(looks.verdicts(dates.LOOK_SECONDS - 1, NOW).values())
    expired = looks.verdicts(dates.LOOK_SECONDS, NOW)["certificateExpired"]
    assert expired is not None
    assert str(rfc3339(NOW - DAY)) in expired
    other = tmp_path / "other"
    other.write_bytes(ONE)
    other.rename(path)
    assert not any(looks.verdicts(2 * dates.LOOK_SECONDS, NOW).values())
    path.write_text("no certificate")
    assert not any(looks.verdicts(3 * dates.LOOK_SECONDS, NOW + 101 * DAY).values())


def test_a_certificate_is_read_only_when_it_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    path.write_bytes(ONE)
    os.utime(path, ns=(0, 0))
    looks = Dates(str(path))
    looks.verdicts(0, NOW)
    path.write_bytes(b"x" * len(ONE))  # as one would never do: the same file, of the same size and time
    os.utime(path, ns=(0, 0))
    assert looks.verdicts(dates.LOOK_SECONDS, NOW + 101 * DAY)["certificateExpired"] is not None

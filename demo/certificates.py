"""Certificates made on the spot: one authority, and an identity each for broker, gateway and subscriber."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import trustme


class Identity(NamedTuple):
    """A certificate with its chain, and its private key."""

    certificate: Path
    key: Path


class Certificates(NamedTuple):
    """Who vouches, and for whom."""

    authority: Path
    broker: Identity
    gateway: Identity
    subscriber: Identity


def make_certificates(directory: Path) -> Certificates:
    authority = trustme.CA(organization_name="Weir demonstration")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    return Certificates(
        authority=directory / "ca.pem",
        broker=_identity(authority.issue_cert("localhost", "127.0.0.1"), directory / "broker"),
        gateway=_identity(authority.issue_cert("gateway.demo", common_name="gateway"), directory / "gateway"),
        subscriber=_identity(
            authority.issue_cert("subscriber.demo", common_name="subscriber"), directory / "subscriber"
        ),
    )


def _identity(issued: trustme.LeafCert, stem: Path) -> Identity:
    identity = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    identity.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    _write_private(identity.key, issued.private_key_pem.bytes())
    return identity


def _write_private(path: Path, content: bytes) -> None:
    """Write what nobody else may read, not even for a moment and whatever the umask."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

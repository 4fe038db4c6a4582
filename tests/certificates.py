"""Certificates for the tests, made on the spot: one authority that counts, and a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme


class Identity(NamedTuple):
    """A certificate with its chain, and its private key, as paths."""

    certificate: str
    key: str


class Certificates(NamedTuple):
    """What a broker and its clients need, and what they must refuse."""

    ca: str
    server: Identity  # for localhost and 127.0.0.1, not for 127.0.0.2
    client: Identity
    stranger_ca: str
    stranger: Identity  # a client of the other authority


def make_certificates(directory: Path) -> Certificates:
    """Make them all below the directory."""
    ours, theirs = trustme.CA(), trustme.CA()
    return Certificates(
        ca=_authority(ours, directory / "ca.pem"),
        server=_identity(ours.issue_cert("localhost", "127.0.0.1"), directory / "server"),
        client=_identity(ours.issue_cert("device@weir.test", common_name="device"), directory / "client"),
        stranger_ca=_authority(theirs, directory / "stranger-ca.pem"),
        stranger=_identity(theirs.issue_cert("stranger@weir.test", common_name="stranger"), directory / "stranger"),
    )


def _authority(authority: trustme.CA, path: Path) -> str:
    authority.cert_pem.write_to_path(path)
    return str(path)


def _identity(certificate: trustme.LeafCert, stem: Path) -> Identity:
    chain, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return Identity(str(chain), str(key))

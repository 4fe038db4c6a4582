"""An authority of its own for the tests of bad links: certificates for other hosts, and such as have expired."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import trustme

from tests.certificates import Certificates, Identity

HERE = ("localhost", "127.0.0.1")
_NUMBERS = count()


class Authority:
    """One authority, whose certificates lie below a directory."""

    def __init__(self, directory: Path) -> None:
        """Make the authority."""
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = str(directory / f"ca-{next(_NUMBERS)}.pem")
        self._authority.cert_pem.write_to_path(self.ca)

    def server(self, *hosts: str, expired: bool = False) -> Identity:
        """Give a certificate for these hosts."""
        begin, end = _times(expired=expired)
        return self._write(self._authority.issue_cert(*(hosts or HERE), not_before=begin, not_after=end))

    def client(self, *, expired: bool = False) -> Identity:
        """Give a certificate for a device."""
        begin, end = _times(expired=expired)
        made = self._authority.issue_cert("device@weir.test", common_name="device", not_before=begin, not_after=end)
        return self._write(made)

    def certificates(self, server: Identity) -> Certificates:
        """Give what a broker with this certificate needs, and its clients."""
        client = self.client()
        return Certificates(self.ca, server, client, self.ca, client)

    def _write(self, made: trustme.LeafCert) -> Identity:
        stem = self._directory / f"identity-{next(_NUMBERS)}"
        chain, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        for blob in made.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        made.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return Identity(str(chain), str(key))


def _times(*, expired: bool) -> tuple[datetime | None, datetime | None]:
    if not expired:
        return None, None
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    return yesterday - timedelta(days=30), yesterday

"""`weir check`: says `ok` and shows what the configuration comes to.

What is wrong with one is said by whoever runs the command, as for every other command that reads a configuration.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from weir.core.configuration import effective
from weir.core.settings import Settings
from weir.wiring import configuration, quotas, yamltext

# Where TLS looks when no file is named, in the order in which it looks.
SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def check(arguments: argparse.Namespace) -> int:
    """Print `ok` and the effective configuration; as a whole two YAML documents, so that a program can read it too."""
    settings = configuration.load(arguments)
    print("ok\n---")
    for line in _remarks(settings):
        print(f"# {line}")
    print(yamltext.dump(effective(settings)), end="")
    return 0


def _remarks(settings: Settings) -> Iterator[str]:
    """Say what the values come to, where they do not say it themselves."""
    yield f"certificate authorities: {_authorities(settings.connection.ca)}"
    yield f"client id: {settings.client_id}"
    yield from (f"topic of {name}: {settings.topic_of(name)}" for name in settings.streams)
    yield f"duplicateBound: {settings.duplicate_bound}"
    yield from (disk.remark() for disk in quotas.judge(settings))


def _authorities(ca: str | None) -> str:
    if ca is not None:
        return f"{ca}, from {'GG_ROOT_CA_PATH' if ca == os.environ.get('GG_ROOT_CA_PATH') else 'connection.ca'}"
    found = next((path for path in SYSTEM_STORES if Path(path).exists()), None)
    return f"the store of this system, {found}" if found else "none found on this system; set connection.ca"

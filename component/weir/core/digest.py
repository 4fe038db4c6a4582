"""SHA-256: the one hash of all that is identified or compared.

Owns where it comes from. `hashlib` loads OpenSSL, some megabytes of resident memory that nothing else needs: the
MQTT client brings a library of its own. Python has the function inside as well, slower, and under another name from
release to release; where it was built without, hashlib's is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Protocol


class Digest(Protocol):
    """A hash in the making."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Give the 32 bytes of the hash."""


def _sha256() -> Callable[..., Digest]:
    inside = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
    for module in (inside, "hashlib"):
        try:
            found: Callable[..., Digest] = import_module(module).sha256
        except ImportError:
            continue
        return found
    raise ImportError("this Python has no SHA-256")


sha256 = _sha256()

"""The identity of a record: the same record has the same id after a crash, and one id never names two records.

Owns what an id is made of. Knows nothing of where it is shown; it is computed only where it is used.
"""

from __future__ import annotations

from weir.core.digest import sha256
from weir.core.positions import FilePosition

ID_BYTES = 16


def file_record_id(thing: str, stream: str, file: FilePosition, place: int, payload: bytes) -> bytes:
    """Make the id of a record that lies at byte `place` of a file."""
    return _digest(thing, stream, file.inode, file.birth, file.generation, place, payload=payload)


def pipe_record_id(thing: str, stream: str, epoch: str, sequence: int) -> bytes:
    """Make the id of a record of a pipe: its sequence number goes on over restarts within an epoch."""
    return _digest(thing, stream, epoch, sequence, payload=b"")


def _digest(*parts: object, payload: bytes) -> bytes:
    """Take the first 128 bits of SHA-256 over the parts, each with its length before it so that none runs on."""
    digest = sha256()
    for part in (*(str(part).encode() for part in parts), payload):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()[:ID_BYTES]

"""One request, one answer, one line of JSON each, over a Unix socket in the state directory.

Owns the wire form and the address. The socket is reached through the directory's descriptor, since the path of a Unix
socket may have 107 bytes at most (unix(7)) and a state directory is often deeper than that.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "control"
MAX_BYTES = 1 << 20
CONNECT_SECONDS = 5.0

Message = dict[str, Any]


@contextlib.contextmanager
def address(directory: Path) -> Iterator[str]:
    """Give a short address of the socket in this directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def encode(message: Message) -> bytes:
    """Write a message as its line."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read a message. Raises ValueError where it is none."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError("a request is a JSON object")
    return message


def ask(directory: Path, request: Message) -> Message | None:
    """Ask the forwarder that owns this state directory; None if none answers."""
    try:
        with address(directory) as where, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(where)
            connection.sendall(encode(request))
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return decode(answer)
    except (OSError, ValueError, TypeError):
        return None

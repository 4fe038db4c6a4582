"""The configuration that was accepted last, beside the database, for when the next one will not do.

Owns that the file is there as a whole or not at all. Knows nothing of what a configuration means.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

NAME = "configuration.json"
MOST_BYTES = 1 << 20

Document = dict[str, Any]


def keep(state: Path, document: Document) -> None:
    """Keep a document in the state directory, durably. Raises `OSError` where that cannot be done."""
    path, fresh = state / NAME, state / f"{NAME}.new"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as writing:
        json.dump(document, writing, indent=1)
        writing.flush()
        os.fsync(writing.fileno())
    fresh.replace(path)
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def kept(state: Path) -> Document | None:
    """Give the document that was kept, None if there is none that can be read."""
    try:
        with (state / NAME).open("rb") as file:
            document = json.loads(file.read(MOST_BYTES))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None

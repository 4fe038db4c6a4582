"""What the tests of the directory source share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.inbox import Inbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give an empty directory to watch."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return inbox


@pytest.fixture
def box(path: Path) -> Iterator[Inbox]:
    """Give a source that watches it."""
    box = Inbox(path)
    yield box
    box.source.close()

"""What the models share: a loop of one stream that sends in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loop import Loop


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    """Make such loops, with parts of the stream's configuration beside `batch`, and options of the loop."""
    loops: list[Loop] = []

    def start(batch: dict[str, Any], stream: dict[str, Any] | None = None, **options: Any) -> Loop:
        source = {"path": str(tmp_path / "a"), "format": "jsonl"}
        whole = {"queue": {"mode": 4}, "source": source, "batch": batch, **(stream or {})}
        loops.append(Loop(tmp_path, {"a": whole}, **options))
        return loops[-1]

    yield start
    for loop in loops:
        loop.close()

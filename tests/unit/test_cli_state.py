"""Finding the state of a forwarder that may start or stop at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weir.cli import state
from weir.core.errors import StateInUse
from weir.store.directory import DATABASE, own


def test_a_forwarder_that_starts_between_two_looks_is_asked_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[str, Any] | None] = [None, {"status": "from the forwarder"}]
    monkeypatch.setattr(state, "ask_owner", lambda _path, _request: answers.pop(0))

    def read() -> dict[str, Any]:
        raise StateInUse

    assert state.ask_or_read(tmp_path, {"command": "status"}, read) == {"status": "from the forwarder"}


def test_a_state_that_nobody_owns_is_read(tmp_path: Path) -> None:
    assert state.ask_or_read(tmp_path, {"command": "status"}, lambda: {"status": "read"}) == {"status": "read"}


def test_a_state_that_stays_in_use_without_an_answer_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DATABASE).touch()
    monkeypatch.setattr(state, "ANSWER_SECONDS", 0.2)
    owner = own(tmp_path, wait_seconds=0)
    with pytest.raises(StateInUse, match="does not answer"):
        state.ask_or_read(tmp_path, {"command": "status"}, dict)
    owner.close()
